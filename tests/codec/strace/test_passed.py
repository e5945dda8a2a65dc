"""Descriptors that come from another process."""

from observatory.codec.strace import parse

SENT = (
    '{msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base=""..., iov_len=1}], msg_iovlen=1,'
    " msg_control=[{cmsg_len=20, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS,"
    " cmsg_data=[%s]}], msg_controllen=24, msg_flags=0}"
)


def test_what_was_handed_over_is_told_by_who_had_it():
    log = parse(
        [
            "1 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3<socket:[77]>",
            f"1 sendmsg(4<socket:[5]>, {SENT % '3<socket:[77]>, 1</dev/null>'}, 0) = 1",
            f"2 recvmsg(9<socket:[6]>, {SENT % '8<socket:[77]>, 10</dev/null>'}, 0) = 1",
        ]
    )
    sent, received = log.calls[1:]
    assert sent.args["rights"] == (3, 1)
    assert received.args["rights"] == (8, 10)
    assert received.args["rights_of"] == ((1, 3), None)


def test_who_waits_for_it_may_have_begun_before():
    log = parse(
        [
            "2 recvmsg(9<socket:[6]>,  <unfinished ...>",
            "1 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3<socket:[77]>",
            f"1 sendmsg(4<socket:[5]>, {SENT % '3<socket:[77]>'}, 0) = 1",
            f"2 <... recvmsg resumed>{SENT % '8<socket:[77]>'}, 0) = 1",
        ]
    )
    assert log.calls[0].args["rights_of"] == ((1, 3),)


def test_what_was_fetched_is_told_by_who_has_it():
    log = parse(
        [
            "1 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3<socket:[77]>",
            "2 pidfd_getfd(4<anon_inode:[pidfd]>, 3, 0) = 5<socket:[77]>",
        ]
    )
    assert log.calls[1].args["of"] == (1, 3)
