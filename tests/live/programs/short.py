"""Many short connections, one after the other."""

import socket
import sys

with socket.create_server(("127.0.0.1", 0)) as listener:
    address = listener.getsockname()
    for _ in range(int(sys.argv[1])):
        client = socket.socket()
        client.connect(address)
        server, _ = listener.accept()
        client.send(b"hello")
        server.recv(100)
        client.close()
        server.close()
