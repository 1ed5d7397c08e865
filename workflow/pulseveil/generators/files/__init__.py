"""Windows that another tool has synthesized, as a generator: it enters all tables like any other.

Nothing is known of how the windows were made. They have no ledger, and may have been learnt from the test
subject.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, model_validator

from pulseveil.core import limits
from pulseveil.generators import GeneratorKind, GeneratorSettings
from pulseveil.privacy.budget import Unit

_KNOWN = (".csv", ".h5", ".npy", ".parquet")


class FilesSettings(GeneratorSettings):
    """Settings of `files`."""

    data: Path = Field(
        description="CSV, Parquet, HDF5 or NPY of windows in the channels, scaling and length of the study"
    )
    columns: Mapping[str, str] = Field(
        {}, description="names of the file's columns by channel, `subject`, `window` or `condition`"
    )
    sha256: str = Field("", description="of the file; found by itself, so that another file is another model")

    @model_validator(mode="after")
    def _known_file(self) -> Self:
        # The settings of a stored model name its file, which need not be there any more.
        if self.sha256:
            return self
        if self.data.suffix not in _KNOWN:
            raise ValueError(f"data: expected a file that ends in {', '.join(_KNOWN)}, found {self.data}")
        if not self.data.is_file():
            raise ValueError(f"data: expected a file of windows, found none at {self.data}")
        object.__setattr__(self, "sha256", file_hash(self.data))
        return self


def file_hash(path: Path) -> str:
    """The sha256 of a file of windows; raises InputError if the file is too large."""
    return sha256(limits.read_bytes(path, limits.ARRAYS_BYTES, "a file of windows")).hexdigest()


class Files(GeneratorKind):
    """Windows of a file, drawn by their condition."""

    Settings: ClassVar[type[GeneratorSettings]] = FilesSettings
    title: ClassVar[str] = "Given windows (no ledger)"
    colour: ClassVar[str] = "#7F7F7F"
    version: ClassVar[int] = 1
    audited: ClassVar[bool] = False
    no_budget: ClassVar[str] = (
        "its windows were made elsewhere, without a ledger, and may have been learnt from the test subject"
    )
    model: ClassVar[str] = "pulseveil.generators.files.model:FilesModel"

    @staticmethod
    def expected_seconds(settings: FilesSettings, rows: int, private: Unit | None) -> float:
        """Expected CPU seconds of reading the file."""
        return 1.0
