"""Never closes what it accepts: all of it ends with the process."""

import os
import socket

listener = socket.create_server(("127.0.0.1", 0))
kept = []
for _ in range(5):
    with socket.create_connection(listener.getsockname()) as sock:
        kept.append(listener.accept()[0])
        sock.sendall(b"hello")
        sock.shutdown(socket.SHUT_WR)
        while kept[-1].recv(100):
            pass
os._exit(0)
