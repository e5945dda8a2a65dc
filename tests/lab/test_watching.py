import os
import signal
import socket

import pytest

from observatory.errors import ScenarioFailed
from observatory.lab import watching
from observatory.sources.journal import Journal


@pytest.fixture
def connection():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    with client, server:
        yield client, server


@pytest.fixture
def sleeper(tmp_path):
    """A child asleep in a journaled recv: its journal and pid."""
    pid = os.fork()
    if pid == 0:
        try:
            journal = Journal(tmp_path, "sleeper", "")
            journal.returned(journal.entered("send", 3, {}), 1)
            journal.entered("recv", 3, {})
            signal.pause()
        finally:
            os._exit(0)
    yield tmp_path / f"{pid}.calls", pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_until_returns_at_once_when_it_is_so():
    watching.until(lambda: True, "nothing", 0)


def test_until_says_what_did_not_come():
    with pytest.raises(ScenarioFailed, match="rain"):
        watching.until(lambda: False, "rain", 0.01)


def test_a_process_asleep_in_a_call_is_blocked(sleeper):
    journal, pid = sleeper
    watching.until(lambda: watching.blocked(journal, pid, "recv"), "blocked", 5)

    assert watching.blocked(journal, pid, "")
    assert not watching.blocked(journal, pid, "accept")


def test_a_process_that_returned_is_not_blocked(recorder_folder):
    journal, path = recorder_folder
    journal.returned(journal.entered("recv", 3, {}), 1)

    assert not watching.blocked(path, os.getpid(), "")


@pytest.fixture
def recorder_folder(tmp_path):
    journal = Journal(tmp_path, "me", "")
    yield journal, tmp_path / f"{os.getpid()}.calls"
    journal.close()


def test_a_process_without_a_journal_is_not_blocked(tmp_path):
    assert not watching.blocked(tmp_path / "1.calls", 1, "")


def test_process_states():
    assert watching.process_state(os.getpid()) == "R"
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    watching.until(lambda: watching.process_state(pid) == "Z", "the child's end", 5)
    os.waitpid(pid, 0)
    assert watching.process_state(pid) == "X"


def test_tcp_states(connection):
    client, server = connection
    assert watching.tcp_state(client) == "ESTABLISHED"
    client.shutdown(socket.SHUT_WR)
    watching.until(lambda: watching.tcp_state(server) == "CLOSE-WAIT", "the FIN", 5)
    watching.until(lambda: watching.tcp_state(client) == "FIN-WAIT-2", "its ACK", 5)
    with socket.socket() as fresh:
        assert watching.tcp_state(fresh) == "CLOSED"


def test_readable(connection):
    client, server = connection
    assert not watching.readable(server)
    client.send(b"x")
    watching.until(lambda: watching.readable(server), "the byte", 5)


def test_unacknowledged(connection):
    client, _ = connection
    client.send(b"x")
    watching.until(lambda: watching.unacknowledged(client) == 0, "the ACK", 5)
