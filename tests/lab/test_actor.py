import os
import select
import signal
import socket
import sys

import pytest

from observatory.errors import ScenarioFailed
from observatory.lab.actor import Actor
from tests.lab.plays import alone, named, performed, roles


def test_actors_tell_and_ask():
    def server(actor):
        with actor.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            actor.tell("port", listener.getsockname()[1])
            listener.accept()[0].close()

    def client(actor):
        with actor.socket() as sock:
            sock.connect(("127.0.0.1", actor.ask("port")))
            assert sock.recv(1) == b""

    outcome = performed(lambda stage: stage.play(server=server, client=client))

    assert {call.name for call in outcome.calls if call.pid == roles(outcome)["client"].pid} == {
        "socket",
        "connect",
        "recv",
        "close",
        "exit",
    }


def test_the_line_of_the_play_is_the_site():
    def part(actor):
        actor.socket().close()

    outcome = alone(part)

    assert {call.site.file for call in outcome.calls if call.site} == {"test_actor.py"}
    assert named(outcome, "exit")[0].site is None


def test_a_fork_is_the_parents_call_and_the_child_has_a_number():
    def part(actor):
        first = actor.fork(lambda child: child.exit(4))
        second = actor.fork(lambda child: child.fork(lambda grandchild: None))
        named_child = actor.fork(lambda child: None, role="helper")
        assert actor.wait(first) == 4
        assert (actor.wait(second), actor.wait(named_child)) == (0, 0)

    outcome = alone(part)
    found = roles(outcome)

    assert set(found) == {"client", "client.1", "client.2", "client.2.1", "helper"}
    forks = [call for call in named(outcome, "fork") if call.pid == found["client"].pid]
    assert [call.result for call in forks] == [
        found["client.1"].pid,
        found["client.2"].pid,
        found["helper"].pid,
    ]
    assert found["client.1"].status == 4
    assert found["client.2.1"].parent == found["client.2"].pid


def test_waiting_for_a_killed_child_tells_the_signal():
    def part(actor):
        child = actor.fork(lambda child: child.pause(60))
        actor.kill(child, signal.SIGTERM)
        assert actor.wait(child) == -signal.SIGTERM

    assert roles(alone(part))["client.1"].signal == "SIGTERM"


def test_killing_nobody_fails_as_the_kernel_says():
    def part(actor):
        child = actor.fork(lambda child: None)
        actor.wait(child)
        with pytest.raises(ProcessLookupError):
            actor.kill(child)

    assert named(alone(part), "kill")[0].errno == "ESRCH"


def test_exit_closes_nothing_itself():
    def part(actor):
        sock = actor.socket()
        actor.exit(sock.fileno())

    outcome = alone(part)

    assert [call.name for call in outcome.calls] == ["socket", "exit"]
    assert outcome.calls[-1].args == {"status": 3}
    assert outcome.calls[-1].returned_ns is None


def test_sys_exit_in_a_part_is_an_exit():
    assert roles(alone(lambda actor: sys.exit(5)))["client"].status == 5


def report_peer(actor, fd, word):
    sock = actor.adopt(int(fd))
    assert word == "two words"
    assert sock.getpeername()[0] == "127.0.0.1"
    sock.close()
    actor.exit(9)


def test_an_executed_program_journals_on():
    def server(actor):
        with actor.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            actor.tell("port", listener.getsockname()[1])
            connection, _ = listener.accept()
            connection.set_inheritable(True)
            actor.execute(
                actor.program("tests.lab.test_actor:report_peer", connection.fileno(), "two words")
            )

    def client(actor):
        with actor.socket() as sock:
            sock.connect(("127.0.0.1", actor.ask("port")))
            sock.recv(1)

    outcome = performed(lambda stage: stage.play(server=server, client=client))

    (execve,) = named(outcome, "execve")
    assert execve.returned_ns is None
    assert execve.args["path"] == sys.executable
    (asked,) = named(outcome, "getpeername")
    assert asked.pid == execve.pid
    assert asked.site.file == "test_actor.py"
    assert roles(outcome)["server"].status == 9


def test_a_program_that_is_not_there():
    def part(actor):
        with pytest.raises(FileNotFoundError):
            actor.execute(["/no/such/program"])

    assert named(alone(part), "execve")[0].errno == "ENOENT"


