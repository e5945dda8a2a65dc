"""Threads connect at once to threads that accept from one listener."""

import socket
import sys
from threading import Thread

number = int(sys.argv[1])
listener = socket.create_server(("127.0.0.1", 0), backlog=number)


def serve() -> None:
    sock, _ = listener.accept()
    with sock:
        while data := sock.recv(1000):
            sock.sendall(data.upper())


def ask() -> None:
    with socket.create_connection(listener.getsockname()) as sock:
        # Of connects that run at the same time only their own names tell which sent which SYN.
        sock.getsockname()
        sock.sendall(b"hello")
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(1000):
            pass


threads = [Thread(target=work) for work in (serve, ask) for _ in range(number)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
listener.close()
