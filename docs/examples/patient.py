"""Connects to port 8000, and gives up when two SYNs have drawn no answer."""

import socket

with socket.socket() as sock:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 1)
    try:
        sock.connect(("127.0.0.1", 8000))
    except TimeoutError as error:
        print(error)