def test_program_is_an_argument_list():
    assert Actor.program("module:function", 4, "x") == [
        sys.executable,
        "-m",
        "observatory.lab.executed",
        "module:function",
        "4",
        "x",
    ]


def test_a_descriptor_limit_hits_the_program_alone():
    def part(actor):
        actor.limit_descriptors(4)
        with actor.socket():
            with pytest.raises(OSError, match="Too many open files"):
                actor.socket()
            actor.tell("still", "there")
            assert actor.ask("still") == "there"
            actor.wait(actor.fork(lambda child: None))

    outcome = alone(part)

    assert [call.errno for call in named(outcome, "socket")] == [None, "EMFILE"]
    assert "client.1" in roles(outcome)


def test_a_signal_interrupts_what_may_be_interrupted():
    heard = []

    def part(actor):
        actor.on_signal(signal.SIGALRM, lambda: heard.append(1))
        first, _second = actor.socketpair()
        first.interruptible = True
        actor.alarm(0.02)
        with pytest.raises(InterruptedError):
            first.recv(1)
        actor.on_signal(signal.SIGALRM)
        actor.alarm(0.02)
        with pytest.raises(InterruptedError):
            actor.poll([(first, select.POLLIN)], interruptible=True)
        actor.exit(len(heard))

    outcome = alone(part)

    assert named(outcome, "recv")[0].errno == named(outcome, "poll")[0].errno == "EINTR"
    assert roles(outcome)["client"].status == 1


def test_poll_and_select():
    def part(actor):
        first, second = actor.socketpair()
        second.send(b"x")
        assert actor.poll([(first, select.POLLIN)], 1) == [(first.fileno(), select.POLLIN)]
        assert actor.select([first], seconds=1)[0] == [first]

    assert {"socketpair", "poll", "select"} <= {call.name for call in alone(part).calls}


def test_a_descriptor_that_is_no_more_can_be_used_in_vain():
    def part(actor):
        sock = actor.socket()
        again = actor.adopt(sock.fileno())
        sock.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            again.send(b"x")
        again.detach()

    (sent,) = named(alone(part), "send")
    assert (sent.fd, sent.errno) == (3, "EBADF")


def test_an_unused_port_is_found_without_a_trace():
    def part(actor):
        port = actor.unused_port()
        with actor.socket() as sock:
            sock.bind(("127.0.0.1", port))
        assert actor.unused_port(socket.AF_INET6)

    assert [call.name for call in alone(part).calls] == ["socket", "bind", "close", "exit"]


def test_a_crafted_packet():
    def part(actor):
        inet = actor.scapy()
        packet = inet.IP(src="127.0.0.1", dst="127.0.0.1") / inet.TCP(sport=9, dport=10, flags="R")
        actor.craft(packet)

    outcome = alone(part, privileged=True)

    (sent,) = named(outcome, "sendto")
    assert sent.args == {"length": 40, "flags": "0", "address": "127.0.0.1:0"}
    assert sent.result == 40
    assert named(outcome, "socket")[0].args["type"] == "SOCK_RAW|SOCK_CLOEXEC"


def test_waiting_for_another_actor():
    def server(actor):
        with actor.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            actor.tell("port", listener.getsockname()[1])
            connection, _ = listener.accept()
            actor.when_readable(connection)
            actor.tell("seen")
            actor.when_state(connection, "CLOSE-WAIT")
            connection.close()

    def client(actor):
        with actor.socket() as sock:
            sock.connect(("127.0.0.1", actor.ask("port")))
            actor.when_state(sock, "ESTABLISHED")
            sock.send(b"x")
            actor.when_acknowledged(sock)
            actor.ask("seen")
        actor.when_ended("server")

    outcome = performed(lambda stage: stage.play(server=server, client=client))

    ended = {role: process.ended_ns for role, process in roles(outcome).items()}
    assert ended["server"] <= named(outcome, "exit")[-1].entered_ns or ended["server"]


def test_waiting_in_vain_says_for_what():
    def part(actor):
        with pytest.raises(ScenarioFailed, match="client blocked in accept"):
            actor.when_blocked("client", "accept", seconds=0.05)

    alone(part)


def test_what_an_actor_prints_is_not_the_report(capfd):
    alone(lambda actor: print("spoken", os.getpid()))

    printed = capfd.readouterr()
    assert printed.out == ""
    assert "spoken" in printed.err
