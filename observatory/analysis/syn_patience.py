"""How long Linux repeats a SYN that nobody answers, in words.

net/ipv4/tcp_timer.c: ``tcp_write_timeout`` gives up when the time is over that the allowed number
of repetitions would take if each waited twice as long as the one before, or when that number and
``tcp_syn_linear_timeouts`` more were sent. The latter keep the timer at its first second, so that
there is room for more repetitions than the number says.
"""

from __future__ import annotations

from observatory.analysis.conversations import Half
from observatory.analysis.view import View

LINEAR = "net.ipv4.tcp_syn_linear_timeouts"
RETRIES = "net.ipv4.tcp_syn_retries"
# Linux tcp_model_timeout: above this many doublings of 1 s the timer does not grow any more.
MOST_DOUBLINGS = 6


def told_limit(view: View, half: Half, repeated: int, waited_ns: int) -> str:
    """What made connect() give up after it had repeated its SYN so often, in brackets and with a
    blank before them; empty where neither a call nor a setting tells."""
    option = view.option("TCP_SYNCNT")
    linear = _number(view.joined.setting(LINEAR, half.host))
    if option is not None:
        allowed = _number(option.args.get("value"))
        told = f"TCP_SYNCNT is {option.args.get('value')}, c{option.id}"
    else:
        allowed = _number(view.joined.setting(RETRIES, half.host))
        told = f"tcp_syn_retries is {allowed}"
    if not allowed or not linear or allowed > MOST_DOUBLINGS or view.option("TCP_USER_TIMEOUT"):
        return f" ({told})" if option is not None else ""
    seconds = (2 << allowed) - 1
    if repeated <= allowed or waited_ns < seconds * 1_000_000_000:
        return f" ({told})" if option is not None else ""
    return (
        f" ({told}: that stands for the {seconds} s which so many repetitions take where each "
        f"waits twice as long as the one before; as the timer first stays at 1 s, "
        f"tcp_syn_linear_timeouts is {linear}, there were {repeated})"
    )


def _number(value: object) -> int | None:
    if isinstance(value, (tuple, list)) and len(value) == 1:
        value = value[0]
    return int(str(value)) if str(value).isdigit() else None
