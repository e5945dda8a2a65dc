"""What makes a conclusion sure: one table, a row for each that the kernel can speak of.

A row says what the calls, the wire and the kernel must each show, and what of the kernel's would
contradict it. The columns ``calls`` and ``wire`` are words: that they hold is the work of the rules
that drew the conclusion. The columns of the kernel are what ``witness_judge`` compares its events
with. docs/kernel-evidence.md is made from this table.

Where a row ``decides``, the kernel's agreement leaves no other reading: what was only likely
becomes certain. Contradicted, nothing is more than likely.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from observatory.analysis.evidence_words import Says, moved, reports, resets_for
from observatory.analysis.witness import NOT_TAKEN
from observatory.analysis.witness_events import (
    DROP,
    RECEIVE_RESET,
    RETRANSMIT,
    RETRANSMIT_SYNACK,
    SEND_RESET,
)


class Absence(StrEnum):
    """What it means that the kernel, asked, and with no event lost, said nothing of the kind."""

    NOTHING = "says nothing"
    AGREES = "agrees"
    CONTRADICTS = "contradicts"


@dataclass(frozen=True, slots=True)
class Row:
    """One conclusion and what each witness must show for it. ``kernel`` agrees if any of it was
    said, ``contradicts`` contradicts if any of it was and nothing of ``kernel``."""

    id: str
    conclusion: str
    calls: str
    wire: str
    kernel: tuple[Says, ...]
    contradicts: tuple[Says, ...] = ()
    absence: Absence = Absence.NOTHING
    decides: bool = False
    reference: str = ""


# --- RST: the mechanism, and the reason that Linux has for it (include/net/rstreason.h) ----------


def _reset(
    name: str,
    conclusion: str,
    calls: str,
    wire: str,
    *reasons: str,
    reference: str = "",
    decides: bool = False,
) -> Row:
    """A mechanism of a RST: any other reason contradicts it, and for a reply any other packet."""
    return Row(
        name,
        conclusion,
        calls,
        wire,
        (resets_for(*reasons),),
        (resets_for(*reasons, other=True), Says(SEND_RESET, elsewhere=True)),
        decides=decides,
        reference=reference,
    )


REPLY = "RST without ACK, or with ACK to a segment that had none"
ABORT = "RST with ACK, to a segment that had ACK, or to none"

RESET_ROWS = (
    _reset(
        "rst-nobody-listens",
        "Nobody listens",
        "no socket listens at the address at that time",
        f"{REPLY}; the segment before it is a SYN",
        "NO_SOCKET",
        reference="RFC 9293 3.10.7.1; Linux tcp_v4_rcv",
    ),
    _reset(
        "rst-unread-data",
        "Aborted with unread data",
        "the call gave up the last descriptor; fewer bytes were received than had come",
        ABORT,
        "TCP_ABORT_ON_CLOSE",
        reference="RFC 2525 2.17; Linux __tcp_close",
        decides=True,
    ),
    _reset(
        "rst-linger-zero",
        "Aborted by SO_LINGER 0",
        "SO_LINGER on with 0 seconds; the call gave up the last descriptor",
        ABORT,
        "TCP_STATE",
        "TCP_DISCONNECT_WITH_DATA",
        reference="socket(7); Linux tcp_disconnect",
        decides=True,
    ),
    _reset(
        "rst-while-closing",
        "Aborted as the socket was closed, why is not shown",
        "the call gave up the last descriptor; nothing shows unread bytes or SO_LINGER",
        ABORT,
        "TCP_ABORT_ON_CLOSE",
        "TCP_STATE",
        "TCP_ABORT_ON_LINGER",
        "TCP_ABORT_ON_MEMORY",
        "TCP_DISCONNECT_WITH_DATA",
        reference="Linux __tcp_close",
        decides=True,
    ),
    _reset(
        "rst-af-unspec",
        "Dissolved by connect() to AF_UNSPEC",
        "connect() to AF_UNSPEC ran",
        ABORT,
        "TCP_STATE",
        "TCP_DISCONNECT_WITH_DATA",
        reference="connect(2); Linux tcp_disconnect",
        decides=True,
    ),
    _reset(
        "rst-listener-closed",
        "The listener closed with a queue",
        "the listener's last descriptor was given up, or it was shut down; nobody had accepted",
        ABORT,
        "TCP_STATE",
        "TCP_DISCONNECT_WITH_DATA",
        reference="Linux inet_csk_listen_stop, inet_child_forget",
        decides=True,
    ),
    _reset(
        "rst-queue-full",
        "The accept queue was full, and tcp_abort_on_overflow set",
        "the listener was open; nobody had accepted",
        "RST without ACK, to the ACK that would have completed the handshake",
        "INVALID_SYN",
        reference="Linux tcp_check_req (embryonic_reset)",
    ),
    _reset(
        "rst-closed-socket",
        "A segment for a socket that was closed",
        "the last descriptor had been given up",
        REPLY,
        "TCP_ABORT_ON_DATA",
        "TCP_TIMEWAIT_SOCKET",
        "NO_SOCKET",
        "TCP_FLAGS",
        reference="RFC 9293 3.10.7.1; Linux tcp_rcv_state_process; to a listener TCP_FLAGS",
    ),
    _reset(
        "rst-shut-receiving",
        "Data for a socket that was shut for receiving too",
        "shutdown() of the receiving direction; a FIN had gone out",
        REPLY,
        "TCP_ABORT_ON_DATA",
        reference="Linux tcp_rcv_state_process (FIN-WAIT-1, FIN-WAIT-2)",
    ),
    _reset(
        "rst-was-reset",
        "A segment for a connection that was reset before",
        "",
        f"{REPLY}; a RST before it",
        "NO_SOCKET",
        "TCP_TIMEWAIT_SOCKET",
        "TCP_FLAGS",
        reference="RFC 9293 3.10.7.1",
    ),
    _reset(
        "rst-no-connection",
        "A segment for no connection",
        "no socket of this end has the connection, or has it any more",
        REPLY,
        "NO_SOCKET",
        "TCP_FLAGS",
        "TCP_TIMEWAIT_SOCKET",
        "TCP_ABORT_ON_DATA",
        reference="RFC 9293 3.10.7.1; Linux tcp_v4_rcv; to a listener tcp_rcv_state_process",
    ),
    _reset(
        "rst-old-ack",
        "In SYN-SENT, an ACK that is not of its SYN",
        "connect() waits",
        "RST with the number that the ACK asks for, which is an older connection's",
        "TCP_INVALID_ACK_SEQUENCE",
        "TCP_ACK_UNSENT_DATA",
        "TCP_TOO_OLD_ACK",
        reference="RFC 9293 3.5.1, 3.10.7.3; Linux tcp_rcv_synsent_state_process",
    ),
    _reset(
        "rst-peer-silent",
        "Keepalive or TCP_USER_TIMEOUT gave up",
        "SO_KEEPALIVE or TCP_USER_TIMEOUT is set",
        "RST with ACK, after segments that nobody answered",
        "TCP_KEEPALIVE_TIMEOUT",
        reference="RFC 1122 4.2.3.6, RFC 5482; Linux tcp_keepalive_timer",
        decides=True,
    ),
)


# What the kernel's reason tells of a mechanism that calls and wire leave open: which it was, and
# words for it.
REFINED: Mapping[tuple[str, str], tuple[str, str]] = {
    ("rst-while-closing", "TCP_ABORT_ON_CLOSE"): ("rst-unread-data", "bytes were unread"),
    ("rst-no-connection", "TCP_ABORT_ON_DATA"): (
        "rst-closed-socket",
        "nobody can read it any more",
    ),
}


# --- Other segments ------------------------------------------------------------------------------

SENT_FIN = ("FIN-WAIT-1", "LAST-ACK")
# close() after shutdown() sets FIN-WAIT-1 once more: that sends nothing.
MAY_SEND_FIN = ("ESTABLISHED", "SYN-RECEIVED", "CLOSE-WAIT")

SEGMENT_ROWS = (
    Row(
        "syn",
        "connect() (or a send with Fast Open) sent the SYN",
        "a call that opens actively ran, on the socket with these ports",
        "SYN with an ISN of its own",
        (moved("SYN-SENT", old=("CLOSED",), thread=True),),
        (moved("SYN-SENT", old=("CLOSED",), stranger=True),),
        decides=True,
        reference="Linux tcp_v4_connect: it runs in the caller's thread",
    ),
    Row(
        "fin",
        "The call that gave up the last descriptor, or shutdown(), sent the FIN",
        "the call gave up the last descriptor, or shut the sending direction down",
        "FIN, the first of its direction",
        (moved(*SENT_FIN, old=MAY_SEND_FIN, thread=True),),
        (moved(*SENT_FIN, old=MAY_SEND_FIN, stranger=True),),
        decides=True,
        reference="Linux tcp_close_state: it runs in the caller's thread",
    ),
    Row(
        "retransmission",
        "Sent again",
        "",
        "bytes, SYN or FIN that were sent before, and nothing new",
        (Says(RETRANSMIT),),
        absence=Absence.CONTRADICTS,
        reference="RFC 6298, RFC 5681 3.2; Linux __tcp_retransmit_skb",
    ),
    Row(
        "syn-ack-again",
        "SYN-ACK sent again",
        "",
        "a SYN-ACK that was sent before",
        (Says(RETRANSMIT_SYNACK),),
        reference="Linux tcp_rtx_synack",
    ),
    Row(
        "first-transmission",
        "Sent for the first time",
        "",
        "SYN that was not sent before",
        (),
        (Says(RETRANSMIT),),
        reference="Linux __tcp_retransmit_skb",
    ),
)


# --- Calls: by their name and outcome, or by the rule that explains them -------------------------

GONE = moved("CLOSED")

CALL_ROWS = (
    Row(
        "connected",
        "connect() succeeded: the connection is established",
        "connect() returned 0",
        "SYN-ACK (or SYN, where both opened) came before it returned",
        (moved("ESTABLISHED", old=("SYN-SENT", "SYN-RECEIVED")),),
        absence=Absence.CONTRADICTS,
        reference="RFC 9293 3.10.7.3; Linux tcp_finish_connect",
    ),
    Row(
        "failed-by-error",
        "The call failed with an error that the kernel had for the socket",
        "the call returned the errno",
        "RST or ICMP error before it returned, or no answer at all",
        (reports(errno=True),),
        (reports(errno=False),),
        reference="Linux sk_error_report, inet_sk_error_report",
    ),
    Row(
        "broken-by-reset",
        "Sending failed: a RST had ended the connection",
        "the call returned EPIPE",
        "RST before it returned",
        (Says(RECEIVE_RESET),),
        reference="Linux tcp_reset, sk_stream_wait_connect",
    ),
    Row(
        "eof",
        "EOF: the peer's FIN had come",
        "the call returned 0 bytes",
        "FIN before it returned",
        (
            moved("CLOSE-WAIT", "CLOSING", "TIME-WAIT"),
            moved("CLOSED", old=("FIN-WAIT-2", "CLOSING")),
        ),
        absence=Absence.CONTRADICTS,
        reference="RFC 9293 3.10.7.4, eighth; Linux tcp_fin",
    ),
    Row(
        "accepted",
        "accept() returned a connection whose handshake had been completed",
        "accept() returned a descriptor",
        "the ACK that completes the handshake (Fast Open: the SYN) before it returned",
        (moved("ESTABLISHED", old=("SYN-RECEIVED",)), moved("SYN-RECEIVED", old=("LISTEN",))),
        absence=Absence.CONTRADICTS,
        reference="RFC 9293 3.10.7.4, fifth; Linux tcp_v4_syn_recv_sock",
    ),
    Row(
        "accepted-aborted",
        "accept() returned a connection that the peer had reset",
        "accept() returned a descriptor",
        "RST of the peer before it returned",
        (Says(RECEIVE_RESET), GONE),
        absence=Absence.CONTRADICTS,
        reference="UNP 5.11; Linux inet_csk_accept",
    ),
    Row(
        "listening",
        "listen() made the socket a listener",
        "listen() returned 0",
        "nothing",
        (moved("LISTEN", old=("CLOSED",), thread=True),),
        absence=Absence.CONTRADICTS,
        reference="Linux inet_csk_listen_start",
    ),
    Row(
        "closed-orderly",
        "The call ended the sending: FIN",
        "it gave up the last descriptor, or shut down",
        "FIN",
        (moved(*SENT_FIN, old=MAY_SEND_FIN, thread=True),),
        (moved(*SENT_FIN, old=MAY_SEND_FIN, stranger=True),),
        decides=True,
        reference="RFC 9293 3.10.4; Linux tcp_close_state",
    ),
    Row(
        "not-last",
        "close() sent nothing: the socket has another descriptor",
        "another descriptor of the socket is open (dup, fork)",
        "nothing of the connection while the call ran",
        (),
        (moved(*SENT_FIN, "CLOSED", old=(*MAY_SEND_FIN, "SYN-SENT"), thread=True),),
        absence=Absence.AGREES,
        reference="close(2); Linux fput",
    ),
    Row(
        "listener-closed",
        "The listener was closed",
        "its last descriptor was given up, or it was shut down",
        "nothing, or RST for each connection in its queue",
        (moved("CLOSED", old=("LISTEN",), thread=True),),
        (moved("CLOSED", old=("LISTEN",), stranger=True),),
        decides=True,
        reference="Linux inet_csk_listen_stop",
    ),
)

COMPLETED = Row(
    "completed",
    "A segment completed the call",
    "the call waited, or was told what had come",
    "the segment came to this end's host before the call returned",
    (),
    (Says(DROP, {"reason": tuple(sorted(NOT_TAKEN))}),),
    reference="Linux include/net/dropreason-core.h: what is dropped before TCP completes nothing",
)

ROWS: tuple[Row, ...] = (*RESET_ROWS, *SEGMENT_ROWS, *CALL_ROWS, COMPLETED)
ROW: Mapping[str, Row] = {row.id: row for row in ROWS}


@dataclass(frozen=True, slots=True)
class Asked:
    """Which calls a row of ``CALL_ROWS`` speaks of: those that one of ``rules`` explains. ``of``
    says whose events count: of the ``connection``'s own end, the ``accepted`` one's, or the
    ``listener``'s."""

    row: str
    rules: frozenset[str] = field(default_factory=frozenset)
    of: str = "connection"


