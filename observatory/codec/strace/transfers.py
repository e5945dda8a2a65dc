"""Calls that move data: send, receive, read, write and their kin."""

from __future__ import annotations

from collections.abc import Mapping

from observatory.codec.strace.addresses import address_text
from observatory.codec.strace.arguments import argument, number, payload, symbol, vector_length
from observatory.codec.strace.draft import Asked, Converter, Draft, failed, on_descriptor
from observatory.codec.strace.raw import Raw
from observatory.codec.strace.values import Array, Change, Descriptor, Struct, Value
from observatory.model.calls import Argument


def _with_payload(
    args: dict[str, Argument], raw: Raw, asked: Asked, buffer: Value | None
) -> dict[str, Argument]:
    if asked.payload and not failed(raw):
        kept = payload(buffer, asked.payload)
        return args if kept is None else {**args, "payload": kept}
    return args


def transfer(raw: Raw, asked: Asked) -> Draft | None:
    """read, write, send, recv: a buffer and its length, flags but for the first two."""
    args: dict[str, Argument] = {"length": number(argument(raw, 2))}
    if raw.name in ("send", "recv"):
        args["flags"] = symbol(argument(raw, 3))
    return on_descriptor(raw, raw.name, _with_payload(args, raw, asked, argument(raw, 1)))


def sendto(raw: Raw, asked: Asked) -> Draft | None:
    return _datagram(raw, asked, plain="send")


def recvfrom(raw: Raw, asked: Asked) -> Draft | None:
    return _datagram(raw, asked, plain="recv")


def _datagram(raw: Raw, asked: Asked, plain: str) -> Draft | None:
    args: dict[str, Argument] = {
        "length": number(argument(raw, 2)),
        "flags": symbol(argument(raw, 3)),
    }
    if argument(raw, 4) in ("NULL", None):
        name = plain
    else:
        name = raw.name
        args["address"] = address_text(argument(raw, 4))
    return on_descriptor(raw, name, _with_payload(args, raw, asked, argument(raw, 1)))


def vector(raw: Raw, asked: Asked) -> Draft | None:
    """readv and writev, and their kin with an offset."""
    args: dict[str, Argument] = {"length": vector_length(argument(raw, 1))}
    name = "readv" if "readv" in raw.name else "writev"
    return on_descriptor(raw, name, _with_payload(args, raw, asked, argument(raw, 1)))


def message(raw: Raw, asked: Asked) -> Draft | None:
    """sendmsg and recvmsg."""
    header = argument(raw, 1)
    args = _header_arguments(header, symbol(argument(raw, 2)))
    vector = header.members.get("msg_iov") if isinstance(header, Struct) else None
    return on_descriptor(raw, raw.name, _with_payload(args, raw, asked, vector))


def _header_arguments(header: Value | None, flags: str) -> dict[str, Argument]:
    if not isinstance(header, Struct):
        return {"length": None, "flags": flags, "address": None}
    args: dict[str, Argument] = {
        "length": vector_length(header.members.get("msg_iov")),
        "flags": flags,
        "address": address_text(header.members.get("msg_name")),
    }
    passed = passed_descriptors(header)
    return {**args, "rights": tuple(number(one) for one in passed)} if passed else args


def passed_descriptors(header: Value | None) -> tuple[Value, ...]:
    """SCM_RIGHTS (unix(7)): descriptors handed to another process."""
    control = header.members.get("msg_control") if isinstance(header, Struct) else None
    found: list[Value] = []
    for item in control.items if isinstance(control, Array) else ():
        if isinstance(item, Struct) and item.members.get("cmsg_type") == "SCM_RIGHTS":
            data = item.members.get("cmsg_data")
            found += data.items if isinstance(data, Array) else ()
    return tuple(one for one in found if number(one) is not None)


def messages(raw: Raw, asked: Asked) -> Draft | None:
    """sendmmsg and recvmmsg: ``lengths`` asked, ``taken`` the bytes of each message."""
    vector = argument(raw, 1)
    headers = [item for item in getattr(vector, "items", ()) if isinstance(item, Struct)]
    inner = [_header_arguments(item.members.get("msg_hdr"), "0") for item in headers]
    args: dict[str, Argument] = {
        "lengths": tuple(one["length"] for one in inner),
        "flags": symbol(argument(raw, 3)),
        "addresses": tuple(one["address"] for one in inner),
        "taken": tuple(number(item.members.get("msg_len")) for item in headers),
    }
    return on_descriptor(raw, raw.name, args)


def sendfile(raw: Raw, asked: Asked) -> Draft | None:
    offset = argument(raw, 2)
    inside = offset.before if isinstance(offset, Change) else offset
    args: dict[str, Argument] = {
        "in_fd": number(argument(raw, 1)),
        "offset": number(inside.items[0]) if isinstance(inside, Array) and inside.items else None,
        "length": number(argument(raw, 3)),
    }
    return on_descriptor(raw, "sendfile", args)


def splice(raw: Raw, asked: Asked) -> Draft | None:
    """splice between a pipe and a socket: about the end that is the socket."""
    ends = argument(raw, 0), argument(raw, 2)
    sockets = [end for end in ends if isinstance(end, Descriptor) and end.is_socket]
    if not sockets:
        return None
    args: dict[str, Argument] = {
        "in_fd": number(ends[0]),
        "out_fd": number(ends[1]),
        "length": number(argument(raw, 4)),
        "flags": symbol(argument(raw, 5)),
    }
    return Draft("splice", sockets[0].number, args, inode=sockets[0].inode)


TRANSFERS: Mapping[str, Converter] = {
    **dict.fromkeys(("read", "write", "send", "recv"), transfer),
    "sendto": sendto,
    "recvfrom": recvfrom,
    **dict.fromkeys(("readv", "writev", "preadv", "pwritev", "preadv2", "pwritev2"), vector),
    **dict.fromkeys(("sendmsg", "recvmsg"), message),
    **dict.fromkeys(("sendmmsg", "recvmmsg", "recvmmsg_time64"), messages),
    **dict.fromkeys(("sendfile", "sendfile64"), sendfile),
    "splice": splice,
}
