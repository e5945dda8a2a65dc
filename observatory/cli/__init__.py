"""The command line. Results go to stdout, everything else to stderr.

``list`` and ``--help`` answer in well under 0.15 s, so nothing here imports scapy, rich or the
analyzer before a command needs it: each command imports what it uses.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence

from observatory.cli import commands
from observatory.cli.arguments import make_parser
from observatory.cli.completion import COMPLETE
from observatory.cli.terminal import say, with_notes
from observatory.errors import ObservatoryError, WriteFailed

INTERRUPTED = 130  # 128 + SIGINT, as shells report it
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
PIPE_CLOSED = 141  # 128 + SIGPIPE: whoever read our output had enough


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status (``observatory --help`` lists them)."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if words[:1] == [COMPLETE]:  # asked by the shells' completion scripts, never typed
            return commands.complete(make_parser(), words[1:])
        parsed = make_parser().parse_args(words)
        status: int = parsed.command(parsed)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes stdout once more at exit, which would fail again and say so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except OSError as error:
        # Files are written by functions that say which one: what is left is stdout.
        if error.errno not in NO_ROOM:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        say(f"observatory: the output could not be written: {error.strerror}; free some space")
        return WriteFailed.exit_status
    except KeyboardInterrupt as interrupt:
        say(with_notes("observatory: interrupted", interrupt))
        return INTERRUPTED
    except ObservatoryError as error:
        say(with_notes(f"observatory: {error}", error))
        return error.exit_status
    return status
