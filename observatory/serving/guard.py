"""Who may ask: only this machine, only with the token, only pages of our own.

A web page from anywhere can make a browser send requests to 127.0.0.1. Three things keep it out:
the token in every address, which it does not know; the Host header, which tells a name that was
made to point here (DNS rebinding); and what browsers say of where a request comes from
(Sec-Fetch-Site, Origin).
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any

from starlette.responses import PlainTextResponse

Scope = Any
OUR_SITES = frozenset({"same-origin", "none"})  # none: typed, or opened from outside a page
HEADERS = {
    b"cache-control": b"no-store",
    b"cross-origin-resource-policy": b"same-origin",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"SAMEORIGIN",
}


@dataclass(frozen=True, slots=True)
class Guard:
    """ASGI middleware: refuses with 403 or 404 what is not ours to answer, and strips the token
    from the path of the rest."""

    app: Any
    token: str
    port: int

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refusal = self.refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS.items()]
            await send(message)

        inner = {**scope, "root_path": f"/{self.token}"}
        await self.app(inner, receive, send_with_headers)

    def refusal(self, scope: Scope) -> PlainTextResponse | None:
        """Why this request is not answered, as the answer."""
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        hosts = {f"127.0.0.1:{self.port}", f"localhost:{self.port}"}
        if headers.get("host") not in hosts:
            return PlainTextResponse("this name is not ours: open 127.0.0.1\n", 403)
        if headers.get("sec-fetch-site", "none") not in OUR_SITES:
            return PlainTextResponse("requests from other sites are refused\n", 403)
        origin = headers.get("origin")
        if origin is not None and origin not in {f"http://{host}" for host in hosts}:
            return PlainTextResponse("requests from other sites are refused\n", 403)
        first = scope["path"].removeprefix("/").partition("/")[0]
        if not hmac.compare_digest(first.encode(), self.token.encode()):
            return PlainTextResponse("not found: use the whole address that was printed\n", 404)
        return None
