"""How the page is served: to whom, under which names, and that nothing is told to anybody else.

Any web page can make a browser ask this machine: directly, or under a name of its own that it lets point here
(DNS rebinding). So a request is answered only if it names this server as its user does, and comes from a page
of this server; that holds for what is fetched and for the web socket, through which the page's data go.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.web.server.starlette import App

# Nothing is sent anywhere: no telemetry, no page of Streamlit's own tools, no source code in error messages.
OPTIONS = {
    "browser.gatherUsageStats": False,
    "client.showErrorDetails": "none",
    "client.toolbarMode": "minimal",
    "server.fileWatcherType": "none",
    "server.headless": True,
    "theme.base": "light",
    "theme.primaryColor": "#0072B2",
}
LOCAL = ("localhost", "127.0.0.1", "[::1]")
EVERYONE = ("0.0.0.0", "::")


@dataclass(frozen=True)
class Options:
    """What the command line says: the folder that holds results/, where to listen, and further names."""

    folder: Path
    address: str
    port: int
    names: tuple[str, ...]

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names under which a browser may ask for the page."""
        own = () if self.address in EVERYONE else (_as_host(self.address),)
        return tuple(dict.fromkeys((*LOCAL, *own, *map(_as_host, self.names))))


def options(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line of the front end."""
    parser = argparse.ArgumentParser(prog="python -m pulseveil.app", description="Serve the front end.")
    parser.add_argument("--folder", type=Path, default=Path(), help="folder that holds results/ (this one)")
    parser.add_argument("--address", default="localhost", help="who may look: localhost, or 0.0.0.0 for all")
    parser.add_argument("--port", type=int, default=8501, help="port of the page (8501)")
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        help="a name or address by which browsers call this machine, beside localhost and --address; needed "
        "for each of them with --address 0.0.0.0",
    )
    read = parser.parse_args(arguments)
    return Options(read.folder.resolve(), read.address, read.port, tuple(read.name))


def app(chosen: Options) -> App:
    """The page behind its guards, as an ASGI application."""
    guards = [
        Middleware(TrustedHostMiddleware, allowed_hosts=chosen.hosts, www_redirect=False),
        Middleware(SameOrigin),
    ]
    return App(Path(__file__).with_name("page.py"), middleware=guards)


def serve(chosen: Options) -> None:
    """Serve the page until told to end."""
    app(chosen).run(config=OPTIONS | {"server.address": chosen.address, "server.port": chosen.port})


class SameOrigin:
    """Refuses what a page of another server asks for: an Origin that is not the Host of the request."""

    def __init__(self, inner: ASGIApp) -> None:
        self.inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with 403, also to the opening of a web socket, or hand on."""
        headers = Headers(scope=scope) if scope["type"] in ("http", "websocket") else Headers()
        origin = headers.get("origin")
        if origin is None or urlsplit(origin).netloc == headers.get("host"):
            await self.inner(scope, receive, send)
        else:
            await PlainTextResponse("Asked by the page of another server", 403)(scope, receive, send)


def _as_host(name: str) -> str:
    """A name as a Host header spells it: an IPv6 address in brackets."""
    return f"[{name}]" if ":" in name and not name.startswith("[") else name
