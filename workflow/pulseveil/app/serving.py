"""Server of the front end, with checks of Host and Origin against requests of other web pages.

Any web page can make a browser send requests to this machine: directly, or by DNS rebinding, under a name of
its own that it points here. A request is answered only if its Host is a name of this server and its Origin is
a page of this server. Both checks apply to HTTP and to the web socket that carries the page's data.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.web.server.starlette import App

# No telemetry, no developer tools of Streamlit, and no source code or paths in error messages.
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
    """Options of the command line.

    `folder`: folder that holds results/. `address`, `port`: where the server listens. `names`: further names
    of this server.
    """

    folder: Path
    address: str
    port: int
    names: tuple[str, ...]

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names of this server that a request may have as its Host."""
        # An address that stands for all interfaces is not a name: --name must give the names in use.
        own = () if self.address in EVERYONE else (_as_host(self.address),)
        return tuple(dict.fromkeys((*LOCAL, *own, *map(_as_host, self.names))))


def options(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line of the front end.

    Examples:
        >>> options(["--address", "10.0.0.5"]).hosts
        ('localhost', '127.0.0.1', '[::1]', '10.0.0.5')
    """
    parser = argparse.ArgumentParser(prog="pulseveil app", description="Serve the front end.")
    parser.add_argument("--folder", type=Path, default=Path(), help="folder that holds results/ (default: .)")
    parser.add_argument(
        "--address",
        default="localhost",
        help="address to listen on; 0.0.0.0: all (default: localhost)",
    )
    parser.add_argument("--port", type=int, default=8501, help="port of the page (default: 8501)")
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        help="further name or address of this machine in browsers, besides localhost and --address; with "
        "--address 0.0.0.0, give each name that browsers use",
    )
    read = parser.parse_args(arguments)
    return Options(read.folder.resolve(), read.address, read.port, tuple(read.name))


def app(chosen: Options) -> App:
    """The page behind the checks of Host and Origin, as an ASGI application."""
    guards = [
        Middleware(TrustedHostMiddleware, allowed_hosts=chosen.hosts, www_redirect=False),
        Middleware(SameOrigin),
    ]
    return App(Path(__file__).with_name("page.py"), middleware=guards)


def serve(chosen: Options) -> None:
    """Serve the page until the process ends."""
    # While a user opens the page: its first visit would wait for this import.
    Thread(target=import_module, args=("pulseveil.app.body",), daemon=True).start()
    app(chosen).run(config=OPTIONS | {"server.address": chosen.address, "server.port": chosen.port})


class SameOrigin:
    """Refuses requests of pages of other servers, whose Origin is not the Host of the request."""

    def __init__(self, inner: ASGIApp) -> None:
        self.inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a foreign request, also to open a web socket, with 403; pass on any other."""
        headers = Headers(scope=scope) if scope["type"] in ("http", "websocket") else Headers()
        origin = headers.get("origin")
        # Browsers send no Origin when a user types the address; then only the Host counts.
        if origin is None or urlsplit(origin).netloc == headers.get("host"):
            await self.inner(scope, receive, send)
        else:
            await PlainTextResponse("Request of a page of another server", 403)(scope, receive, send)


def _as_host(name: str) -> str:
    """A name as a Host header spells it: an IPv6 address in brackets."""
    return f"[{name}]" if ":" in name and not name.startswith("[") else name
