"""Random conversations of real processes, whose bytes tell which call sent them.

``Play(seed)`` is a behaviour's play: a server, clients, forked children, datagrams, loss, all
drawn from the seed; what the kernel then does differs from run to run, and the truth with it. So
the truth is in the bytes: the n-th sending call of a process sends ``marked(role, n, length)``,
and what its n-th receiving call returned is noted in a memory file that all processes share.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import pickle
import select
import struct
import subprocess
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from random import Random
from socket import (
    AF_INET,
    AF_INET6,
    IPPROTO_IPV6,
    IPPROTO_TCP,
    IPV6_V6ONLY,
    MSG_DONTWAIT,
    MSG_MORE,
    MSG_PEEK,
    MSG_WAITALL,
    SHUT_RD,
    SHUT_RDWR,
    SHUT_WR,
    SO_ERROR,
    SO_LINGER,
    SO_RCVBUF,
    SO_RCVTIMEO,
    SO_REUSEADDR,
    SO_SNDBUF,
    SO_SNDTIMEO,
    SOCK_DGRAM,
    SOL_SOCKET,
    TCP_CORK,
    TCP_NODELAY,
    TCP_QUICKACK,
)
from typing import Any

from observatory.lab import kernel
from observatory.lab.actor import Actor
from observatory.lab.playing import Stage
from observatory.sources.journal import FIRST_DESCRIPTOR

SIZES = (1, 1, 2, 10, 100, 536, 1448, 5000, 40_000, 65_483, 200_000)
LONGEST = max(SIZES)


@cache
def _mark(role: str, number: int) -> bytes:
    return Random(f"{role}/{number}").randbytes(LONGEST)


def marked(role: str, number: int, length: int) -> bytes:
    """What the ``number``-th sending call of ``role`` sends."""
    return _mark(role, number)[:length]


class Notes:
    """A memory file to which every process of a play appends what its receives returned."""

    def __init__(self) -> None:
        made = os.memfd_create("notes")
        # Above the numbers that an actor's own descriptors count through.
        self.fd = fcntl.fcntl(made, fcntl.F_DUPFD_CLOEXEC, FIRST_DESCRIPTOR)
        os.close(made)
        fcntl.fcntl(self.fd, fcntl.F_SETFL, os.O_APPEND)

    def add(self, role: str, number: int, data: bytes) -> None:
        raw = pickle.dumps((role, number, data))
        os.write(self.fd, struct.pack("I", len(raw)) + raw)

    def read(self) -> dict[tuple[str, int], bytes]:
        """What the n-th successful receiving call of a role returned."""
        raw, found, at = os.pread(self.fd, 1 << 30, 0), {}, 0
        while at < len(raw):
            (size,) = struct.unpack_from("I", raw, at)
            role, number, data = pickle.loads(raw[at + 4 : at + 4 + size])
            found[(role, number)] = data
            at += 4 + size
        return found

    def close(self) -> None:
        os.close(self.fd)


class Person:
    """One process: its choices, its sends counted and marked, its receives noted."""

    def __init__(self, actor: Actor, seed: int | str, notes: Notes) -> None:
        self.actor, self.notes = actor, notes
        self.seed = seed
        self.random = Random(f"{seed}/{actor.role}")
        self.sends = self.receives = 0
        self.kept: list[Any] = []

    def child(self, actor: Actor) -> Person:
        return Person(actor, self.seed, self.notes)

    def pause(self, longest: float = 0.004) -> None:
        self.actor.pause(self.random.choice((0.0, 0.0005, self.random.random() * longest)))

    def send(self, sock: Any, to: Any = None) -> None:
        random = self.random
        length = random.choice(SIZES if to is None else SIZES[:8])
        data = marked(self.actor.role, self.sends, length)
        flags = random.choice((0, 0, 0, MSG_DONTWAIT, MSG_MORE if random.random() < 0.3 else 0))
        self.sends += 1
        if to is not None:
            sock.sendto(data, to)
            return
        how = random.randrange(4)
        if how == 0:
            sock.sendmsg([data[: length // 2], data[length // 2 :]], (), flags)
        elif how == 1:
            sock.write(data)
        else:
            sock.send(data, flags)

    def receive(self, sock: Any, most: int | None = None) -> bytes:
        random = self.random
        size = most or random.choice((1, 7, 100, 1000, 4096, 65536, 300_000))
        flags = random.choice((0, 0, 0, MSG_PEEK, MSG_DONTWAIT, MSG_WAITALL))
        how = random.randrange(4)
        number = self.receives
        self.receives += 1
        if how == 0:
            data = sock.read(size)
        elif how == 1:
            data = sock.recvmsg(size, 0, flags)[0]
        elif how == 2:
            data, flags = sock.recvfrom(size, flags)[0], flags
        else:
            data = sock.recv(size, flags)
        self.notes.add(self.actor.role, number, data)
        return bytes(data) if not flags & MSG_PEEK else b"peeked"

    # What may happen on a connection.

    def drain(self, sock: Any) -> None:
        for _ in range(self.random.choice((3, 30))):
            with suppress(BlockingIOError):
                if not self.receive(sock):
                    return

    def wait(self, sock: Any) -> None:
        mask = self.random.choice((select.POLLIN, select.POLLOUT, select.POLLIN | select.POLLOUT))
        if self.random.random() < 0.5:
            self.actor.poll([(sock, mask | select.POLLRDHUP)], 0.02)
        else:
            self.actor.select([sock], [sock] if mask & select.POLLOUT else [], [], 0.02)

    def option(self, sock: Any) -> None:
        random = self.random
        level, name, value = random.choice(
            (
                (IPPROTO_TCP, TCP_NODELAY, 1),
                (IPPROTO_TCP, TCP_CORK, random.randrange(2)),
                (IPPROTO_TCP, TCP_QUICKACK, random.randrange(2)),
                (SOL_SOCKET, SO_RCVBUF, random.choice((1, 5000, 100_000))),
                (SOL_SOCKET, SO_SNDBUF, random.choice((1, 5000, 100_000))),
            )
        )
        sock.setsockopt(level, name, value)

    def shut(self, sock: Any) -> None:
        sock.shutdown(self.random.choice((SHUT_WR, SHUT_WR, SHUT_RD, SHUT_RDWR)))

    def ask(self, sock: Any) -> None:
        if self.random.random() < 0.5:
            sock.getsockopt(SOL_SOCKET, SO_ERROR)
        else:
            sock.getpeername()

    def duplicate(self, sock: Any) -> None:
        other = sock.dup()
        self.kept.append(other)
        self.some(other, 2)
        if self.random.random() < 0.8:
            other.close()

    def share(self, sock: Any) -> None:
        if self.actor.role.count(".") > 1:
            return

        def part(actor: Actor) -> None:
            person = self.child(actor)
            person.kept += self.kept
            person.some(sock, 3)
            person.end(sock)

        pid = self.actor.fork(part)
        if self.random.random() < 0.5:
            self.actor.wait(pid)
        elif self.random.random() < 0.3:
            self.pause()
            with suppress(ProcessLookupError):
                self.actor.kill(pid)

    STEPS: tuple[tuple[str, int], ...] = (
        ("send", 8), ("receive", 8), ("drain", 2), ("wait", 3), ("option", 2), ("shut", 1),
        ("ask", 1), ("duplicate", 1), ("share", 1), ("pause", 3),
    )  # fmt: skip

    def some(self, sock: Any, most: int) -> None:
        """Up to ``most`` random steps; what fails, fails."""
        names, weights = zip(*self.STEPS, strict=True)
        for name in self.random.choices(names, weights, k=self.random.randint(0, most)):
            with suppress(OSError):
                if name == "pause":
                    self.pause()
                else:
                    getattr(self, name)(sock)

    def end(self, sock: Any) -> None:
        """One of the ways by which a process gives a connection up."""
        random = self.random
        way = random.choice(
            ("close", "close", "close", "drain", "shutdown", "reset", "linger", "exit", "execute",
             "dissolve", "suicide")
        )  # fmt: skip
        with suppress(OSError):
            if way == "drain":
                self.drain(sock)
            elif way == "shutdown":
                sock.shutdown(random.choice((SHUT_WR, SHUT_RDWR)))
                self.pause()
            elif way == "reset":
                sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            elif way == "linger":
                sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 1))
            elif way == "exit":
                self.actor.exit(0)
            elif way == "execute":
                if random.random() < 0.3 and sock.fileno() >= 0:
                    sock.set_inheritable(True)
                self.actor.execute(["/bin/true"])
            elif way == "dissolve":
                sock.dissolve()
            elif way == "suicide":
                self.actor.kill(os.getpid())
        with suppress(OSError):
            sock.close()

    def prepare(self, sock: Any) -> None:
        """No call may wait for ever."""
        wait = struct.pack("ll", 0, self.random.choice((20_000, 60_000, 120_000)))
        with suppress(OSError):
            sock.setsockopt(SOL_SOCKET, SO_RCVTIMEO, wait)
            sock.setsockopt(SOL_SOCKET, SO_SNDTIMEO, wait)
            if self.random.random() < 0.15:
                sock.setblocking(False)
            if self.random.random() < 0.4:
                self.option(sock)


def hosts(random: Random) -> tuple[int, str, str]:
    """A server's family and address, and the address (or family) that its clients use."""
    return random.choice(
        (
            (AF_INET, "127.0.0.1", "127.0.0.1"),
            (AF_INET, "0.0.0.0", "127.0.0.2"),
            (AF_INET6, "::1", "::1"),
            (AF_INET6, "::", "127.0.0.1"),
            (AF_INET6, "::", "::ffff:127.0.0.1"),
        )
    )


