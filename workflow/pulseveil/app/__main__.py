"""Start the front end: `python -m pulseveil.app --folder FOLDER`, where FOLDER holds results/."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

# Nothing is sent anywhere: no telemetry, no page of Streamlit's own tools, no source code in error messages.
OPTIONS = {
    "browser.gatherUsageStats": "false",
    "client.showErrorDetails": "none",
    "client.toolbarMode": "minimal",
    "server.fileWatcherType": "none",
    "server.headless": "true",
    "theme.base": "light",
    "theme.primaryColor": "#0072B2",
}


def command(folder: Path, address: str, port: int) -> list[str]:
    """The command that serves the page; only this machine can reach it unless `address` says otherwise."""
    page = Path(__file__).with_name("page.py")
    options = OPTIONS | {"server.address": address, "server.port": str(port)}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return [sys.executable, "-m", "streamlit", "run", str(page), *words, "--", "--folder", str(folder)]


def main() -> None:
    """Become the server."""
    parser = argparse.ArgumentParser(prog="python -m pulseveil.app", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(), help="folder that holds results/ (this one)")
    parser.add_argument("--address", default="localhost", help="who may look: localhost, or 0.0.0.0 for all")
    parser.add_argument("--port", type=int, default=8501, help="port of the page (8501)")
    options = parser.parse_args()
    words = command(options.folder.resolve(), options.address, options.port)
    os.execv(words[0], words)


if __name__ == "__main__":
    main()
