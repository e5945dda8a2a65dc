"""Tells who it is, and waits."""

import os
import socket
import sys

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
sock, _ = listener.accept()
sock.sendall(str(os.getpid()).encode())
sock.recv(1)
