"""Aborts: a close with bytes unread, and one that lingers for no time."""

import contextlib
import socket
import struct

with socket.create_server(("127.0.0.1", 0)) as listener:
    for lingers in (False, True):
        with socket.create_connection(listener.getsockname()) as sock:
            accepted, _ = listener.accept()
            with accepted:
                sock.sendall(b"never read")
                if lingers:
                    accepted.recv(100)
                    value = struct.pack("ii", 1, 0)
                    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, value)
                else:
                    accepted.recv(1, socket.MSG_PEEK)
            with contextlib.suppress(ConnectionResetError):
                sock.recv(100)
