"""Echoes, with a process for each connection (UNP 4.8)."""

import os
import signal
import socket
import sys

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    sock, _ = listener.accept()
    if os.fork() == 0:
        listener.close()
        while data := sock.recv(100):
            sock.sendall(data)
        os._exit(0)
    sock.close()