class Play:
    """A random play: ``play(stage)``. ``notes`` is where its processes note what they received.

    Several with names of their own can share a stage (:class:`Crowd`); ``turns`` multiplies how
    many connections each of the processes makes or takes.
    """

    def __init__(self, seed: int | str, notes: Notes, name: str = "", turns: int = 1) -> None:
        self.seed, self.notes = seed, notes
        self.name, self.turns = name, turns
        random = Random(seed)
        self.clients = random.randint(1, 3)
        self.hosts = hosts(random)
        self.loss = random.choice((0, 0, 0, 5, 9))
        self.datagrams = random.random() < 0.5
        self.backlog = random.choice((0, 1, 5))

    def __call__(self, stage: Stage) -> None:
        if self.loss:
            _lose(self.loss)
        stage.play(**self.parts())

    def parts(self) -> dict[str, Callable[[Actor], object]]:
        """Its processes."""
        parts: dict[str, Callable[[Actor], object]] = {"server": self.server}
        parts |= {f"client{n}": self.client for n in range(1, self.clients + 1)}
        if self.datagrams:
            parts |= {"echo": self.echo, "asker": self.asker}
        return {f"{role}{self.name}": part for role, part in parts.items()}

    def person(self, actor: Actor) -> Person:
        return Person(actor, self.seed, self.notes)

    def server(self, actor: Actor) -> None:
        me = self.person(actor)
        family, address, _ = self.hosts
        listener = actor.socket(family)
        me.kept.append(listener)
        if family == AF_INET6:
            listener.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 0)
        me.prepare(listener)
        listener.setblocking(True)
        listener.bind((address, 0))
        listener.listen(self.backlog)
        actor.tell(f"port{self.name}", listener.getsockname()[1])
        for _ in range(me.random.randint(0, 4 * self.turns)):
            with suppress(OSError):
                connection, _ = listener.accept()
                me.kept.append(connection)
                self.serve(me, connection)
        if me.random.random() < 0.3:
            me.pause()
        if me.random.random() < 0.2:
            listener.shutdown(SHUT_RDWR)
            me.pause()
        if me.random.random() < 0.7:
            listener.close()

    def serve(self, me: Person, connection: Any) -> None:
        me.prepare(connection)

        def part(actor: Actor) -> None:
            child = me.child(actor)
            child.kept += me.kept
            child.some(connection, 10)
            child.end(connection)

        if me.random.random() < 0.5:
            me.actor.fork(part)
            connection.close()
            return
        me.some(connection, 10)
        if me.random.random() < 0.9:
            connection.close()

    def client(self, actor: Actor) -> None:
        me = self.person(actor)
        family, _, address = self.hosts
        family = AF_INET6 if ":" in address else AF_INET
        port = actor.ask(f"port{self.name}")
        own = actor.unused_port(family) if me.random.random() < 0.4 else 0
        turns = me.random.randint(1, 3 * self.turns)
        for turn in range(turns):
            sock = actor.socket(family)
            me.kept.append(sock)
            me.prepare(sock)
            with suppress(OSError):
                if own:
                    sock.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
                    sock.bind(("::" if family == AF_INET6 else "0.0.0.0", own))
                closed = me.random.random() < 0.1
                sock.connect((address, actor.unused_port(family) if closed else port))
                me.some(sock, 10)
            if turn == 3 * self.turns - 1:
                me.end(sock)
            elif me.random.random() < 0.8:
                if me.random.random() < 0.3:
                    sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()
        me.end(sock)

    def echo(self, actor: Actor) -> None:
        me = self.person(actor)
        family = me.random.choice((AF_INET, AF_INET6))
        sock = actor.socket(family, SOCK_DGRAM)
        me.prepare(sock)
        sock.setblocking(True)
        sock.bind(("::1" if family == AF_INET6 else "127.0.0.1", 0))
        actor.tell(f"echo{self.name}", [int(family), *sock.getsockname()[:2]])
        with suppress(OSError):
            for _ in range(me.random.randint(1, 6)):
                number = me.receives
                me.receives += 1
                data, sender = sock.recvfrom(100_000)
                me.notes.add(actor.role, number, data)
                me.send(sock, sender)
        sock.close()

    def asker(self, actor: Actor) -> None:
        me = self.person(actor)
        family, address, port = actor.ask(f"echo{self.name}")
        sock = actor.socket(family, SOCK_DGRAM)
        me.kept.append(sock)
        me.prepare(sock)
        connected = me.random.random() < 0.6
        if connected:
            sock.connect((address, port))
        for _ in range(me.random.randint(1, 8)):
            with suppress(OSError):
                choice = me.random.random()
                if choice < 0.5:
                    if connected:
                        data = marked(actor.role, me.sends, me.random.randint(0, 2000))
                        me.sends += 1
                        sock.send(data)
                    else:
                        me.send(sock, (address, port))
                elif choice < 0.9:
                    me.receive(sock, me.random.choice((10, 100_000)))
                else:
                    me.wait(sock)
        sock.close()


