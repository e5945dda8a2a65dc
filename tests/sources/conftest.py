"""A private loopback whose packet sockets are handed over, as the lab's are."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sources.journals import Recorder


class PrivateLoopback:
    def __init__(self, requests, pid):
        self._requests = requests
        self.pid = pid

    def packet_socket(self):
        self._requests.send(json.dumps(("open", {})).encode())
        _answer, descriptors, _flags, _address = socket.recv_fds(self._requests, 1, 1)
        return socket.socket(fileno=descriptors[0])

    def do(self, name, **args):
        self._requests.send(json.dumps((name, args)).encode())
        assert self._requests.recv(1), f"{name} failed"


@pytest.fixture
def loopback():
    """Opens packet sockets on, and makes traffic over, a loopback interface of its own."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        helper = Path(__file__).with_name("private_loopback.py")
        process = subprocess.Popen(
            [sys.executable, helper, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stderr=subprocess.PIPE,
        )
        theirs.close()
        if not ours.recv(1):
            _out, errors = process.communicate()
            pytest.skip(f"no private network namespace here: {errors.decode()[-200:]}")
        try:
            yield PrivateLoopback(ours, process.pid)
        finally:
            ours.close()
            process.communicate()


@pytest.fixture
def recorder(tmp_path):
    """A journal to give to instrumented sockets, and the calls that were written to it."""
    recorder = Recorder(tmp_path)
    yield recorder
    recorder.journal.close()
