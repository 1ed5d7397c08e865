import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from pulseveil.core.randomness import root_stream
from pulseveil.summary.ablation_figure import ablation_figure, ablations
from pulseveil.summary.axis_figures import StudyAxis, axis_figure, study_axes
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.figures import main_figure, reference_rows, subject_figure
from pulseveil.summary.palette import save
from pulseveil.summary.results import arrange, collect
from pulseveil.summary.tables import main_table
from tests.unit.summary_cases import constant_scores, description, scores, write

STUDY = StudyDescription.model_validate(description())
WRONG = {"S2": 2, "S3": 4, "S4": 9, "S5": 0, "S6": 1, "S7": 3}


def study(folder, records):
    results = collect(write(folder, records))
    cells = arrange(results, STUDY)
    return main_table(results, cells, STUDY, None, root_stream(0)), cells


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    records = [
        scores(WRONG),
        scores(WRONG, detector="forest"),
        constant_scores(list(WRONG)),
        *(scores(WRONG, evaluation="tstr", generator="cgan", subjects=n) for n in (5, 15)),
    ]
    return study(tmp_path_factory.mktemp("scores"), records)


def points(panel):
    return np.concatenate([artist.get_offsets() for artist in panel.collections if len(artist.get_offsets())])


def dots(panel):
    return np.concatenate([c.get_offsets() for c in panel.collections if isinstance(c, PathCollection)])


def test_dots_of_the_main_figure_are_the_means_of_the_table(small):
    main, _ = small
    real_accuracy, real_f1, tstr_accuracy, _ = main_figure(main, STUDY).axes
    models = main[(main["evaluation"] == "real") & (main["detector"] != "majority")]
    assert set(points(real_accuracy)[:, 0]) >= set(models["accuracy"])
    assert set(points(real_f1)[:, 0]) >= set(models["f1"])
    assert [label.get_text() for label in real_accuracy.get_yticklabels()] == ["CNN", "Random forest"]
    assert [label.get_text() for label in tstr_accuracy.get_yticklabels()] == ["CNN · cGAN"]


def test_the_majority_is_a_line_at_its_accuracy(small):
    panel = main_figure(small[0], STUDY).axes[0]
    assert [line.get_xdata()[0] for line in panel.lines] == pytest.approx([0.7])


def test_every_subject_is_a_point_and_the_worst_is_named(small):
    panel = subject_figure(*small, STUDY).axes[0]
    assert sorted(points(panel)[:6, 0]) == pytest.approx(sorted(1 - w / 20 for w in WRONG.values()))
    assert {text.get_text() for text in panel.texts} == {"S4"}


def test_axes_are_those_along_which_models_differ(small, tmp_path):
    assert study_axes(small[1].keys) == [StudyAxis("tstr", "subjects")]
    plain = [scores(WRONG), constant_scores(list(WRONG)), constant_scores(list(WRONG), noise=1.0)]
    assert study_axes(study(tmp_path, plain)[1].keys) == []


def test_axis_lines_hold_the_other_axes_at_their_reference(tmp_path):
    worse = {name: count + 3 for name, count in WRONG.items()}
    synthetic = {"evaluation": "tstr", "generator": "cgan"}
    main, cells = study(
        tmp_path,
        [
            scores(WRONG, **synthetic, subjects=15),
            scores(worse, **synthetic, subjects=15, epsilon_generator=1),
            scores(worse, **synthetic, subjects=5),
            scores(worse, **synthetic, subjects=5, epsilon_generator=1),
        ],
    )
    figure = axis_figure(main, study_axes(cells.keys), STUDY)
    lines = [line.get_ydata() for panel in figure.axes for line in panel.lines[:1]]
    best, worst = 1 - 19 / 120, 1 - 37 / 120
    # No budget stands at the left, and few subjects do.
    assert lines[0] == pytest.approx([best, worst])
    assert lines[2] == pytest.approx([worst, best])
    assert len(figure.axes) == 4


def test_the_ablation_shows_each_level_of_signals_at_the_reference_of_other_axes(tmp_path):
    worse = {name: count + 3 for name, count in WRONG.items()}
    main, cells = study(
        tmp_path,
        [
            scores(WRONG),
            scores(worse, signals="without_EDA"),
            scores(worse, signals="TEMP"),
            scores(worse, epsilon_detector=1, signals="TEMP"),
            constant_scores(list(WRONG)),
            scores(WRONG, evaluation="tstr", generator="cgan", subjects=15),
        ],
    )
    assert ablations(main) == ["real"]
    assert study_axes(cells.keys) == [StudyAxis("real", "epsilon_detector")]
    accuracy, _ = ablation_figure(main, STUDY).axes
    assert [label.get_text() for label in accuracy.get_yticklabels()] == ["all", "TEMP", "without EDA"]
    best, worst = 1 - 19 / 120, 1 - 37 / 120
    np.testing.assert_allclose(dots(accuracy), [[best, 0], [worst, 1], [worst, 2]])
    # The other figures show the row that reads all signals.
    assert reference_rows(main)["signals"].tolist() == ["all", "all"]
    models = dots(main_figure(main, STUDY).axes[0])
    np.testing.assert_allclose(models[:, 0], best)


def test_the_same_table_gives_the_same_bytes(small, tmp_path):
    for folder in ("a", "b"):
        save(main_figure(small[0], STUDY), tmp_path / folder, "main")
    for suffix in ("pdf", "png", "svg"):
        first, second = ((tmp_path / folder / f"main.{suffix}").read_bytes() for folder in ("a", "b"))
        assert first == second
        assert len(first) > 5000


def test_a_saved_layout_is_in_round_numbers(tmp_path):
    figure = Figure(figsize=(4.1, 3.3), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(3, 1.7))
    for part in (upper, lower):
        for panel in part.subplots(1, 3):
            panel.set_ylabel("a label")
    save(figure, tmp_path, "laid out", formats=("svg",))
    boxes = [*(axes.get_position() for axes in figure.axes), upper.bbox_relative, lower.bbox_relative]
    bounds = np.array([box.bounds for box in boxes])
    np.testing.assert_allclose(bounds, np.round(bounds, 5), rtol=0, atol=1e-12)
    assert 0.1 < bounds[0, 2] < 0.33
