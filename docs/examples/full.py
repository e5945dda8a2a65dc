"""Listens on port 8000 and never accepts; its queue of one is full."""

import socket
import time

with (
    socket.create_server(("127.0.0.1", 8000), backlog=0) as listener,
    socket.create_connection(listener.getsockname()),
):
    time.sleep(60)
