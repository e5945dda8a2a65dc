"""The replay of single connections, each a script of segments. The plays test it in the whole."""

from __future__ import annotations

import pytest

from observatory.analysis.machine import TRANSITIONS, WIRE
from observatory.analysis.states import StatePaths, Step, state_paths
from observatory.model import Endpoint
from tests.plays import read_play

CLIENT = Endpoint("10.0.0.1", 5000)
# A millisecond apart: what is closer may have crossed on its way.
DIRECTIONS = {"> ": "+1ms client:5000 > server:80 ", "< ": "+1ms server:80 > client:5000 "}

OPEN = """
> S 1000
< S. 5000 ack 1
> . ack 1
"""
OPENED = "CLOSED SYN-SENT ESTABLISHED"
ACCEPTED = "CLOSED LISTEN SYN-RECEIVED ESTABLISHED"

# name: (segments, client's path, server's path). ">" is sent by the client, "<" by the server.
SCRIPTS: dict[str, tuple[str, str, str]] = {
    "handshake": (OPEN, OPENED, ACCEPTED),
    "a SYN that nobody answers": ("> S 1\n> S 1\n", "CLOSED SYN-SENT", "CLOSED LISTEN"),
    "refused": ("> S 1000\n< R. 0 ack 1\n", "CLOSED SYN-SENT CLOSED", "CLOSED"),
    "a RST for another ISN is no refusal": (
        "> S 1000\n< R. 0 ack -50\n> S 1000\n",
        "CLOSED SYN-SENT",
        "CLOSED",
    ),
    "a SYN-ACK that nobody acknowledges": (
        "> S 1000\n< S. 5000 ack 1\n< S. 5000 ack 1\n",
        "CLOSED SYN-SENT",
        "CLOSED LISTEN SYN-RECEIVED",
    ),
    "the server ignores the last ACK": (
        OPEN + "< S. 5000 ack 1\n> . ack 1\n",
        OPENED,
        "CLOSED LISTEN SYN-RECEIVED",
    ),
    "the server ignores it twice and then has room": (
        OPEN + "> P. (5) ack 1\n< S. 5000 ack 1\n> . ack 1\n> P. 1:6(5) ack 1\n< . ack 6\n",
        OPENED,
        ACCEPTED,
    ),
    "the SYN-ACK crosses the ACK of a server that goes on": (
        OPEN + "< P. (5) ack 1\n< S. 5000 ack 1\n> . ack 6\n",
        OPENED,
        ACCEPTED,
    ),
    "simultaneous open": (
        """
        > S 1000
        < S 5000
        > S. 1000 ack 1
        < S. 5000 ack 1
        > . ack 1
        < . ack 1
        """,
        "CLOSED SYN-SENT SYN-RECEIVED ESTABLISHED",
        "CLOSED SYN-SENT SYN-RECEIVED ESTABLISHED",
    ),
    "simultaneous open reset by one side": (
        "> S 1000\n< S 5000\n> S. 1000 ack 1\n< R. 1 ack 1\n",
        "CLOSED SYN-SENT SYN-RECEIVED CLOSED",
        "CLOSED SYN-SENT ESTABLISHED CLOSED",
    ),
    "half-open discovery: the attempt survives its own RST": (
        "> S 1000\n< . 5000 ack -300\n> R -300\n> S 1000\n",
        "CLOSED SYN-SENT",
        "CLOSED",
    ),
    "the client gave up before the SYN-ACK came": (
        "> S 1000\n< S. 5000 ack 1\n> R 1\n",
        "CLOSED SYN-SENT CLOSED",
        "CLOSED LISTEN SYN-RECEIVED LISTEN",
    ),
    "the server resets the handshake's last ACK": (
        OPEN + "< R 1\n",
        OPENED + " CLOSED",
        "CLOSED LISTEN SYN-RECEIVED CLOSED",
    ),
    "a queued connection is reset when its listener closes": (
        OPEN + "< R. 1 ack 1\n",
        OPENED + " CLOSED",
        ACCEPTED + " CLOSED",
    ),
    "the client closes first": (
        OPEN + "> F. ack 1\n< . ack 2\n< F. ack 2\n> . ack 2\n",
        OPENED + " FIN-WAIT-1 FIN-WAIT-2 TIME-WAIT",
        ACCEPTED + " CLOSE-WAIT LAST-ACK CLOSED",
    ),
    "FIN and ACK of FIN in one segment": (
        OPEN + "> F. ack 1\n< F. ack 2\n> . ack 2\n",
        OPENED + " FIN-WAIT-1 FIN-WAIT-2 TIME-WAIT",
        ACCEPTED + " CLOSE-WAIT LAST-ACK CLOSED",
    ),
    "the server closes first, data in the FIN": (
        OPEN + "< FP. 1:101(100) ack 1\n> . ack 102\n> F. ack 102\n< . ack 2\n",
        OPENED + " CLOSE-WAIT LAST-ACK CLOSED",
        ACCEPTED + " FIN-WAIT-1 FIN-WAIT-2 TIME-WAIT",
    ),
    "a FIN that is never acknowledged": (
        OPEN + "> F. ack 1\n> F. 1 ack 1\n",
        OPENED + " FIN-WAIT-1",
        ACCEPTED,
    ),
    "a FIN before the data that it follows": (
        OPEN + "> F. 101 ack 1\n< . ack 1\n> P. 1:101(100) ack 1\n< . ack 102\n",
        OPENED + " FIN-WAIT-1 FIN-WAIT-2",
        ACCEPTED + " CLOSE-WAIT",
    ),
    "half-close, data flows the other way": (
        OPEN + "> F. ack 1\n< . ack 2\n< P. (9) ack 2\n> . ack 10\n",
        OPENED + " FIN-WAIT-1 FIN-WAIT-2",
        ACCEPTED + " CLOSE-WAIT",
    ),
    "simultaneous close": (
        OPEN + "> F. ack 1\n< F. ack 1\n> . ack 2\n< . ack 2\n",
        OPENED + " FIN-WAIT-1 CLOSING TIME-WAIT",
        ACCEPTED + " FIN-WAIT-1 CLOSING TIME-WAIT",
    ),
    "simultaneous close, one ACK lost": (
        OPEN + "> F. ack 1\n< F. ack 1\n> . ack 2\n< . ack 2\n> F. 1 ack 2\n< . ack 2\n",
        OPENED + " FIN-WAIT-1 CLOSING TIME-WAIT",
        ACCEPTED + " FIN-WAIT-1 CLOSING TIME-WAIT",
    ),
    "simultaneous close that waits for its ACK": (
        OPEN + "> F. ack 1\n< F. ack 1\n> . ack 2\n> F. 1 ack 2\n",
        OPENED + " FIN-WAIT-1 CLOSING",
        ACCEPTED + " FIN-WAIT-1 FIN-WAIT-2",
    ),
    "the ACK of a FIN is lost": (
        OPEN + "> F. ack 1\n< F. ack 2\n> . ack 2\n< F. 1 ack 2\n",
        OPENED + " FIN-WAIT-1 FIN-WAIT-2 TIME-WAIT",
        ACCEPTED + " CLOSE-WAIT LAST-ACK",
    ),
    "the ACK of a FIN is lost and sent again": (
        OPEN + "> F. ack 1\n< F. ack 2\n> . ack 2\n< F. 1 ack 2\n> . ack 2\n",
        OPENED + " FIN-WAIT-1 FIN-WAIT-2 TIME-WAIT",
        ACCEPTED + " CLOSE-WAIT LAST-ACK CLOSED",
    ),
    "the first ACK of the first FIN is lost": (
        OPEN + "> F. ack 1\n< . ack 2\n> F. 1 ack 1\n",
        OPENED + " FIN-WAIT-1",
        ACCEPTED + " CLOSE-WAIT",
    ),
    "abort": (OPEN + "> R. ack 1\n", OPENED + " CLOSED", ACCEPTED + " CLOSED"),
    "a RST outside the window changes nothing for its receiver": (
        OPEN + "> P. (100) ack 1\n< . ack 101\n> R. 50 ack 1\n< . ack 101\n",
        OPENED + " CLOSED",
        ACCEPTED,
    ),
    "whoever goes on sending was not reset": (
        OPEN + "> R. 1 ack 1\n< P. (5) ack 1\n",
        OPENED + " CLOSED",
        ACCEPTED,
    ),
    "data to a closed peer is reset": (
        OPEN + "> F. ack 1\n< . ack 2\n< P. (5) ack 2\n> R 2\n",
        OPENED + " FIN-WAIT-1 FIN-WAIT-2 CLOSED",
        ACCEPTED + " CLOSE-WAIT CLOSED",
    ),
    "reset while the FIN is under way": (
        OPEN + "< P. (5) ack 1\n> F. ack 1\n< R. 6 ack 1\n",
        OPENED + " FIN-WAIT-1 CLOSED",
        ACCEPTED + " CLOSED",
    ),
    "a reset after the own FIN": (
        OPEN + "> F. ack 1\n> R. ack 1\n",
        OPENED + " FIN-WAIT-1 CLOSED",
        ACCEPTED + " CLOSE-WAIT CLOSED",
    ),
    "an abort tells that the SYN-ACK had come": (
        "> S 1000\n< S. 5000 ack 1\n> R. 1 ack 1\n",
        "CLOSED SYN-SENT ESTABLISHED CLOSED",
        "CLOSED LISTEN SYN-RECEIVED LISTEN",
    ),
    "an abort tells that a FIN had come": (
        OPEN + "> F. ack 1\n< R. 1 ack 2\n",
        OPENED + " FIN-WAIT-1 CLOSED",
        ACCEPTED + " CLOSE-WAIT CLOSED",
    ),
    "the half-closed side is reset": (
        OPEN + "> F. ack 1\n< . ack 2\n< R. 1 ack 2\n",
        OPENED + " FIN-WAIT-1 FIN-WAIT-2 CLOSED",
        ACCEPTED + " CLOSE-WAIT CLOSED",
    ),
    "reset while closing at once, by both": (
        OPEN + "> F. ack 1\n< F. ack 1\n> . ack 2\n> R 2\n",
        OPENED + " FIN-WAIT-1 CLOSING CLOSED",
        ACCEPTED + " FIN-WAIT-1 CLOSING TIME-WAIT CLOSED",
    ),
    "reset received in CLOSING": (
        OPEN + "> F. ack 1\n< F. ack 1\n> . ack 2\n< R 2\n",
        OPENED + " FIN-WAIT-1 CLOSING CLOSED",
        ACCEPTED + " FIN-WAIT-1 CLOSING TIME-WAIT CLOSED",
    ),
    "the last FIN draws a RST": (
        OPEN + "< F. ack 1\n> . ack 2\n> F. ack 2\n< R 2\n",
        OPENED + " CLOSE-WAIT LAST-ACK CLOSED",
        ACCEPTED + " FIN-WAIT-1 FIN-WAIT-2 CLOSED",
    ),
    "a RST out of LAST-ACK": (
        OPEN + "< F. ack 1\n> . ack 2\n> F. ack 2\n> R 2\n",
        OPENED + " CLOSE-WAIT LAST-ACK CLOSED",
        ACCEPTED + " FIN-WAIT-1 FIN-WAIT-2 TIME-WAIT CLOSED",
    ),
    "TIME-WAIT assassination (RFC 1337)": (
        OPEN + "> F. ack 1\n< F. ack 2\n> . ack 2\n< R 2\n",
        OPENED + " FIN-WAIT-1 FIN-WAIT-2 TIME-WAIT CLOSED",
        ACCEPTED + " CLOSE-WAIT LAST-ACK CLOSED",
    ),
    "a RST out of TIME-WAIT": (
        OPEN + "> F. ack 1\n< F. ack 2\n> . ack 2\n> R 2\n",
        OPENED + " FIN-WAIT-1 FIN-WAIT-2 TIME-WAIT CLOSED",
        ACCEPTED + " CLOSE-WAIT LAST-ACK CLOSED",
    ),
    "fast open: the server answers and closes before the last ACK": (
        "> S 1000(5) <tfo>\n< S. 5000 ack 6\n< FP. (3) ack 6\n> . 6 ack 5\n",
        OPENED + " CLOSE-WAIT",
        "CLOSED LISTEN SYN-RECEIVED FIN-WAIT-1 FIN-WAIT-2",
    ),
    "a FIN in the SYN": (
        "> SF 1000\n< S. 5000 ack 2\n> . 2 ack 1\n",
        OPENED + " FIN-WAIT-1 FIN-WAIT-2",
        "CLOSED LISTEN SYN-RECEIVED CLOSE-WAIT",
    ),
    "wrapped sequence numbers": (
        "> S 4294967295\n< S. 4294967290 ack 1\n> . ack 1\n> F. 1:9(8) ack 1\n< . ack 10\n"
        "< F. 1:21(20) ack 10\n> . ack 22\n",
        OPENED + " FIN-WAIT-1 FIN-WAIT-2 TIME-WAIT",
        ACCEPTED + " CLOSE-WAIT LAST-ACK CLOSED",
    ),
    "the SYN-ACK is missing": ("> S 1000\n> . ack 1\n< . ack 1\n", OPENED, ACCEPTED),
    "the final ACK is missing, data shows it": (
        "> S 1000\n< S. 5000 ack 1\n> P. (5) ack 1\n< . ack 6\n",
        OPENED,
        ACCEPTED,
    ),
}

