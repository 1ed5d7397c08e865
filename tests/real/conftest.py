from pathlib import Path

import pytest

from tests.official_layout import write_official_layout


@pytest.fixture(scope="session")
def wesad_folder(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All 15 WESAD subjects in the official layout, with short chest arrays."""
    folder = tmp_path_factory.mktemp("wesad")
    for source in (recordings / "wesad_raw").glob("S*.npz"):
        write_official_layout(source, folder)
    return folder
