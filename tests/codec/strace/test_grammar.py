"""Every construct that strace prints as an argument or a result, and hostile text."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.codec.strace.grammar import (
    Outcome,
    Unreadable,
    read_arguments,
    read_outcome,
    read_values,
)
from observatory.codec.strace.values import (
    Array,
    Change,
    Descriptor,
    Named,
    Nested,
    Struct,
    Text,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-1", -1),
        ("0644", 0o644),
        ("0x7ffc07e2ee60", 0x7FFC07E2EE60),
        ("18446744073709551615", 2**64 - 1),
        ("0x7ffe /* 35 vars */", 0x7FFE),
        ("1.5", 1.5),
        ("NULL", "NULL"),
        ("AF_INET", "AF_INET"),
        ("SOCK_STREAM|SOCK_CLOEXEC", "SOCK_STREAM|SOCK_CLOEXEC"),
        ("MSG_PEEK|0x8000", "MSG_PEEK|0x8000"),
        ("SNDCTL_TMR_TIMEBASE or TCGETS", "SNDCTL_TMR_TIMEBASE or TCGETS"),
        ("1<<SIGUSR1", "1<<SIGUSR1"),
        ('"hello"', Text("hello")),
        ('""', Text("")),
        ('""...', Text("", cut=True)),
        ('"a\\"b, c)"', Text('a\\"b, c)')),
        ('@"abstract"', Text("abstract", abstract=True)),
        ("3<socket:[123]>", Descriptor(3, "socket:[123]")),
        ("3</path with spaces>", Descriptor(3, "/path with spaces")),
        ("3</path\\76, 4>", Descriptor(3, "/path>, 4")),
        ("3</tmp/x>(deleted)", Descriptor(3, "/tmp/x")),
        ("4</dev/pts/0<char 136:0>>", Descriptor(4, "/dev/pts/0<char 136:0>")),
        ("4<TCP:[127.0.0.1:1->127.0.0.1:2]>", Descriptor(4, "TCP:[127.0.0.1:1->127.0.0.1:2]")),
        ("4<TCPv6:[[::1]:1->[::1]:2]>", Descriptor(4, "TCPv6:[[::1]:1->[::1]:2]")),
        ("4<UNIX-STREAM:[1->2]>", Descriptor(4, "UNIX-STREAM:[1->2]")),
        ("AT_FDCWD</usr>", Descriptor(-100, "/usr")),
        ("htons(80)", Nested("htons", (80,))),
        ('inet_addr("127.0.0.1")', Nested("inet_addr", (Text("127.0.0.1"),))),
        (
            'inet_pton(AF_INET6, "::1", &sin6_addr)',
            Nested("inet_pton", ("AF_INET6", Text("::1"), "&sin6_addr")),
        ),
        ("{}", Struct()),
        ("{fd=3, events=POLLIN}", Struct({"fd": 3, "events": "POLLIN"})),
        ("{a=1, ...}", Struct({"a": 1}, cut=True)),
        ("{u={v=[1, 2]}}", Struct({"u": Struct({"v": Array((1, 2))})})),
        ("{htonl(1), a=1}", Struct({"a": 1}, (Nested("htonl", (1,)),))),
        ("[]", Array()),
        ("[...]", Array(cut=True)),
        ("[1, 2, ...]", Array((1, 2), cut=True)),
        ("[5<socket:[1]> 6]", Array((Descriptor(5, "socket:[1]"), 6))),
        ("[INT TERM]", Array(("INT", "TERM"))),
        ("[128 => 16]", Array((Change(128, 16),))),
        ("{n=128 => 16}", Struct({"n": Change(128, 16)})),
        ("flags=CLONE_VM|SIGCHLD", Named("flags", "CLONE_VM|SIGCHLD")),
        ("{a=1} => {b=[2]}", Change(Struct({"a": 1}), Struct({"b": Array((2,))}))),
        ("1 /* a comment, with) signs */", 1),
    ],
)  # fmt: skip
def test_an_argument(text, value):
    assert read_arguments(f"{text})") == ((value,), len(text) + 1)


def test_a_complement_of_a_set_is_one_argument():
    arguments, _ = read_arguments("SIG_BLOCK, ~[RTMIN RT_1], NULL, 8)")
    assert len(arguments) == 4 and arguments[3] == 8


def test_arguments_end_at_their_own_parenthesis():
    text = '3, "a) = b", {c=htons(1)}) = 0'
    arguments, end = read_arguments(text)
    assert len(arguments) == 3
    assert text[end:] == " = 0"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3",
        "3, ",
        '"open',
        "{a=1",
        "[1, 2",
        "3 ]",
        "3<open",
        "=",
        "(",
        "[" * 1000,
        "9" * 50 + ")",
    ],
)
def test_what_is_no_argument_list_is_refused(text):
    with pytest.raises(Unreadable):
        read_arguments(text)


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        (" = 0", Outcome(0)),
        ("                 = 0", Outcome(0)),
        (" = 0x8000 (flags O_RDONLY)", Outcome(0x8000, detail="flags O_RDONLY")),
        (" = -1 ECONNREFUSED (Connection refused)", Outcome(-1, "ECONNREFUSED")),
        (" = -1 ECONNREFUSED (Connection refused) <0.000012>", Outcome(-1, "ECONNREFUSED")),
        (" = -1 EAGAIN (Resource (temporarily) unavailable)", Outcome(-1, "EAGAIN")),
        (" = -1 EINVAL (Invalid argument) (INJECTED)", Outcome(-1, "EINVAL")),
        (" = -1 (errno 512)", Outcome(-1, "E512", detail="errno 512")),
        (" = ?", Outcome(None)),
        (" = ? <unavailable>", None),
        (
            " = ? ERESTARTSYS (To be restarted if SA_RESTART is set)",
            Outcome(None, "ERESTARTSYS"),
        ),
        (" = 0 (Timeout)", Outcome(0, detail="Timeout")),
        (
            " = 1 ([{fd=3, revents=POLLIN}]) <0.000005>",
            Outcome(1, detail="[{fd=3, revents=POLLIN}]"),
        ),
        (" = 2 (in [5], left {tv_sec=0})", Outcome(2, detail="in [5], left {tv_sec=0}")),
        (" = 3<socket:[77]>", Outcome(3, names="socket:[77]")),
        (" = 3<TCP:[1.2.3.4:5->6.7.8.9:10]>", Outcome(3, names="TCP:[1.2.3.4:5->6.7.8.9:10]")),
        (" = 5 /* 123 in strace's PID ns */", Outcome(123)),
        ("", None),
        (" = ", None),
        (" = seven", None),
    ],
)
def test_a_result(text, outcome):
    if outcome is None:
        with pytest.raises(Unreadable):
            read_outcome(text, 0)
    else:
        assert read_outcome(text, 0) == outcome


def test_a_detail_is_values():
    assert read_values("in [5], out [6 7]") == ("in", Array((5,)), "out", Array((6, 7)))


@given(st.text(alphabet='ab3<>()[]{}",=|.\\ ?-~&/*:', max_size=60))
def test_any_text_is_read_or_refused(text):
    with suppress(Unreadable):
        read_arguments(text)


VALUES = st.recursive(
    st.integers(-1, 2**64) | st.from_regex(r"[A-Z][A-Z_]{0,8}", fullmatch=True).filter(
        lambda name: name != "AT_FDCWD"
    ),
    lambda inner: st.lists(inner, max_size=4).map(lambda items: Array(tuple(items)))
    | st.dictionaries(st.from_regex(r"[a-z]{1,6}", fullmatch=True), inner, max_size=4).map(
        lambda members: Struct({k: v for k, v in members.items() if k != "or"})
    ),
    max_leaves=20,
)  # fmt: skip


@given(st.lists(VALUES, max_size=4))
def test_what_is_printed_as_strace_does_is_read_back(values):
    arguments, _ = read_arguments(", ".join(map(printed, values)) + ")")
    assert list(arguments) == values


def printed(value):
    if isinstance(value, Array):
        return "[" + ", ".join(map(printed, value.items)) + "]"
    if isinstance(value, Struct):
        return "{" + ", ".join(f"{k}={printed(v)}" for k, v in value.members.items()) + "}"
    return str(value)
