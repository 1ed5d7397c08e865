"""Writes WESAD recordings in the official layout (`SX/SX.pkl`), as the tests and trial runs need them.

    python tests/official_layout.py DATA_DIR OUT_DIR

converts every `DATA_DIR/wesad_raw/SX.npz`.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np

LABEL_HZ = 700
CHEST_COLUMNS = {"ACC": 3, "ECG": 1, "EMG": 1, "EDA": 1, "Temp": 1, "Resp": 1}


def official_content(npz_path: Path, chest_rows: int = LABEL_HZ) -> dict[str, object]:
    """The dict of an official pickle; `chest_rows` of noise stand for the 700 Hz chest signals."""
    with np.load(npz_path, allow_pickle=False) as stored:
        wrist = {name: stored[name] for name in ("ACC", "BVP", "EDA", "TEMP")}
        label = np.repeat(stored["label_1hz"].astype(np.int32), LABEL_HZ)
    noise = np.random.default_rng(0)
    chest = {name: noise.normal(size=(chest_rows, columns)) for name, columns in CHEST_COLUMNS.items()}
    return {"subject": npz_path.stem, "signal": {"chest": chest, "wrist": wrist}, "label": label}


def write_pickle(content: object, subject: str, folder: Path) -> Path:
    """Write `folder/SX/SX.pkl` with protocol 2, that of the official files."""
    path = folder / subject / f"{subject}.pkl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as handle:
        pickle.dump(content, handle, protocol=2)
    return path


def write_official_layout(npz_path: Path, folder: Path, chest_rows: int = LABEL_HZ) -> Path:
    """Write `SX.npz` as `folder/SX/SX.pkl`; returns the pickle's path."""
    return write_pickle(official_content(npz_path, chest_rows), npz_path.stem, folder)


if __name__ == "__main__":
    for source in sorted((Path(sys.argv[1]) / "wesad_raw").glob("S*.npz")):
        print(write_official_layout(source, Path(sys.argv[2])))
