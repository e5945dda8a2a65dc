"""The kernel's table of TCP sockets, for telling when a run has nothing more to send.

/proc/PID/net/tcp is the table of that process's network namespace, and stays so for an open file
when the process is gone (proc_pid_net(5); the states are those of include/net/tcp_states.h).
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

ESTABLISHED, SYN_SENT, SYN_RECV, FIN_WAIT1, FIN_WAIT2, TIME_WAIT = range(1, 7)
CLOSE, CLOSE_WAIT, LAST_ACK, LISTEN, CLOSING = range(7, 12)

STILL_SENDING = frozenset({ESTABLISHED, SYN_RECV, FIN_WAIT1, CLOSE_WAIT, LAST_ACK, CLOSING})
"""States that a socket whose process has ended leaves by sending or receiving something.

TIME-WAIT and FIN-WAIT-2 wait in silence; SYN-SENT and LISTEN end with their process.
"""


class SocketTable:
    """The TCP sockets of the network namespace of process ``pid``. A context manager.

    A table that is not there (no IPv6, no such process) has no sockets.
    """

    def __init__(self, pid: int | str = "self") -> None:
        tables = (Path(f"/proc/{pid}/net/{name}") for name in ("tcp", "tcp6"))
        with ExitStack() as stack:
            self._files = [
                stack.enter_context(table.open(encoding="ascii"))
                for table in tables
                if table.exists()
            ]
            self._stack = stack.pop_all()

    def settled(self, ports: frozenset[int] | None = None) -> bool:
        """True if no socket has anything to send; ``ports``: only those with such a local port."""
        return not any(
            state in STILL_SENDING and (ports is None or port in ports)
            for port, state in self._sockets()
        )

    def _sockets(self) -> list[tuple[int, int]]:
        """Local port and state of each."""
        found = []
        for file in self._files:
            file.seek(0)
            for line in file.readlines()[1:]:
                _, local, _, state, *_ = line.split()
                found.append((int(local.rpartition(":")[2], 16), int(state, 16)))
        return found

    def __enter__(self) -> SocketTable:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
