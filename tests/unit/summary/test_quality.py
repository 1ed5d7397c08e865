from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pulseveil.core.errors import InputError
from pulseveil.summary.columns import QUALITY, keys
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.quality import printed_quality, quality_table
from pulseveil.summary.quality_figures import quality_figure, quality_pages
from tests.unit.summary_cases import description, write_portrait, write_quality

STUDY = StudyDescription.model_validate(description())


def test_folds_and_seeds_become_a_mean_and_a_range(tmp_path):
    files = [write_quality(tmp_path / "a.csv", [0.9, 0.5]), write_quality(tmp_path / "b.csv", [0.4])]
    row = quality_table(files, STUDY).iloc[0]
    assert row["models"] == 3
    assert row["value"] == pytest.approx(0.6)
    assert (row["lowest"], row["highest"]) == (0.4, 0.9)
    assert row["floor"] == pytest.approx(0.7)
    assert (row["floor_low"], row["floor_high"]) == pytest.approx((0.4, 1.2))
    assert np.isnan(row["held_out"])


def test_measures_signals_and_conditions_have_rows_of_their_own(tmp_path):
    files = [
        write_quality(tmp_path / "a.csv", [0.2], measure="ks", signal="EDA", condition="stress"),
        write_quality(tmp_path / "b.csv", [0.6], measure="ks", signal="TEMP", condition="stress"),
        write_quality(tmp_path / "c.csv", [0.1], measure="mmd2"),
    ]
    table = quality_table(files, STUDY)
    assert table["value"].tolist() == [0.2, 0.6, 0.1]
    printed = printed_quality(table, STUDY)
    assert printed["KS ↓"].tolist() == ["0.400 (0.500)"]
    assert printed["MMD² ↓"].tolist() == ["0.100 (0.200)"]
    assert printed["ε generator"].tolist() == ["∞"]


def test_rows_name_the_cohorts_that_their_generator_takes_for_public(tmp_path):
    described = description()
    described["generators"]["cgan"] |= {"public_cohorts": ("others", "more")}
    files = [write_quality(tmp_path / f"{name}.csv", [0.2], generator=name) for name in ("cgan", "moments")]
    rows = quality_table(files, StudyDescription.model_validate(described)).set_index("generator")
    assert rows["public_cohorts"].to_dict() == {"cgan": "others, more", "moments": ""}


def test_without_quality_files_there_is_a_header_only():
    rows = quality_table([], STUDY)
    assert rows.empty
    assert list(rows.columns) == keys(QUALITY)


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "not a table"), ("cohort,generator\nwesad,cgan\n", "column 'unit' is missing")],
)
def test_a_broken_quality_file_is_named(tmp_path, text, words):
    (tmp_path / "q.csv").write_text(text)
    with pytest.raises(InputError, match=rf"q\.csv: not a table.*{words}|q\.csv: {words}"):
        quality_table([tmp_path / "q.csv"], STUDY)


def test_a_page_shows_the_least_and_the_most_private_cell(tmp_path):
    files = [Path(write_portrait(tmp_path / f"{e}.h5", e)) for e in ("8", "inf", "0.5")]
    files.append(Path(write_portrait(tmp_path / "moments.h5", "inf", "moments")))
    cgan, moments = quality_pages(files)
    assert [portrait.keys["epsilon_generator"] for portrait in cgan.portraits] == ["inf", "0.5"]
    assert (len(moments.portraits), moments.name) == (1, "quality_wesad_moments")
    texts = {text.get_text() for text in quality_figure(cgan).findobj() if hasattr(text, "get_text")}
    assert {"synthetic, ε = ∞", "synthetic, ε = 0.5, subject", "EDA", "frequency, Hz"} <= texts


def test_a_table_is_no_portrait(tmp_path):
    path = Path(write_quality(tmp_path / "q.h5", [0.5]))
    with pytest.raises(InputError, match=r"q\.h5: not a readable HDF5 file"):
        quality_pages([path])


def test_the_order_of_files_does_not_matter_for_the_values(tmp_path):
    files = [write_quality(tmp_path / f"{i}.csv", [i / 10]) for i in range(3)]
    pd.testing.assert_frame_equal(quality_table(files, STUDY), quality_table(files[::-1], STUDY))
