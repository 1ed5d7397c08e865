import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real recordings; required in CI, elsewhere tests that need it are skipped."""
    folder = Path(os.environ.get("PULSEVEIL_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "wesad_raw" / "S2.npz").exists():
        message = f"no real recordings in {folder}; set PULSEVEIL_DATA to their folder"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder
