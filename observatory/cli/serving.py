"""The command ``serve``."""

from __future__ import annotations

import argparse
import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from observatory.cli.selecting import all_behaviours, heading
from observatory.cli.terminal import say, write_text
from observatory.errors import MissingTool, UsageError

if TYPE_CHECKING:
    from observatory.model import Analysis

SUMMARY = "a folder's run files as local pages"
EPILOG = """\
Only programs of this machine can reach it, and only with the address that is printed, which has a
random token in it. Behaviours are run as the user who serves. Ctrl-C ends it.

examples:
  observatory serve                    the run files in captures/
  observatory serve out/ --port 8080
  sudo observatory serve               with the kernel's own words, which need root
"""
DEFAULT_FOLDER = "captures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", nargs="?", metavar="DIR", default=DEFAULT_FOLDER)
    parser.add_argument("--port", type=int, default=0, help="(default: one that is free)")


def serve(parsed: argparse.Namespace) -> int:
    folder = Path(parsed.folder)
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder: name one that has run files in it")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise UsageError(f"{folder} may not be read: name another, or run with sudo")
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ImportError:
        raise MissingTool(
            "serving needs starlette and uvicorn: pip install 'socket-observatory[serve]'"
        ) from None
    import secrets
    import socket

    from observatory.pipeline import analyze, load
    from observatory.serving.app import Offer, Tools, make_app

    offers = [Offer(one.name, heading(one.section), one.title) for one in all_behaviours()]
    tools = Tools(lambda path: analyze(load(path)), _page, _picture)
    token = secrets.token_urlsafe(24)
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", parsed.port))
            listener.listen()  # before the address is printed, so that nobody comes too early
        except (OSError, OverflowError) as refused:
            raise UsageError(f"port {parsed.port} cannot be served at: {refused}") from None
        port = listener.getsockname()[1]
        app = make_app(folder, offers, tools, token, port)
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on",
                                timeout_graceful_shutdown=1, server_header=False)  # fmt: skip
        write_text(f"http://127.0.0.1:{port}/{token}/\n")
        say("Ctrl-C ends it")
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run([listener])
    return 0


def _page(analysis: Analysis) -> str:
    from observatory.pages import page

    return "".join(page(analysis))


def _picture(analysis: Analysis) -> str:
    from observatory.reports.svg import render

    return render(analysis)
