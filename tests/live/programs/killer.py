"""Kills the server that it is connected to, and reads on."""

import os
import signal
import socket
import sys

with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as sock:
    os.kill(int(sock.recv(100)), signal.SIGKILL)
    while sock.recv(100):
        pass
