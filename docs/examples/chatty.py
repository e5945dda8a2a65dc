"""Sends a kilobyte and waits for the answer."""

import socket

with socket.create_connection(("127.0.0.1", 8000)) as sock:
    sock.sendall(bytes(1000))
    try:
        print(sock.recv(100))
    except ConnectionResetError as error:
        print(error)
