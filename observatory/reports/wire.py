"""What the wire shows of each connection: its ends, its states, its bytes, how it went."""

from __future__ import annotations

from collections.abc import Iterator

from observatory.model import Analysis, Connection, Protocol
from observatory.reports.labels import process_names, segments_text
from observatory.reports.style import Look, cells

MOST_CONNECTIONS = 25


def connections(analysis: Analysis, look: Look, full: bool = False) -> list[str]:
    """The section on connections; empty where there are none.

    For each: both endpoints with the states they went through, how it opened and closed, the
    bytes each way and what was sent again.
    """
    known = analysis.connections
    if not known:
        return []
    shown = known if full else known[:MOST_CONNECTIONS]
    holders = _holders(analysis)
    fates = _fates(analysis)
    lines = [look.title("Connections and their states")]
    for connection in shown:
        story = [*_story(connection, holders), *fates.get(connection.id, ())]
        lines += [*_connection(connection, story, look), ""]
    if len(shown) < len(known):
        more = f"… {len(known) - len(shown):,} more connections · --full shows them all …"
        return lines + look.paragraph(more, "  ")
    return lines[:-1]


def _connection(connection: Connection, story: list[str], look: Look) -> Iterator[str]:
    head = f"  conn {connection.id}  "
    indent = " " * len(head)
    client, server = str(connection.client), str(connection.server)
    width = max(cells(client), cells(server))
    ends = [("client", client, connection.client_states)]
    if server != client:
        ends.append(("server", server, connection.server_states))
    for number, (side, endpoint, states) in enumerate(ends):
        named = f"{side} {endpoint.ljust(width)}  "
        path = " → ".join(states) or "never seen"
        start = (head if number == 0 else indent) + named
        # On a narrow page the states go below the endpoint rather than into a thin column.
        fits = look.width - len(start) >= 30
        if fits:
            yield from _hung(start, path, look)
        else:
            yield look.text(start.rstrip())
            yield from look.paragraph(path, indent + "  ")
    yield from look.flow(story, indent)


def _hung(start: str, words: str, look: Look) -> Iterator[str]:
    lines = look.paragraph(words, " " * cells(start))
    yield look.text(start) + lines[0][cells(start) :]
    yield from lines[1:]


def _story(connection: Connection, holders: dict[tuple[int, str], tuple[str, ...]]) -> list[str]:
    """Whose sockets they are, how it opened and closed, bytes each way, what was sent again."""
    ends = (str(connection.client), str(connection.server))
    held = {", ".join(holders.get((connection.id, endpoint), ())): None for endpoint in ends}
    parts = [
        " and ".join(part for part in held if part),
        connection.opened and f"opened: {connection.opened}",
        connection.closed and f"closed: {connection.closed}",
        f"{connection.client_bytes:,} bytes to the server, "
        f"{connection.server_bytes:,} to the client",
        _count(len(connection.segments), "segment"),
        connection.retransmissions and _count(connection.retransmissions, "retransmission"),
        connection.complete and f"seen: {connection.complete}",
    ]
    return [str(part) for part in parts if part]


def _fates(analysis: Analysis) -> dict[int, list[str]]:
    """What became of the SYNs without an answer, by connection: ``SYN #1 #2 lost on the path``."""
    found: dict[int, dict[str, list[int]]] = {}
    for entry in analysis.segments:
        if entry.fate and entry.connection is not None:
            told = found.setdefault(entry.connection, {})
            told.setdefault(entry.fate, []).append(entry.segment.id)
    return {
        number: [f"SYN {segments_text(tuple(ids))} {fate}" for fate, ids in told.items()]
        for number, told in found.items()
    }


def _holders(analysis: Analysis) -> dict[tuple[int, str], tuple[str, ...]]:
    """The processes that are known to have held each end of each connection."""
    names = process_names(analysis)
    found: dict[tuple[int, str], dict[str, None]] = {}
    for entry in analysis.segments:
        if entry.connection is None or entry.segment.protocol is not Protocol.TCP:
            continue
        for endpoint, pid in (
            (entry.segment.src, entry.src_pid),
            (entry.segment.dst, entry.dst_pid),
        ):
            if pid is not None:
                name = names.get(pid, f"pid[{pid}]")
                found.setdefault((entry.connection, str(endpoint)), {})[name] = None
    return {key: tuple(held) for key, held in found.items()}


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
