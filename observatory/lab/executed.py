"""The program that a play's process becomes when it executes ``Actor.program(…)``::

python -m observatory.lab.executed module:function argument…
"""

from __future__ import annotations

import sys
from importlib import import_module

from observatory.lab.actor import Actor, play_part


def main() -> None:
    """Run ``function(actor, *arguments)`` with the journal carried on."""
    module, _, function = sys.argv[1].partition(":")
    part = getattr(import_module(module), function)
    play_part(Actor.resume(), lambda actor: part(actor, *sys.argv[2:]))


if __name__ == "__main__":
    main()