def _asked(row: str, of: str, *rules: str) -> Asked:
    return Asked(row, frozenset(rules), of)


ASKED: tuple[Asked, ...] = (
    _asked(
        "connected",
        "connection",
        "connect-established",
        "connect-after-retransmission",
        "connect-after-full-queue",
        "connect-collected",
        "connect-wildcard",
        "connect-v4-mapped",
        "connect-self",
        "connect-simultaneous",
    ),
    _asked(
        "failed-by-error",
        "connection",
        "connect-refused",
        "connect-refused-icmp",
        "connect-refused-icmp-later",
        "connect-timed-out",
        "connect-timed-out-queue-full",
        "connect-reset",
        "send-reset",
        "send-timed-out",
        "recv-reset",
        "recv-refused-by-reset",
        "recv-timed-out",
    ),
    _asked("broken-by-reset", "connection", "send-broken-by-reset"),
    _asked("eof", "connection", "recv-eof"),
    _asked("accepted", "accepted", "accept", "accept-with-data", "accept-fast-open"),
    _asked("accepted-aborted", "accepted", "accept-aborted"),
    _asked("listening", "listener", "listen", "listen-unbound"),
    _asked(
        "closed-orderly",
        "connection",
        "close-active",
        "close",
        "close-lingered",
        "shutdown-write",
        "shutdown-both",
    ),
    _asked("not-last", "connection", "close-not-last"),
    _asked(
        "listener-closed",
        "listener",
        "close-listener",
        "close-aborts-queue",
        "shutdown-listener",
        "shutdown-stops-listening",
    ),
)
ASKED_BY_RULE: Mapping[str, Asked] = {rule: asked for asked in ASKED for rule in asked.rules}