class Crowd:
    """Several random plays on one stage, of which none knows of the others."""

    def __init__(self, seed: int, notes: Notes, plays: int, turns: int) -> None:
        names = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:plays]
        self.plays = [Play(f"{seed}{name}", notes, name, turns) for name in names]

    def __call__(self, stage: Stage) -> None:
        every = [play.loss for play in self.plays if play.loss]
        if every:
            _lose(every[0])
        stage.play(**{role: part for play in self.plays for role, part in play.parts().items()})


def _lose(every: int) -> None:
    """Drop every n-th TCP segment that is longer than a header, in this namespace alone."""
    rules = f"""
table inet loss {{
  chain in {{
    type filter hook input priority 0;
    meta l4proto tcp meta length > 90 numgen inc mod {every} == {every - 1} drop
  }}
}}
"""
    subprocess.run(
        ["nft", "-f", "-"],
        input=rules,
        text=True,
        check=True,
        capture_output=True,
        preexec_fn=_keep_net_admin,
    )


def _keep_net_admin() -> None:
    """An ordinary user's power over the private network outlives exec only as an ambient
    capability (capabilities(7))."""
    libc = ctypes.CDLL(None, use_errno=True)
    net_admin = 1 << kernel.CAP_NET_ADMIN
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)(net_admin, net_admin, net_admin, 0, 0, 0)
    libc.capset(header, sets)
    raise_it = 2
    libc.prctl(kernel.PR_CAP_AMBIENT, raise_it, kernel.CAP_NET_ADMIN, 0, 0)
