"""The page of the front end, run by Streamlit: its title, then the rest of the page (`body`)."""

from __future__ import annotations

from importlib import import_module

import streamlit as st

from pulseveil.app import serving

# Small letters for the statement: its tables are 108 characters wide.
STYLE = """<style>
[data-testid="stMainBlockContainer"] {padding: 3rem 2.5rem}
.st-key-statement code, .st-key-second-statement code {font-size: 0.7rem}
</style>"""


def main() -> None:
    """Lay out the page."""
    st.set_page_config(page_title="PulseVeil", layout="wide")
    st.html(STYLE)
    st.title("PulseVeil: synthetic wearable data")
    # Below the title: the first visit of a server imports for a second, and the user already sees the page.
    import_module("pulseveil.app.body").show(serving.options().folder)


if __name__ == "__main__":
    main()