MIDSTREAM: dict[str, tuple[str, str, str]] = {
    "data": ("> P. 1:11(10) ack 1\n< . ack 11\n", "ESTABLISHED", "ESTABLISHED"),
    "orderly close": (
        "> P. 1:11(10) ack 1\n> F. ack 1\n< F. ack 12\n> . ack 2\n",
        "ESTABLISHED FIN-WAIT-1 FIN-WAIT-2 TIME-WAIT",
        "ESTABLISHED CLOSE-WAIT LAST-ACK CLOSED",
    ),
    "abort": ("> R. 1 ack 1\n", "ESTABLISHED CLOSED", "ESTABLISHED CLOSED"),
    "a segment of no connection": (
        "> . 1 ack 1\n< R 1\n",
        "ESTABLISHED CLOSED",
        "CLOSED",
    ),
    "the SYN is missing": ("< S. 5000 ack 1\n> . ack 1\n< . ack 1\n", OPENED, ACCEPTED),
}


def replay(script: str, **options: bool) -> StatePaths:
    """The paths of a script of ``>`` and ``<`` lines."""
    lines = [line.strip() for line in script.strip().splitlines()]
    play = read_play("\n".join(DIRECTIONS[line[:2]] + line[2:] for line in lines))
    return state_paths([Step(s.src == CLIENT, s) for s in play.trace.segments], **options)


@pytest.mark.parametrize("name", SCRIPTS)
def test_whole_connections(name: str) -> None:
    script, client, server = SCRIPTS[name]
    paths = replay(script)
    assert (" ".join(paths.client), " ".join(paths.server)) == (client, server)
    assert not paths.midstream


def test_a_fin_that_crossed_the_ack_of_it_does_not_say_that_none_came() -> None:
    """Both timers ran out at once; the client's FIN, sent again, acknowledges the server's."""
    script = OPEN + "< F. ack 1\n> F. ack 2\n< F. 1 ack 1\n> . ack 2\n< . ack 2\n"
    lines = [DIRECTIONS[line[:2]] + line[2:] for line in script.strip().splitlines()]
    lines[-3] = lines[-3].replace("+1ms", "+30us")
    play = read_play("\n".join(lines))
    paths = state_paths([Step(s.src == CLIENT, s) for s in play.trace.segments])
    assert " ".join(paths.server).endswith("FIN-WAIT-1 FIN-WAIT-2 TIME-WAIT")


@pytest.mark.parametrize("name", MIDSTREAM)
def test_connections_that_were_open_before_the_capture(name: str) -> None:
    script, client, server = MIDSTREAM[name]
    paths = replay(script)
    assert (" ".join(paths.client), " ".join(paths.server)) == (client, server)
    assert paths.midstream


