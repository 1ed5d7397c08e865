import os
from pathlib import Path

import pytest

from tests import small_models

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


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with results/ of two small studies, one private and one rehearsal; copy before changing it."""
    path = tmp_path_factory.mktemp("models")
    small_models.train(path)
    small_models.train(path, small_models.REHEARSAL)
    return path
