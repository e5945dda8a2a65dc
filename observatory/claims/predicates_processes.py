"""UNP 4.7, 4.8: descriptors over fork() and exec, and the shapes of servers."""

from __future__ import annotations

from observatory.claims.looking import (
    ANY_OUTCOME,
    CannotTell,
    Run,
    first,
    found,
    ids,
    named,
    outcome_of,
    returned_ns,
    some,
    span,
    time_of,
    told_by,
)
from observatory.model import Address, ExplainedCall, Process
from observatory.model.claims import Finding

READING = ("recv", "recvfrom", "read")
TALKING = ("send", "sendto", "write", *READING)


def descriptors_are_shared_by_fork(run: Run) -> Finding:
    """A child used a connection's number that only its parent had got, and its bytes went out on
    that connection."""
    for accept, _, child in _forked(run):
        refused = [
            one
            for one in run.calls(*TALKING, outcome="EBADF")
            if one.call.pid == child.pid and one.call.fd == accept.call.result
        ]
        used = _used_by(run, child.pid, accept, *TALKING) or refused
        if not used:
            continue
        sent = [
            one
            for one in run.segments("data", src=accept.call.local, dst=accept.call.peer)
            if one.segment.time_ns >= used[0].call.entered_ns
        ]
        worked = [one for one in used if one.call.succeeded]
        seen = f"{named(accept)} gave {run.role(accept)} descriptor {accept.call.result}; after "
        seen += f"fork() {child.role} called {ids(used)} on it: "
        seen += f"{outcome_of(used[0])}, on the wire as {ids(sent[:1])}"
        return found(bool(worked and sent), seen, accept, used, sent[:1])
    raise CannotTell("the run shows no child that used its parent's connection")


def parents_close_does_not_end_it(run: Run) -> Finding:
    """Between the parent's close() and the end of the child's descriptor no FIN was sent, and
    data still were."""
    for accept, fork, child in _forked(run):
        mine = _used_by(run, accept.call.pid, accept, "close")
        theirs = _used_by(run, child.pid, accept, "close") or _exits(run, child)
        if not mine or not theirs or mine[0].call.entered_ns > theirs[0].call.entered_ns:
            continue
        close, last = mine[0], theirs[0]
        fins = run.segments("FIN", "RST", src=accept.call.local, dst=accept.call.peer)
        early = [s for s in fins if close.call.entered_ns <= s.segment.time_ns < time_of(last)]
        data = [
            one
            for one in run.segments("data", src=accept.call.local, dst=accept.call.peer)
            if close.call.entered_ns < one.segment.time_ns
        ]
        if early:
            seen = f"the parent's {named(close)} sent {ids(early)}, and {child.role} had it still"
            return found(False, seen, close, last, early, fork)
        some(data, f"data sent after the parent's {named(close)}")
        end = first(fins, f"FIN after {named(last)}")
        seen = f"the parent's {named(close)} sent nothing; {ids(data[:1])} followed; {named(end)} "
        seen += (
            f"came with {child.role}'s {named(last)}, {span(time_of(end) - time_of(close))} later"
        )
        return found(True, seen, fork, close, last, data[:1], end)
    raise CannotTell("the run shows no parent that closed before its child did")


def exit_closes_the_childs_descriptors(run: Run) -> Finding:
    """A child that never called close() on its connection exited, and the FIN was sent then."""
    for accept, _, child in _forked(run):
        exits = _exits(run, child)
        parents = _used_by(run, accept.call.pid, accept, "close")
        if not exits or _used_by(run, child.pid, accept, "close") or not parents:
            continue
        fins = run.segments("FIN", src=accept.call.local, dst=accept.call.peer)
        leave = exits[0]
        seen = f"{child.role} called no close() on descriptor {accept.call.result}; at its "
        seen += f"{named(leave)} ({run.when(time_of(leave))}) "
        if parents[0].call.entered_ns > leave.call.entered_ns:
            continue
        if not fins:
            return found(False, seen + "no FIN was sent, nor later", leave, parents)
        seen += f"{named(fins[0])} was sent, {span(time_of(fins[0]) - time_of(leave))} after it"
        return found(time_of(fins[0]) >= time_of(leave), seen, leave, parents, fins[0])
    raise CannotTell("the run shows no child that exited with its connection open")


