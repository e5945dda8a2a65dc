"""Every behaviour of the catalogue, run for real, shows what it promises and is explained."""

import inspect

import pytest

import observatory
from observatory.lab.behaviour import Behaviour
from observatory.scenarios.catalogue import catalogue, find
from observatory.scenarios.expectations import Expectations
from tests.scenarios.fulfilment import unfulfilled

BEHAVIOURS = list(catalogue().values())

# The catalogue as it is promised to users, by UNP section.
_PROMISED = """
    socket-families
    connect-established connect-refused connect-timeout-full-backlog connect-no-route
    connect-already-connected connect-in-progress connect-nonblocking connect-nonblocking-refused
    connect-retry-after-refused connect-interrupted connect-self connect-unix connect-udp
    connect-dissolve connect-ipv6 connect-v4-mapped connect-wildcard connect-port-exhaustion
    bind-wildcard bind-ephemeral bind-address-in-use bind-address-not-available
    bind-privileged-port bind-twice bind-time-wait bind-reuseport bind-client-port
    listen-state listen-backlog-sweep listen-backlog-overflow listen-abort-on-overflow
    listen-connected listen-close-pending listen-unbound
    accept-blocks accept-order accept-nonblocking accept-aborted accept-descriptor-limit
    accept-deferred
    fork-shared-descriptor fork-concurrent-server fork-exec fork-parent-keeps-descriptor
    fork-shutdown fork-prefork udp-iterative-server
    close-active close-passive close-unread-data close-linger-zero close-linger-wait
    close-then-use close-dup shutdown-write shutdown-read shutdown-both shutdown-not-connected
    write-after-peer-close read-after-reset read-eof exit-closes kill-closes
    getsockname-client getpeername-not-connected
    send-nagle send-nodelay send-zero-window send-would-block send-urgent fast-open recv-peek
    recv-timeout send-file half-open rst-three-causes
"""


def name_of(behaviour: Behaviour) -> str:
    return behaviour.name


def test_every_promised_behaviour_is_there() -> None:
    assert not set(_PROMISED.split()) - set(catalogue())


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=name_of)
def test_a_behaviour_reads_like_a_lecture(behaviour: Behaviour) -> None:
    assert inspect.getdoc(behaviour.play), "its function says nothing about what will be seen"
    assert behaviour.title and behaviour.summary.endswith(".")
    assert isinstance(behaviour.expects, Expectations), "nothing would be checked"


@pytest.mark.usefixtures("live")
@pytest.mark.parametrize(
    "behaviour", [one for one in BEHAVIOURS if not one.takes_minutes], ids=name_of
)
def test_a_behaviour_shows_what_it_promises(behaviour: Behaviour) -> None:
    expects = find(behaviour.name).expects
    problems = unfulfilled(expects, observatory.run(behaviour.name))
    assert not problems, "\n".join([behaviour.name, *problems])
