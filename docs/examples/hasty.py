"""A server that reads the first ten bytes of what it is sent, and hangs up."""

import socket

with socket.create_server(("127.0.0.1", 8000)) as listener:
    while True:
        sock, _ = listener.accept()
        with sock:
            sock.recv(10)
