"""The pages and what they ask for, as a Starlette application.

::

    /TOKEN/                    the list of run files, and the catalogue
    /TOKEN/runs                the list as server-sent events, again whenever the folder changes
    /TOKEN/run/FILE            a run's page          /TOKEN/file/FILE    the file itself
    /TOKEN/observe/NAME        POST: run a behaviour; answers {"number"}
    /TOKEN/live/NUMBER         its ladder as server-sent events, growing
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

import jinja2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from observatory.errors import ObservatoryError
from observatory.model import Analysis
from observatory.serving.folder import Folder
from observatory.serving.guard import Guard
from observatory.serving.live import Runs

LOOK_EVERY_S = 0.5
KEEPALIVE_S = 15.0
POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class Offer:
    """A behaviour that can be run at a click."""

    name: str
    section: str
    title: str


@dataclass(frozen=True, slots=True)
class Tools:
    """What the pages are made with; each may raise ObservatoryError."""

    read: Callable[[Path], Analysis]
    page: Callable[[Analysis], str]
    picture: Callable[[Analysis], str]


def make_app(folder: Path, offers: Sequence[Offer], tools: Tools, token: str, port: int) -> Guard:
    """The application for one folder, at ``http://127.0.0.1:port/token/``."""
    site = _Site(Folder(folder, tools.read), offers, tools, token)
    routes = [
        Route("/", site.index),
        Route("/runs", site.runs),
        Route("/run/{file}", site.run),
        Route("/file/{file}", site.file),
        Route("/observe/{name}", site.observe, methods=["POST"]),
        Route("/live/{number:int}", site.live),
    ]

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await site.live_runs.end_all()

    app = Starlette(routes=routes, lifespan=lifespan)
    return Guard(app, token, port)


class _Site:
    def __init__(self, folder: Folder, offers: Sequence[Offer], tools: Tools, token: str) -> None:
        self.folder = folder
        self.offers = offers
        self.tools = tools
        self.live_runs = Runs(folder.path, lambda path: tools.picture(tools.read(path)))
        self._nonce = secrets.token_urlsafe(16)
        self._pages = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)

    async def index(self, request: Request) -> Response:
        template = files("observatory.serving").joinpath("index.html.j2").read_text("utf-8")
        sections: dict[str, list[Offer]] = {}
        for offer in self.offers:
            sections.setdefault(offer.section, []).append(offer)
        page = self._pages.from_string(template).render(
            folder=str(self.folder.path), sections=sections, nonce=self._nonce
        )
        policy = POLICY.format(nonce=self._nonce)
        return HTMLResponse(page, headers={"content-security-policy": policy})

    async def runs(self, request: Request) -> Response:
        return _events(self._listings(request))

    async def _listings(self, request: Request) -> AsyncIterator[object]:
        """The list, and again when a file appears, changes or goes."""
        seen: object = None
        while not await request.is_disconnected():
            stamps = await asyncio.to_thread(self.folder.stamps)
            if stamps != seen:
                seen = stamps
                yield await asyncio.to_thread(self.folder.summaries)
            await asyncio.sleep(LOOK_EVERY_S)

    async def run(self, request: Request) -> Response:
        path = self.folder.file(request.path_params["file"])
        if path is None:
            return PlainTextResponse("no such run file in the folder\n", 404)
        try:
            return HTMLResponse(
                await asyncio.to_thread(lambda: self.tools.page(self.tools.read(path)))
            )
        except ObservatoryError as error:
            return PlainTextResponse(f"{error}\n", 422)

    async def file(self, request: Request) -> Response:
        path = self.folder.file(request.path_params["file"])
        if path is None:
            return PlainTextResponse("no such run file in the folder\n", 404)
        return FileResponse(path, filename=path.name, media_type="application/octet-stream")

    async def observe(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in {offer.name for offer in self.offers}:
            return PlainTextResponse(f"no behaviour is named {name}\n", 404)
        if self.live_runs.full:
            return PlainTextResponse("several behaviours run already: wait for one to end\n", 429)
        return JSONResponse({"number": await self.live_runs.start(name)})

    async def live(self, request: Request) -> Response:
        return _events(self._looks(request.path_params["number"]))

    async def _looks(self, number: int) -> AsyncIterator[Mapping[str, str]]:
        async for look in self.live_runs.follow(number):
            yield asdict(look)


def _events(items: AsyncIterator[object]) -> StreamingResponse:
    """``items`` as server-sent events, each as JSON, and a comment now and then, by which a page
    that is gone is noticed."""

    async def chunks() -> AsyncIterator[str]:
        following = aiter(items)
        pending = asyncio.ensure_future(anext(following, None))
        try:
            while True:
                done, _ = await asyncio.wait([pending], timeout=KEEPALIVE_S)
                if not done:
                    yield ": still here\n\n"
                    continue
                item = pending.result()
                if item is None:
                    yield "event: end\ndata: {}\n\n"
                    return
                yield f"data: {json.dumps(item)}\n\n"
                pending = asyncio.ensure_future(anext(following, None))
        finally:
            pending.cancel()

    return StreamingResponse(chunks(), media_type="text/event-stream")
