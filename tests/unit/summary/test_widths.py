"""Figures have the widths of print: one and two columns of a journal, with text of at least 7 points."""

import re
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from pulseveil.core import store
from pulseveil.core.contracts import Portrait
from pulseveil.core.randomness import root_stream
from pulseveil.summary.ablation_figure import ablation_figure
from pulseveil.summary.axis_figures import axis_figure, privacy_figure, study_axes
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.figures import main_figure, subject_figure
from pulseveil.summary.noise_figure import noise_columns, noise_figure
from pulseveil.summary.palette import save_widths
from pulseveil.summary.quality_figures import quality_figure, quality_pages
from pulseveil.summary.results import arrange, collect
from pulseveil.summary.tables import main_table
from pulseveil.summary.ways_figure import questions, ways_figure
from pulseveil.summary.weights_figure import as_table, weights_figure
from pulseveil.summary.window_figures import window_figure, window_pages
from tests.unit.summary_cases import constant_scores, description, scores, write, write_portrait

MM = 72 / 25.4
PEOPLE = {f"S{i}": i % 5 for i in range(2, 10)}
DETECTORS = ("cnn", "transformer", "logistic")
GENERATORS = ("cgan", "autoencoder", "posterior")
SIGNALS = ("all", "without_eda_level+activity", "heart_rate_variability")
RULES = ("majority", "elapsed_time", "public_signs", "public_signs_three")
CHANNELS = ("pulse_rate", "pulse_variability", "eda_level", "eda_response", "skin_temperature", "activity")
SHARED = {"cohort": "wesad", "detector": "none", "epsilon_detector": np.inf, "attack": "missing person"}
ATTACKED = {"rate": 0.5, "rate_low": 0.3, "rate_high": 0.7, "chance": 0.07}


def study():
    values = description()
    values["evaluations"]["noised"] = {**values["evaluations"]["real"], "noise_distribution": "laplace"}
    return StudyDescription.model_validate(values)


def records():
    for rule, evaluation in product(RULES, ("real", "tstr", "noised")):
        yield constant_scores(list(PEOPLE), detector=rule, evaluation=evaluation)
    for detector, signals in product(DETECTORS, SIGNALS):
        yield scores(PEOPLE, detector=detector, signals=signals)
    for detector, unit, epsilon in product(DETECTORS, ("subject", "window"), (10, 1, 0.1)):
        yield scores(PEOPLE, detector=detector, unit=unit, epsilon_detector=epsilon)
    for detector, generator, epsilon in product(DETECTORS, GENERATORS, ("inf", 1)):
        keys = {"generator": generator, "subjects": 15, "epsilon_generator": epsilon}
        yield scores(PEOPLE, detector=detector, evaluation="tstr", **keys)
    for detector, noise in product(DETECTORS, (0.0, 0.5, 2.0)):
        yield scores(PEOPLE, detector=detector, evaluation="noised", noise=noise)


def audits():
    noised = [
        {"part": "noised", "generator": "none", "unit": "none", "epsilon_generator": np.inf}
        | {"evaluation": "noised", "input_noise": noise}
        for noise in (0.0, 0.5, 2.0)
    ]
    generated = [
        {"part": "generator", "generator": name, "unit": "subject", "epsilon_generator": epsilon}
        for name, epsilon in product(GENERATORS, (np.inf, 1.0))
    ]
    return pd.DataFrame([{**SHARED, **ATTACKED, **row} for row in (*noised, *generated)])


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """How to draw each figure of a study with many models, evaluations and axes, by its name."""
    of = study()
    results = collect(write(tmp_path_factory.mktemp("scores"), list(records())))
    cells = arrange(results, of)
    main = main_table(results, cells, of, None, root_stream(0))
    epsilon = main[["epsilon_generator", "epsilon_detector"]].min(axis=1)
    main["epsilon_pld"] = epsilon.where(np.isfinite(epsilon))
    names = [f"{channel}_{statistic}" for channel in CHANNELS for statistic in ("mean", "slope", "log_sd")]
    weights = [
        as_table(f"Detector {i}\nreal windows\nno budget", CHANNELS, [dict.fromkeys(names, -0.5)])
        for i in range(3)
    ]
    return {
        "main": partial(main_figure, main, of),
        "per_subject": partial(subject_figure, main, cells, of),
        "axes": partial(axis_figure, main, study_axes(cells.keys), of),
        "ablation": partial(ablation_figure, main, of),
        "privacy": partial(privacy_figure, main, of),
        "ways": partial(ways_figure, questions(main, of), of),
        "weights": partial(weights_figure, weights),
        "noise": partial(noise_figure, noise_columns(main, audits(), of), of),
    }


