"""A process in its own network namespace that opens packet sockets and makes traffic on request.

Run as ``python private_loopback.py DESCRIPTOR``: a Unix socket on which each request is a JSON
object; the answer is one byte, with the packet socket's descriptor where one was asked for.
"""

import fcntl
import json
import socket
import struct
import sys

from observatory.lab.namespace import enter_private_network
from observatory.sources.ring import open_packet_socket

SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def link(up):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP if up else 0))


def udp(count, size):
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("127.0.0.1", 0))
        for _ in range(count):
            sender.sendto(bytes(size), receiver.getsockname())


def tcp(size):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        with client, server:
            client.sendall(bytes(size))
            client.shutdown(socket.SHUT_WR)
            while server.recv(65536):
                pass


def main():
    requests = socket.socket(fileno=int(sys.argv[1]))
    enter_private_network()
    actions = {"udp": udp, "tcp": tcp, "link": link}
    with requests:
        requests.send(b".")
        while text := requests.recv(65536):
            name, args = json.loads(text)
            if name == "open":
                with open_packet_socket("lo") as packets:
                    socket.send_fds(requests, [b"."], [packets.fileno()])
                continue
            actions[name](**args)
            requests.send(b".")


main()