def parent_runs_out_of_descriptors(run: Run) -> Finding:
    """A parent that closed none of its connections: accept() failed with EMFILE in the end, and
    no client saw a FIN before that parent was gone, its children though had closed."""
    accepts = run.calls("accept4", "accept")
    some(accepts, "accept() that succeeded")
    kept = [one for one in accepts if not _used_by(run, one.call.pid, one, "close")]
    some(kept, "connections that the parent did not close")
    server = kept[0].call.pid
    children = [p.pid for p in run.analysis.trace.processes if p.parent == server]
    closed = [c for one in kept for pid in children for c in _used_by(run, pid, one, "close")]
    some(closed, "children that closed their connections")
    leave = first(
        (one for one in run.calls("exit", outcome=ANY_OUTCOME) if one.call.pid == server),
        "exit() of the server",
    )
    failed = run.calls("accept4", "accept", outcome="EMFILE")
    fins = [s for one in kept for s in run.segments("FIN", src=one.call.local, dst=one.call.peer)]
    fins.sort(key=time_of)
    early = [one for one in fins if time_of(one) < time_of(leave)]
    seen = f"{ids(kept)} were never closed by the parent, though its children closed ({ids(closed)}"
    seen += f"); accept() failed with EMFILE: {ids(failed)}; FINs before the parent's "
    seen += f"{named(leave)}: {ids(early)}; with it: {ids(s for s in fins if s not in early)}"
    return found(bool(failed) and not early, seen, kept, closed, failed, leave, fins)


def shutdown_ends_whoever_holds_it(run: Run) -> Finding:
    """shutdown() sent the FIN although another process still had the socket open."""
    for shut in run.calls("shutdown"):
        sockets = [one for one in run.analysis.sockets if one.id == shut.socket]
        others = [pid for one in sockets for pid in one.pids if pid != shut.call.pid]
        holders = [pid for pid in others if not _closed_before(run, pid, shut)]
        if not holders:
            continue
        roles = {p.pid: p.role for p in run.analysis.trace.processes}
        fins = [
            one
            for one in run.segments("FIN", src=shut.call.local or _local(run, shut))
            if one.segment.time_ns >= shut.call.entered_ns
        ]
        holder = roles.get(holders[0], "another process")
        closes = [
            one
            for one in run.calls("close", socket=shut.socket)
            if one.call.pid == holders[0] and time_of(one) > time_of(shut)
        ]
        end = first(closes, f"close() of {holder} after {named(shut)}")
        soon = bool(fins) and time_of(fins[0]) < time_of(end)
        seen = f"{holder} had the socket open until {named(end)}; {run.role(shut)}'s {named(shut)} "
        seen += f"at {run.when(time_of(shut))}: "
        seen += (
            f"{named(fins[0])} {span(time_of(fins[0]) - time_of(shut))} later" if fins else "no FIN"
        )
        return found(soon, seen, shut, end, fins[:1])
    raise CannotTell("the run shows no shutdown() of a socket that another process has too")


def execd_program_asks_for_its_client(run: Run) -> Finding:
    """After execve() the program, with nothing but a number, learned its client's address from
    getpeername()."""
    for execution in run.calls("execve", outcome=ANY_OUTCOME):
        if execution.call.failed:
            continue
        asked = [
            one
            for one in run.calls("getpeername", outcome=ANY_OUTCOME)
            if one.call.pid == execution.call.pid and time_of(one) > time_of(execution)
        ]
        if not asked:
            continue
        syns = run.segments("SYN")
        told = told_by(asked[0])
        match = [s for s in syns if s.segment.src == told]
        if match and _told_in_advance(execution, match[0].segment.src.port):
            raise CannotTell(f"the arguments of {named(execution)} already name the client's port")
        seen = f"after {named(execution)}, which has no address in its arguments, "
        seen += f"{run.role(asked[0])} called {named(asked[0])} on descriptor {asked[0].call.fd}: "
        seen += f"{outcome_of(asked[0])}, {told or 'no address'}"
        seen += f", the source of {named(match[0])}" if match else ", the source of no SYN"
        return found(bool(match), seen, execution, asked[0], match[:1])
    raise CannotTell("the run shows no exec'd program that asked for its peer")


def _told_in_advance(execution: ExplainedCall, port: int) -> bool:
    words = execution.call.args.get("argv")
    return isinstance(words, (tuple, list)) and any(str(port) in str(word) for word in words)


