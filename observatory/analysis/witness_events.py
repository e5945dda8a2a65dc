"""The kernel's events by name, and each as a report quotes it."""

from __future__ import annotations

from collections.abc import Mapping

from observatory.model import KernelEvent

SET_STATE = "sock:inet_sock_set_state"
SEND_RESET = "tcp:tcp_send_reset"
RECEIVE_RESET = "tcp:tcp_receive_reset"
RETRANSMIT = "tcp:tcp_retransmit_skb"
RETRANSMIT_SYNACK = "tcp:tcp_retransmit_synack"
ERROR_REPORT = "sock:inet_sk_error_report"
DESTROY = "tcp:tcp_destroy_sock"
DROP = "skb:kfree_skb"
QUEUED = "net:net_dev_queue"
FAULT = "lab:fault"
"""No tracepoint: what the lab did to the path, entered among them."""


def in_words(event: KernelEvent) -> str:
    """An event as a report quotes it: ``RST sent, reason NO_SOCKET``."""
    said = {name: str(value) for name, value in event.detail.items()}
    phrase = _PHRASES.get(event.event)
    return phrase.format_map(_Known(said)) if phrase else event.event.partition(":")[2]


_PHRASES: Mapping[str, str] = {
    SET_STATE: "{old} → {new}",
    SEND_RESET: "RST sent, reason {reason}",
    RECEIVE_RESET: "RST received",
    RETRANSMIT: "sent again in {state}",
    RETRANSMIT_SYNACK: "SYN-ACK sent again",
    ERROR_REPORT: "error {error} reported",
    DROP: "packet dropped, reason {reason}",
    DESTROY: "socket gone",
    FAULT: "{what}",
}


class _Known(dict[str, str]):
    """What a phrase needs and the event does not tell is ``?``."""

    def __missing__(self, key: str) -> str:
        return "?"
