"""The statements of UNP volume 1 (Stevens, Fenner, Rudoff; third edition) that are put to the test.

Paraphrased, with a few words of the book's own. Each names the behaviours that test it, and for
each the predicate that decides; the verdict is what the predicates find, and stands nowhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from observatory.claims import predicates_accept as accept
from observatory.claims import predicates_bind as bind
from observatory.claims import predicates_close as close
from observatory.claims import predicates_connect as connect
from observatory.claims import predicates_listen as listen
from observatory.claims import predicates_processes as processes
from observatory.claims import predicates_socket as socket
from observatory.claims import predicates_unanswered as unanswered
from observatory.claims.looking import Run
from observatory.model.claims import Finding

Predicate = Callable[[Run], Finding]


@dataclass(frozen=True, slots=True)
class Trial:
    """A behaviour, and the predicate that its run is held against. ``slow`` ones take minutes
    and are run only when that is asked for."""

    behaviour: str
    predicate: Predicate
    slow: bool = False


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: where the book makes it, what it says, and what tests it."""

    number: int
    section: str
    text: str
    quoted: str
    tests: tuple[Trial, ...]

    @property
    def behaviours(self) -> tuple[str, ...]:
        """The names of the behaviours that test it, the slow ones too."""
        return tuple(test.behaviour for test in self.tests)


def _statement(
    number: int, section: str, text: str, quoted: str, *tests: tuple[str, Predicate] | Trial
) -> Statement:
    made = (test if isinstance(test, Trial) else Trial(*test) for test in tests)
    return Statement(number, section, text, quoted, tuple(made))