def tcp_server_is_concurrent(run: Run) -> Finding:
    """One process accepts, others serve; a later client was served while an earlier one was
    still waiting to be."""
    forks = some(run.calls("fork"), "fork()", least=2)
    served: list[tuple[ExplainedCall, ExplainedCall]] = []
    for accept, _, child in _forked(run):
        replies = _used_by(run, child.pid, accept, "send", "sendto", "write")
        if replies:
            served.append((accept, replies[0]))
    some(served, "children that answered their clients", least=2)
    order = [accept.call.id for accept, _ in sorted(served, key=lambda pair: time_of(pair[1]))]
    overtaken = order != sorted(order)
    pids = {reply.call.pid for _, reply in served}
    seen = "; ".join(
        f"{run.role(reply)} answered the client of {named(accept)} at {run.when(time_of(reply))}"
        for accept, reply in served
    )
    seen += "; a later client did not wait for an earlier one" if overtaken else "; in turn"
    return found(overtaken and len(pids) == len(served), seen, forks, *served)


def udp_server_is_iterative(run: Run) -> Finding:
    """One process with one socket answered several clients, one after the other, without
    accept() and without fork()."""
    reads = [one for one in run.calls("recvfrom", role="server") if told_by(one) is not None]
    clients = {told_by(one) for one in reads}
    some(sorted(map(str, clients)), "clients that the server heard", least=2)
    replies = run.calls("sendto", role="server")
    alone = {one.call.pid for one in (*reads, *replies)}
    sockets = {one.socket for one in (*reads, *replies)}
    others = run.calls("accept4", "accept", "fork", role="server", outcome=ANY_OUTCOME)
    turns = [one.call.name for one in sorted((*reads, *replies), key=time_of)]
    in_turn = turns == ["recvfrom", "sendto"] * (len(turns) // 2)
    seen = f"one process, {len(sockets)} socket, {len(clients)} clients: "
    seen += f"{ids(reads)} heard them and {ids(replies)} answered"
    seen += ", in turn" if in_turn else ", not in turn"
    seen += f"; accept() and fork(): {ids(others)}"
    holds = in_turn and len(alone) == len(sockets) == 1 and not others
    return found(holds, seen, reads, replies, others)


# --- Who has which descriptor ---------------------------------------------------------------------


def _forked(run: Run) -> list[tuple[ExplainedCall, ExplainedCall, Process]]:
    """Each accept() with the fork() after it in the same process, and the child."""
    processes = {process.pid: process for process in run.analysis.trace.processes}
    found_ones = []
    for accept in run.calls("accept4", "accept"):
        fork = run.following(accept, "fork")
        child = processes.get(fork.call.result or 0) if fork else None
        following = run.following(accept, "accept4", "accept")
        own = fork and (following is None or time_of(fork) < time_of(following))
        if fork and child and own:
            found_ones.append((accept, fork, child))
    return found_ones


def _used_by(run: Run, pid: int, accept: ExplainedCall, *names: str) -> list[ExplainedCall]:
    """Calls of a process on the number that an accept() returned, as long as it names the same."""
    made = [one for one in run.analysis.sockets if one.created_by == accept.call.id]
    sockets = {one.id for one in made}
    return [
        one
        for one in run.calls(*names, outcome=ANY_OUTCOME)
        if one.call.pid == pid
        and one.call.fd == accept.call.result
        and one.socket in sockets
        and time_of(one) > returned_ns(accept)
    ]


def _exits(run: Run, child: Process) -> list[ExplainedCall]:
    return [c for c in run.calls("exit", outcome=ANY_OUTCOME) if c.call.pid == child.pid]


def _closed_before(run: Run, pid: int, one: ExplainedCall) -> bool:
    closes = run.calls("close", socket=one.socket if one.socket is not None else -1)
    return any(c.call.pid == pid and time_of(c) < time_of(one) for c in closes)


def _local(run: Run, one: ExplainedCall) -> Address | None:
    """The local address of a call's socket, from the accept() that made it."""
    made = [s.created_by for s in run.analysis.sockets if s.id == one.socket]
    accepts = [c for c in run.calls("accept4", "accept") if c.call.id in made]
    return first(accepts, f"accept() that made the socket of {named(one)}").call.local
