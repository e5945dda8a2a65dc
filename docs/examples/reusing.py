"""Asks twice on one connection, a second apart."""

import http.client
import time

connection = http.client.HTTPConnection("127.0.0.1", 8000)
for pause in (0, 1):
    time.sleep(pause)
    try:
        connection.request("GET", "/")
        print(connection.getresponse().read())
    except (ConnectionError, http.client.HTTPException) as error:
        print(repr(error))
connection.close()
