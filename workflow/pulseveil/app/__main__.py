"""Start the front end: `python -m pulseveil.app --folder FOLDER`, where FOLDER holds results/."""

from __future__ import annotations

from pulseveil.app import serving


def main() -> None:
    """Serve the front end with the options of the command line."""
    serving.serve(serving.options())


if __name__ == "__main__":
    main()