def text_points(svg):
    """Font sizes of an SVG file of Matplotlib in points: its glyphs are drawn at 100 points and scaled."""
    texts = re.findall(r"<!-- .*? -->\s*<g[^>]*transform=\"[^\"]*scale\(([\d.]+) ", svg)
    return np.array(texts, dtype=float) * 100


def require_print(paths, width_mm):
    """The files of a figure have the width of print, and no text that is too small for it."""
    for path in paths:
        if path.suffix == ".svg":
            (width,) = re.findall(r'<svg[^>]* width="([\d.]+)pt"', path.read_text())
            assert len(text_points(path.read_text())) > 5, path.name
            assert text_points(path.read_text()).min() >= 6.99, path.name
        elif path.suffix == ".pdf":
            (width,) = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) ", path.read_bytes())
        else:
            image = imread(path)[..., :3]
            width = image.shape[1] / 200 * 72
            # What leaves the figure is cut at its edge.
            edges = [image[0], image[-1], image[:, 0], image[:, -1]]
            assert min(edge.min() for edge in edges) == 1.0, path.name
        assert float(width) / MM == pytest.approx(width_mm, abs=0.3), path.name


NAMES = ("main", "per_subject", "axes", "ablation", "privacy", "ways", "weights", "noise")


@pytest.mark.parametrize("name", NAMES)
def test_figures_have_both_widths_and_readable_text(drawn, name, tmp_path):
    paths = save_widths(drawn[name], tmp_path, name)
    suffixes = ("pdf", "png", "svg")
    assert [p.name for p in paths] == [f"{name}{end}.{s}" for end in ("", "-column") for s in suffixes]
    require_print(paths[:3], 174)
    require_print(paths[3:], 88)


def wide_portrait(path, epsilon, generator):
    """A portrait with the six signals of the physiological channels."""
    two = store.read_record(Path(write_portrait(path, epsilon, generator)), Portrait)
    three = {
        name: np.concatenate([getattr(two, name)] * 3, axis=axis)
        for name, axis in (
            ("edges", 0),
            ("real_density", 1),
            ("synthetic_density", 1),
            ("real_power", 0),
            ("synthetic_power", 0),
            ("real_windows", 3),
            ("synthetic_windows", 3),
        )
    }
    correlation = {"real_correlation": np.eye(7), "synthetic_correlation": np.eye(7)}
    store.write_record(path, replace(two, channels=CHANNELS, **three, **correlation), cell_hash="")
    return path


@pytest.mark.parametrize("page", ["quality", "windows"])
def test_pages_of_synthetic_windows_have_both_widths_and_readable_text(page, tmp_path):
    cases = [(epsilon, name) for name in GENERATORS for epsilon in ("inf", "10")]
    files = [wide_portrait(tmp_path / f"{name}{epsilon}.h5", epsilon, name) for epsilon, name in cases]
    pages = quality_pages(files)
    (windows,) = window_pages(pages)
    draw = {
        "quality": partial(quality_figure, pages[0]),
        "windows": partial(window_figure, windows, study()),
    }
    paths = save_widths(draw[page], tmp_path, page)
    require_print(paths[:3], 174)
    require_print(paths[3:], 88)
