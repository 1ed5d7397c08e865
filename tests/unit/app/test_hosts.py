"""The front end answers only whom its user means: by Host and Origin, over HTTP and the web socket."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from pulseveil.app import serving

WAIT_S = 60
PATHS = ("/", "/_stcore/health", "/_stcore/host-config", "/media/none", "/index.html")


@pytest.fixture(scope="module")
def port(tmp_path_factory) -> Iterator[int]:
    """Where `python -m pulseveil.app` serves a folder without models, for this machine and one more name."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        number = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("empty")
    command = [sys.executable, "-m", "pulseveil.app", "--folder", str(folder)]
    command += ["--port", str(number), "--address", "127.0.0.1", "--name", "lab.example"]
    server = subprocess.Popen(command, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + WAIT_S
        while status(number, host=f"localhost:{number}") != 200:
            assert server.poll() is None, f"the server ended with {server.returncode}"
            assert time.monotonic() < end, "the server did not answer"
            time.sleep(0.3)
        yield number
    finally:
        server.terminate()
        server.wait(timeout=WAIT_S)


def status(port: int, path: str = "/_stcore/health", host: str | None = None, **headers: str) -> int:
    """The status of the answer to one request, word by word as sent; 0 where there is none."""
    lines = [f"GET {path} HTTP/1.1", *([] if host is None else [f"Host: {host}"]), "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
            line.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
            words = line.recv(100).split()
    except OSError:
        return 0
    return int(words[1]) if len(words) > 1 else 0


def socket_status(port: int, host: str, origin: str | None = None) -> int:
    """The status of the answer to the opening of the page's web socket: 101 where it opens."""
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec_WebSocket_Version": "13",
    }
    if origin is not None:
        headers["Origin"] = origin
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        request = "\r\n".join([f"GET /_stcore/stream HTTP/1.1\r\nHost: {host}", *lines])
        line.sendall(f"{request}\r\n\r\n".encode())
        return int(line.recv(100).split()[1])


GOOD = ("localhost", "127.0.0.1", "[::1]", "lab.example", "LOCALHOST")
FOREIGN = (
    *("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:80"),
    *("0.0.0.0", "127.0.0.2", "[::2]", "localhost@evil.example", "localhost.", "", "sub.lab.example"),
)


@pytest.mark.parametrize("host", GOOD)
def test_the_page_is_served_under_the_names_of_its_user(port, host):
    for path in ("/", "/_stcore/health"):
        assert status(port, path, f"{host}:{port}") == 200
    assert socket_status(port, f"{host}:{port}", f"http://{host}:{port}") == 101


@pytest.mark.parametrize("host", FOREIGN)
def test_nothing_is_served_under_a_foreign_name(port, host):
    named = host if ":" in host.strip("[]") and not host.startswith("[") else f"{host}:{port}"
    assert {status(port, path, named) for path in PATHS} <= {400, 403, 404}
    assert socket_status(port, named) in (400, 403, 404)
    assert socket_status(port, named, f"http://{named}") in (400, 403, 404)


def test_a_request_without_host_is_refused(port):
    assert {status(port, path) for path in PATHS} == {400}


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1", "https://localhost"])
def test_a_page_of_another_server_gets_nothing(port, origin):
    host = f"localhost:{port}"
    assert {status(port, path, host, Origin=origin) for path in PATHS} == {403}
    assert socket_status(port, host, origin) == 403


def test_names_are_those_of_the_command_line():
    assert serving.options([]).hosts == serving.LOCAL
    everyone = serving.options(["--address", "0.0.0.0", "--name", "lab.example", "--name", "fe80::1"])
    assert everyone.hosts == (*serving.LOCAL, "lab.example", "[fe80::1]")
    assert serving.options(["--address", "10.0.0.5"]).hosts == (*serving.LOCAL, "10.0.0.5")
