"""Says a few words to an echo server, several times."""

import socket
import sys

for number in range(int(sys.argv[2])):
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as sock:
        sock.sendall(b"hello" * (number + 1))
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(7):
            pass