def test_every_transition_that_segments_can_show_is_shown_by_a_script() -> None:
    shown = set()
    for script, _, _ in (SCRIPTS | MIDSTREAM).values():
        paths = replay(script)
        shown |= set(zip(paths.client, paths.client_events, strict=False))
        shown |= set(zip(paths.server, paths.server_events, strict=False))
    wanted = {(row.state, row.event) for row in TRANSITIONS if row.shown_by == WIRE}
    assert wanted - shown == set()
    assert shown <= wanted


def test_each_event_leads_to_the_next_state() -> None:
    machine = {(row.state, row.event): row.next for row in TRANSITIONS}
    for script, _, _ in SCRIPTS.values():
        paths = replay(script)
        for path, events in (
            (paths.client, paths.client_events),
            (paths.server, paths.server_events),
        ):
            assert len(path) == len(events) + 1
            assert [machine[pair] for pair in zip(path, events, strict=False)] == [*path[1:]]


def test_a_socket_connected_to_itself_has_one_path() -> None:
    script = """
    client:5000 > client:5000 S 1000
    client:5000 > client:5000 S. 1000 ack 1
    client:5000 > client:5000 . 1 ack 1
    client:5000 > client:5000 P. 1:6(5) ack 1
    client:5000 > client:5000 . 6 ack 6
    client:5000 > client:5000 F. 6 ack 6
    client:5000 > client:5000 . 7 ack 7
    """
    steps = [Step(True, segment) for segment in read_play(script).trace.segments]
    paths = state_paths(steps, same_endpoint=True)
    assert paths.client == (
        *("CLOSED", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED"),
        *("FIN-WAIT-1", "CLOSING", "TIME-WAIT"),
    )
    assert paths.server == ()


def test_a_connect_from_the_server_of_the_tuple_opens_actively() -> None:
    paths = replay("< S 5000\n> S. 1000 ack 1\n< . ack 1\n")
    assert " ".join(paths.server) == OPENED
    assert " ".join(paths.client) == ACCEPTED


def test_no_listener_is_assumed_when_it_is_known_that_there_was_none() -> None:
    assert replay("> S 1\n", listening=False).server == ("CLOSED",)


def test_nothing_was_seen() -> None:
    assert state_paths([]) == StatePaths(("CLOSED",), ("CLOSED",))


def test_data_in_an_open_connection_is_not_replayed() -> None:
    """Linear, and cheap where nothing can happen: such segments are asked for their flags only."""
    asked = 0

    class Data:
        """A segment that counts what is asked of it."""

        def __getattr__(self, name: str) -> str:
            nonlocal asked
            asked += 1
            assert name == "flags"
            return "PA"

    opening = [
        Step(s.src == CLIENT, s)
        for s in read_play(
            """
            client:5000 > server:80 S 1000
            server:80 > client:5000 S. 5000 ack 1
            client:5000 > server:80 . ack 1
            server:80 > client:5000 . ack 1
            """
        ).trace.segments
    ]
    state_paths(opening + [Step(True, Data())] * 1000)  # type: ignore[list-item]
    assert asked == 1000
