"""Small plays for the lab's tests."""

import pytest

from observatory.errors import PermissionRefused
from observatory.lab.behaviour import Behaviour
from observatory.lab.stage import open_stage


def behaviour(play, **changes):
    settings = {"name": "a-play", "section": "4.3", "title": "", "summary": "", "time_limit": 20.0}
    return Behaviour(**{**settings, "play": play, **changes})


def performed(play, *, succeeds=True, **changes):
    """The outcome of a play in a private network; skips the test where there can be none."""
    try:
        stage = open_stage(behaviour(play, **changes))
    except PermissionRefused as refusal:
        pytest.skip(str(refusal))
    with stage:
        stage.go()
        outcome = stage.wait()
    if succeeds and outcome.failure is not None:
        raise outcome.failure
    return outcome


def alone(part, **changes):
    """The outcome of a play with one actor, ``client``."""
    return performed(lambda stage: stage.play(client=part), **changes)


def roles(outcome):
    return {process.role: process for process in outcome.processes}


def named(outcome, name):
    return [call for call in outcome.calls if call.name == name]
