"""A server that starts a child for each client, and lets it inherit the connection."""

import os
import socket
import time

with socket.create_server(("127.0.0.1", 8000)) as listener:
    while True:
        sock, _ = listener.accept()
        if os.fork() == 0:
            time.sleep(1)
            os._exit(0)
        sock.sendall(b"done\n")
        sock.close()
