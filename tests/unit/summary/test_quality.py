from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from pulseveil.core.errors import InputError
from pulseveil.quality.portrait import examples
from pulseveil.quality.samples import Sample
from pulseveil.summary.column import keys_of
from pulseveil.summary.columns import QUALITY
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.quality import printed_quality, quality_table
from pulseveil.summary.quality_figures import quality_figure, quality_pages
from pulseveil.summary.window_figures import window_figure, window_pages
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
    assert list(rows.columns) == keys_of(QUALITY)


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


def test_the_page_of_windows_sets_real_ones_beside_all_generators_in_one_scale_per_signal(tmp_path):
    files = [Path(write_portrait(tmp_path / f"{e}.h5", e)) for e in ("8", "inf", "0.5")]
    files.append(Path(write_portrait(tmp_path / "moments.h5", "inf", "moments")))
    (page,) = window_pages(quality_pages(files))
    figure = window_figure(page, STUDY)
    panels = np.array(figure.axes).reshape(2, 2, 4)
    titles = [panel.get_title() for panel in panels[0, 0]]
    assert titles == ["real", "cGAN\nε = ∞", "cGAN\nε = 0.5 subject", "Moments\nε = ∞"]
    real, last = page.portraits[0].real_windows, page.portraits[-1].synthetic_windows
    for i, channel in np.ndindex(2, 2):
        for panel, windows in ((panels[i, channel, 0], real), (panels[i, channel, 3], last)):
            drawn = [line.get_ydata() for line in panel.lines]
            np.testing.assert_array_equal(drawn, windows[i, :, :, channel])
            assert panel.lines[0].get_xdata().tolist() == list(range(12))
    for channel in range(2):
        assert len({panel.get_ylim() for panel in panels[:, channel].flat}) == 1
    sizes = [text.get_fontsize() for text in figure.findobj(Text) if text.get_text()]
    assert min(sizes) >= 7


def test_a_class_without_windows_has_no_examples():
    windows = np.arange(12.0, dtype=np.float32).reshape(4, 3, 1)
    found = examples(Sample(windows, np.zeros(4, bool), np.full(4, "S1")))
    np.testing.assert_array_equal(found[0], windows[[0, 2, 3]])
    assert np.isnan(found[1]).all()


def test_a_table_is_no_portrait(tmp_path):
    path = Path(write_quality(tmp_path / "q.h5", [0.5]))
    with pytest.raises(InputError, match=r"q\.h5: not a readable HDF5 file"):
        quality_pages([path])


def test_the_order_of_files_does_not_matter_for_the_values(tmp_path):
    files = [write_quality(tmp_path / f"{i}.csv", [i / 10]) for i in range(3)]
    pd.testing.assert_frame_equal(quality_table(files, STUDY), quality_table(files[::-1], STUDY))