STATEMENTS: tuple[Statement, ...] = (
    _statement(
        1,
        "4.2",
        "socket() returns a descriptor that is not negative, and sends nothing.",
        "a small non-negative integer value",
        ("socket-families", socket.descriptor_is_not_negative),
        ("connect-established", socket.socket_sends_nothing),
    ),
    _statement(
        2,
        "4.2",
        "The AF_ and PF_ constants are equal: a family's number is the same for the socket and "
        "for its addresses.",
        "AF_xxx Versus PF_xxx",
        ("socket-default-protocol", socket.families_are_equal),
    ),
    _statement(
        3,
        "4.2",
        "Protocol 0 chooses the default for the family and type.",
        "the system's default",
        ("socket-default-protocol", socket.protocol_0_is_the_default),
    ),
    _statement(
        4,
        "4.3",
        "A TCP client need not call bind(): the kernel chooses the address and an ephemeral port "
        "at connect().",
        "does not have to call bind",
        ("getsockname-client", connect.kernel_chooses_address_and_port),
    ),
    _statement(
        5,
        "4.3",
        "connect() does the three-way handshake, and returns only when it is done or has failed.",
        "initiates TCP's three-way handshake",
        ("connect-established", connect.connect_waits_for_the_handshake),
        ("connect-refused", connect.connect_waits_for_the_failure),
    ),
    _statement(
        6,
        "4.3",
        "A SYN without an answer is sent again after 6 s and once more 24 s later, and connect() "
        "gives up with ETIMEDOUT after 75 s (4.4BSD).",
        "another 6 seconds later, and another 24 seconds later",
        ("connect-timeout-blackhole", unanswered.syns_follow_the_books_schedule),
        Trial("connect-timeout-default", unanswered.syns_follow_the_books_schedule, slow=True),
    ),
    _statement(
        7,
        "4.3",
        "RST in answer to a SYN is a hard error: connect() returns ECONNREFUSED at once.",
        "as soon as the RST is received",
        ("connect-refused", connect.reset_means_refused_at_once),
    ),
    _statement(
        8,
        "4.3",
        "Each of three things draws a RST: a SYN for a port without a listener, TCP aborting a "
        "connection, a segment for a connection that does not exist.",
        "Three conditions that generate an RST",
        ("rst-three-causes", connect.reset_has_three_causes),
    ),
    _statement(
        9,
        "4.3",
        "ICMP destination unreachable is a soft error: the kernel goes on sending SYNs and returns "
        "EHOSTUNREACH or ENETUNREACH only at the end.",
        "considered a soft error",
        ("connect-no-route", unanswered.unreachable_is_a_soft_error),
        ("connect-host-unreachable", unanswered.unreachable_is_a_soft_error),
        ("connect-net-unreachable", unanswered.unreachable_is_a_soft_error),
    ),
    _statement(
        10,
        "4.3",
        "connect() moves the socket from CLOSED to SYN-SENT and, on success, to ESTABLISHED.",
        "from the CLOSED state",
        ("connect-states", connect.connect_moves_through_the_states),
    ),
    _statement(
        11,
        "4.3",
        "After a failed connect() the socket cannot be used again: it must be closed and made "
        "anew.",
        "no longer usable and must be closed",
        ("connect-retry-after-refused", connect.socket_is_of_no_use_after_failure),
    ),
    _statement(
        12,
        "4.4",
        "bind() to port 0 lets the kernel choose a port, and getsockname() tells which.",
        "the kernel chooses an ephemeral port when bind is called",
        ("bind-ephemeral", bind.port_0_lets_the_kernel_choose),
    ),
    _statement(
        13,
        "4.4",
        "bind() with INADDR_ANY lets the kernel choose the local address when a connection "
        "arrives.",
        "until either the socket is connected (TCP)",
        ("bind-wildcard", bind.wildcard_is_settled_by_the_connection),
    ),
    _statement(
        14,
        "4.4",
        "The address that is bound must belong to an interface of the host.",
        "must belong to an interface on the host",
        ("bind-address-not-available", bind.address_must_be_of_an_interface),
    ),
    _statement(
        15,
        "4.4",
        "bind() to an address that is taken fails with EADDRINUSE.",
        "Address already in use",
        ("bind-address-in-use", bind.taken_address_is_refused),
    ),
    _statement(
        16,
        "4.5",
        "listen() makes an active socket passive, CLOSED to LISTEN, and sends no segment.",
        "converts an unconnected socket into a passive socket",
        ("listen-state", listen.listen_makes_a_socket_passive),
    ),
    _statement(
        17,
        "4.5",
        "For a listening socket the kernel keeps two queues: incomplete connections (SYN-RECEIVED) "
        "and completed ones (ESTABLISHED).",
        "the kernel maintains two queues",
        ("listen-syn-received", listen.incomplete_connections_wait_apart),
        ("accept-order", listen.complete_connections_are_queued),
    ),
    _statement(
        18,
        "4.5",
        "The backlog bounds the queues, with a fudge factor on top.",
        "add a fudge factor to the backlog",
        ("listen-backlog-sweep", listen.backlog_has_a_fudge_factor),
    ),
    _statement(
        19,
        "4.5",
        "A SYN that finds the queue full is ignored, no RST is sent, and the client's TCP may "
        "succeed by sending it again.",
        "it does not send an RST",
        ("listen-backlog-overflow", unanswered.full_queue_ignores_the_syn),
    ),
    _statement(
        20,
        "4.5",
        "A backlog of 0 means that there are no connections at all.",
        "Do not specify a backlog of 0",
        ("listen-backlog-sweep", listen.backlog_0_admits_nobody),
    ),
    _statement(
        21,
        "4.5",
        "Data that arrive before accept() are queued for the connection.",
        "should be queued by the server TCP",
        ("accept-queued-data", listen.early_data_are_queued),
    ),
    _statement(
        22,
        "4.6",
        "accept() returns the first of the completed connections, in their order.",
        "the next completed connection",
        ("accept-order", accept.first_in_first_out),
    ),
    _statement(
        23,
        "4.6",
        "On an empty queue accept() puts the process to sleep.",
        "the process is put to sleep",
        ("accept-blocks", accept.accept_sleeps_until_there_is_one),
    ),
    _statement(
        24,
        "4.6",
        "The listening socket lives on; each accepted connection has a descriptor of its own.",
        "a brand-new descriptor",
        ("accept-order", accept.listener_lives_on),
    ),
    _statement(
        25,
        "4.6",
        "The length of the client's address is a value-result argument of accept(), and both "
        "pointers may be null.",
        "is a value-result argument",
        ("accept-address-argument", accept.address_is_value_result),
    ),
    _statement(
        26,
        "4.7",
        "Descriptors that were open before fork() are shared by parent and child after it.",
        "shared with the child",
        ("fork-shared-descriptor", processes.descriptors_are_shared_by_fork),
    ),
    _statement(
        27,
        "4.8",
        "close() in the parent does not end the connection: the reference count is still above "
        "zero.",
        "every file or socket has a reference count",
        ("fork-shared-descriptor", processes.parents_close_does_not_end_it),
    ),
    _statement(
        28,
        "4.8",
        "The child's exit closes its descriptors, also those that it never closed.",
        "part of process termination",
        ("fork-child-exits", processes.exit_closes_the_childs_descriptors),
    ),
    _statement(
        29,
        "4.9",
        "A parent that never closes its connected sockets runs out of descriptors, and none of its "
        "clients sees the connection end.",
        "none of the client connections will be terminated",
        ("fork-parent-keeps-descriptor", processes.parent_runs_out_of_descriptors),
    ),
    _statement(
        30,
        "4.9",
        "shutdown() sends the FIN whatever the reference count is.",
        "the shutdown function can be used",
        ("fork-shutdown", processes.shutdown_ends_whoever_holds_it),
    ),
    _statement(
        31,
        "4.9",
        "close() marks the socket closed and returns at once; TCP still sends what is queued, then "
        "the FIN.",
        "any data that is already queued",
        ("close-queued-data", close.close_leaves_the_rest_to_the_kernel),
    ),
    _statement(
        32,
        "4.9",
        "After close() the descriptor cannot be an argument of read() or write().",
        "no longer usable by the process",
        ("close-then-use", close.closed_descriptor_is_of_no_use),
    ),
    _statement(
        33,
        "4.10",
        "getsockname() and getpeername() return 0 on success and -1 on error.",
        "Both return: 0 if OK, -1 on error",
        ("getsockname-errors", close.local_names_are_0_or_minus_1),
        ("getpeername-not-connected", close.peer_names_are_0_or_minus_1),
    ),
    _statement(
        34,
        "4.10",
        "In a client that did not bind, getsockname() gives the address and port that the kernel "
        "chose.",
        "assigned to the connection by the kernel",
        ("getsockname-client", connect.name_of_unbound_client),
    ),
    _statement(
        35,
        "4.10",
        "A server that was exec'd can learn its client's identity only with getpeername().",
        "the only way the server can obtain the identity of the client",
        ("fork-exec", processes.execd_program_asks_for_its_client),
    ),
    _statement(
        36,
        "4.11",
        "TCP servers are concurrent, a child for each client; UDP servers are iterative, one "
        "process and one socket for all: both shapes work.",
        "Most TCP servers are concurrent",
        ("fork-concurrent-server", processes.tcp_server_is_concurrent),
        ("udp-iterative-server", processes.udp_server_is_iterative),
    ),
    _statement(
        37,
        "8.11",
        "connect() on a UDP socket sends nothing.",
        "there is no three-way handshake",
        ("connect-udp", socket.udp_connect_sends_nothing),
    ),
    _statement(
        38,
        "15.5",
        "A client and server over a Unix domain stream make the same calls, and no packet is sent.",
        "Unix Domain Stream Client/Server",
        ("unix-stream-beside-tcp", socket.unix_stream_shows_the_same_calls),
    ),
)


def of_section(section: str) -> tuple[Statement, ...]:
    """The statements of ``4.3``, or with ``4`` of the whole chapter; none if there are none."""
    return tuple(one for one in STATEMENTS if f"{one.section}.".startswith(f"{section}."))
