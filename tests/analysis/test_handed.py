"""Descriptors that come into a process from another keep naming the socket they named."""

from observatory.analysis.descriptors import replay
from observatory.model import Call, Process

OLD, NEW = 10, 11
PROCESSES = (Process(OLD, None, "a", "a", 900, 0), Process(NEW, None, "b", "b", 900, 0))


def call(number, name, pid, fd, result=0, **args):
    return Call(number, name, pid, pid, fd, args, number * 10, number * 10 + 5, result)


def opened():
    return call(1, "socket", OLD, None, 3, family="AF_INET", type="SOCK_STREAM", protocol=0)


def test_a_socket_that_is_handed_over_lives_on_in_the_other_process():
    replayed = replay(
        [
            opened(),
            call(2, "sendmsg", OLD, 5, 1, length=1, flags="0", rights=(3,)),
            call(3, "close", OLD, 3),
            call(4, "recvmsg", NEW, 6, 1, length=1, flags="0", rights=(8,), rights_of=((OLD, 3),)),
            call(5, "send", NEW, 8, 2, length=2, flags="0"),
            call(6, "close", NEW, 8),
        ],
        PROCESSES,
    )
    made = replayed.made[1][0]
    assert replayed.used[5] == made
    assert 3 not in replayed.ended and replayed.ended[6] == (made,)


def test_a_socket_that_is_fetched_has_two_names():
    replayed = replay(
        [
            opened(),
            call(2, "pidfd_getfd", NEW, None, 8, pidfd=4, target_fd=3, of=(OLD, 3)),
            call(3, "close", OLD, 3),
            call(4, "close", NEW, 8),
        ],
        PROCESSES,
    )
    made = replayed.made[1][0]
    assert 3 not in replayed.ended and replayed.ended[4] == (made,)


def test_where_a_descriptor_came_from_may_be_unknown():
    replayed = replay(
        [
            opened(),
            call(2, "recvmsg", NEW, 6, 1, rights=(8, 9), rights_of=(None, "what")),
            call(3, "pidfd_getfd", NEW, None, 7, pidfd=4, target_fd=3),
            call(4, "send", NEW, 8, 2, length=2, flags="0"),
        ],
        PROCESSES,
    )
    assert replayed.used[4] != replayed.made[1][0]
