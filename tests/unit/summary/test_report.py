import base64
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from pulseveil.core import registry
from pulseveil.core.errors import InputError
from pulseveil.core.processes import spread_over
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.published import read_published
from pulseveil.summary.summarize import summarize
from pulseveil.summary.terminal import WIDTH, terminal_summary
from tests.unit.summary_cases import (
    WESAD,
    constant_scores,
    described_kind,
    description,
    scores,
    write,
    write_generator,
    write_portrait,
    write_quality,
)

ROOT = Path(__file__).resolve().parents[3]
PUBLISHED = read_published(ROOT / "config" / "published.csv")
TABLES = ["main.csv", "main.tex", "main.html", "per_subject.csv", "differences.csv", "quality.csv"]
TABLES += ["columns.json"]
TABLES += ["spending.csv", "ledger.json", "statement.txt", "audit.csv"]
FORMATS = ("pdf", "png", "svg")
FIGURES = [
    f"{name}{end}.{kind}" for name in ("main", "per_subject") for end in ("", "-column") for kind in FORMATS
]
REPAIRS = [{"subject": "S2", "windows": 35, "repairs": ["EDA gap of 3 s filled", "clock set back"]}]


def records(axes=False):
    wrong = {name: i % 5 for i, name in enumerate(WESAD)}
    synthetic = {"evaluation": "tstr", "generator": "cgan", "subjects": 15}
    epsilons = ("inf", 10, 1) if axes else ("inf",)
    for seed in range(2):
        yield scores(wrong, seed=seed)
        yield constant_scores(WESAD, seed=seed)
        for epsilon in epsilons:
            yield scores(wrong, **synthetic, seed=seed, epsilon_generator=epsilon)


def cohort():
    return {"wesad": {"kind": "wesad", "published": True, "subjects": 15, "summary": REPAIRS}}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    study = StudyDescription.model_validate(description(cohorts=cohort()))
    published = read_published(ROOT / "config" / "published.csv")
    return summarize(study, write(folder, list(records())), folder / "results", published=published)


def run(script, *arguments, cwd):
    command = [sys.executable, ROOT / "scripts" / script, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def printed(main, files=(), note=""):
    console = Console(width=WIDTH, file=StringIO())
    with console.capture() as captured:
        console.print(terminal_summary(main, files, note))
    return captured.get()


def test_the_report_loads_nothing_from_elsewhere(done):
    page = done.files[-1].read_text()
    sources = re.findall(r'src="([^"]{0,40})', page)
    assert sources
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    places = re.findall(r'href="([^"]+)"', page)
    inside = [place for place in places if place != "files.html"]
    assert all(place.startswith("#") and f'id="{place[1:]}"' in page for place in inside)
    assert not re.findall(r"@import|url\(|<script[^>]|<link", page)
    images = re.findall(r"base64,([A-Za-z0-9+/=]+)", page)
    assert [base64.b64decode(image)[:5] for image in images] == [b"<?xml", b"<?xml"]


def test_the_report_tells_what_was_repaired_and_what_to_beware_of(done):
    page = done.files[-1].read_text()
    assert "EDA gap of 3 s filled; clock set back" in page
    assert "one generator was trained on all subjects" in page
    assert "Sensors 2024, 24(10), 3052" in page


def test_the_report_has_all_its_parts(done):
    page = done.files[-1].read_text()
    parts = re.findall(r'<h2 id="(\w+)">', page)
    assert parts == ["plan", "results", "figures", "claims", "privacy", "published", "cohorts", "provenance"]
    assert re.findall(r'<a href="#(\w+)">', page) == parts
    assert "ro-crate-metadata.json" in page


def published_rows(page):
    """Rows of all published cells on a page, as text by column."""
    found = []
    for table in re.findall(r'<table class="reasons">.*?</table>', page, re.DOTALL):
        titles = re.findall(r"<th>(.*?)</th>", table)
        for row in re.findall(r'<tr class="(?:not-)?(?:reproduced|run|defined)">(.*?)</tr>', table):
            cells = [re.sub("<.*?>", "", cell) for cell in re.findall(r"<td.*?</td>", row)]
            found.append(dict(zip(titles, cells, strict=True)))
    return found


def test_the_report_compares_the_published_cells_of_the_study_alone(done):
    report, page = done.files[-1].read_text(), done.files[-3].read_text()
    assert done.files[-3].name == "reproduction.html"
    own, every = published_rows(report), published_rows(page)
    assert len(every) == len(PUBLISHED) == 184
    # The CNN of 1-LOSO_15real and of 3-TSTR_cGAN with 15 subjects: two of 20 windows are wrong.
    ours = "ours [95 %]"
    assert [row[ours].split()[0] for row in own] == ["0.900", "0.900"]
    # The page of all cells has no columns of axes on which all cells of a scenario are equal.
    for row, alone in zip((row for row in every if row[ours]), own, strict=True):
        assert row.items() <= alone.items()
    assert "182 other published cells are no part of this study" in report


def test_a_study_that_repeats_no_published_cell_says_so(tmp_path):
    study = StudyDescription.model_validate(description(protocol="sound", scaling="calibration"))
    published = read_published(ROOT / "config" / "published.csv")
    files = summarize(
        study, write(tmp_path, [constant_scores(WESAD)]), tmp_path / "results", published=published
    ).files
    assert "No cell of this study repeats a published cell" in files[-1].read_text()
    assert "The published cells of this study" not in files[-1].read_text()


def test_planned_hours_are_summed_and_a_guess_is_called_one(tmp_path):
    stages = [
        {"stage": "train", "runs": 1500, "jobs": 10, "cpu_hours": 20, "gpu_jobs": 10, "gpu_hours": 1},
        {"stage": "summary", "runs": 0, "jobs": 1, "cpu_hours": 0.5},
    ]
    keys = {"stages": stages, "gpu_speedup": 20}
    study = StudyDescription.model_validate(description(**keys))
    page = summarize(study, write(tmp_path, [constant_scores(WESAD)]), tmp_path / "results").files[-1]
    (total,) = re.findall(r'<tr class="all">(.*)</tr>', page.read_text())
    assert re.findall(r"<td>(.*?)</td>", total) == ["all", "1,500", "11", "20.5", "10", "1.0"]
    assert re.search(r"guess that a GPU trains\s+20 times faster", page.read_text())


def test_caveats_that_do_not_apply_are_left_out(done):
    page = done.files[-1].read_text()
    assert "calibration seconds" not in page
    assert "majority rule is not part" not in page


def test_the_terminal_table_fits_100_columns_and_shows_the_published_value(done):
    lines = printed(done.main, done.files).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert any("cnn" in line and "0.881" in line for line in lines)
    assert any("generator saw the test subject" in line for line in lines)
    assert lines[-1].endswith("report.html")


def test_a_terminal_table_with_every_axis_still_fits(tmp_path):
    wrong = {name: 2 + i % 5 for i, name in enumerate(WESAD)}
    synthetic = {"evaluation": "tstr", "generator": "a_long_generator", "detector": "a_long_detector"}
    levels = [(1, 0.5, 15, 2.0), ("inf", "inf", 100, 0.0)]
    keys = ("epsilon_generator", "epsilon_detector", "subjects", "noise")
    files = write(
        tmp_path, [scores(wrong, **synthetic, **dict(zip(keys, row, strict=True))) for row in levels]
    )
    models = [write_generator(tmp_path, generator="a_long_generator", epsilon_generator=1)]
    described = description(models=models)
    described["generators"]["a_long_generator"] = described_kind("generators", "cgan")
    described["detectors"]["a_long_detector"] = described_kind("detectors", "cnn")
    study = StudyDescription.model_validate(described)
    text = printed(summarize(study, files, tmp_path / "results").main)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "0.800 [" in text
    assert "…" not in text


def test_exactly_its_files_are_written_and_the_same_bytes_twice(done, tmp_path):
    study = StudyDescription.model_validate(description(cohorts=cohort()))
    paths = write(tmp_path / "scores", list(records()))
    published = read_published(ROOT / "config" / "published.csv")
    again = summarize(study, paths[::-1], tmp_path / "results", published=published).files
    written = [path for path in (tmp_path / "results").rglob("*") if path.is_file()]
    compared = ("reproduction.csv", "reproduction.html")
    pages = [compared[1], "files.html", "report.html"]
    assert [path.name for path in again] == [*TABLES, compared[0], *FIGURES, *pages]
    assert sorted(written) == sorted(again)
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(again, done.files, strict=True))


def test_the_caption_of_the_latex_table_explains_the_marks_that_the_table_has(tmp_path):
    keys = {"table_columns": ["detector", "accuracy", "accuracy_minus_majority"]}
    for wrong, marked in (
        ({"S2": 0, "S3": 12, "S4": 6}, True),
        ({name: i % 2 for i, name in enumerate(WESAD)}, False),
    ):
        folder = tmp_path / str(marked)
        files = write(folder, [scores(wrong), constant_scores(list(wrong))])
        summarize(StudyDescription.model_validate(description(**keys)), files, folder / "results")
        head, body = (folder / "results/tables/main.tex").read_text().split(r"\toprule")
        assert (r"$^\dagger$ not shown to be better" in head) == (r"$^\dagger$" in body) == marked


def test_a_note_stands_above_every_table(tmp_path):
    files = write(tmp_path / "scores", list(records()))
    study = StudyDescription.model_validate(description(note="Not a result: 3 < 10 passes."))
    published = read_published(ROOT / "config" / "published.csv")
    found = summarize(study, files, tmp_path / "results", published=published)
    assert "Not a result: 3 $<$ 10 passes." in (tmp_path / "results/tables/main.tex").read_text()
    for page in ("tables/main.html", "report.html", "reproduction.html"):
        assert "Not a result: 3 &lt; 10 passes." in (tmp_path / "results" / page).read_text()
    assert printed(found.main, found.files, found.note).startswith("Not a result: 3 < 10 passes.")


def test_an_axis_and_a_budget_add_their_figures(tmp_path):
    files = write(tmp_path, list(records(axes=True)))
    models = [write_generator(tmp_path, epsilon_generator=epsilon) for epsilon in (10, 1)]
    study = StudyDescription.model_validate(description(models=models))
    names = [path.name for path in summarize(study, files, tmp_path / "results").files]
    added = [
        f"{name}{end}.{kind}"
        for name in ("axes_tstr", "privacy")
        for end in ("", "-column")
        for kind in FORMATS
    ]
    assert names == [*TABLES, *FIGURES, *added, "files.html", "report.html"]


def test_other_processes_write_the_same_bytes_and_tell_the_same_faults(tmp_path):
    files = write(tmp_path, list(records()))
    study = StudyDescription.model_validate(description())
    with spread_over(2) as spread:
        for folder, each in (("one", map), ("two", spread)):
            summarize(study, files, tmp_path / folder, spread=each)
        written = sorted(path for path in (tmp_path / "one").rglob("*") if path.is_file())
        assert len(written) > 20
        for path in written:
            assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()
        files[0].write_bytes(files[0].read_bytes()[:500])
        with pytest.raises(InputError, match=f"{files[0].name}: not a readable HDF5 file"):
            summarize(study, files, tmp_path / "three", spread=spread)


def test_a_number_of_processes_below_one_is_refused():
    with pytest.raises(InputError, match="--processes: expected a number above 0, found 0"), spread_over(0):
        pass


def test_what_a_budget_changes_beside_noise_stands_beside_the_rows_that_have_one(done, tmp_path):
    heading = "What a budget changes beside clipping and noise"
    assert heading not in done.files[-1].read_text()
    files = write(tmp_path, list(records(axes=True)))
    models = [write_generator(tmp_path, epsilon_generator=epsilon) for epsilon in (10, 1)]
    study = StudyDescription.model_validate(description(models=models))
    page = summarize(study, files, tmp_path / "results").files[-1].read_text()
    (listed,) = re.findall(rf"{heading}.*?<ul>(.*?)</ul>", page, re.DOTALL)
    (cgan,) = re.findall("<li>(.*?)</li>", listed)
    assert cgan.startswith("cGAN: ")
    for difference in registry.load("generators", "cgan").private_differences:
        assert difference in cgan


@pytest.mark.parametrize("group", ["generators", "detectors"])
def test_kinds_with_a_private_program_and_no_others_say_what_it_changes(group):
    kinds = [registry.load(group, name) for name in registry.names(group)]
    assert any(kind.programs for kind in kinds)
    assert all(bool(kind.programs) == bool(kind.private_differences) for kind in kinds)


def test_a_study_of_rules_alone_has_all_its_files(tmp_path):
    files = write(tmp_path, [constant_scores(WESAD)])
    study = StudyDescription.model_validate(description())
    assert all(path.stat().st_size for path in summarize(study, files, tmp_path / "results").files)


def test_a_missing_score_file_is_named(tmp_path):
    study = StudyDescription.model_validate(description())
    with pytest.raises(InputError, match=r"nowhere\.h5: no such file; run train_detectors"):
        summarize(study, [tmp_path / "nowhere.h5"], tmp_path)


def test_quality_is_shown_with_its_floor_and_its_figure(tmp_path):
    quality = [write_quality(tmp_path / "q.csv", [0.75, 0.5])]
    portraits = [write_portrait(tmp_path / f"{epsilon}.h5", epsilon) for epsilon in ("1", "inf", "8")]
    study = StudyDescription.model_validate(description(quality=quality, portraits=portraits))
    files = summarize(study, write(tmp_path, list(records())), tmp_path / "results").files
    page = files[-1].read_text()
    assert "<td>0.625 (0.725)</td>" in page
    assert "no budget of a private generator protects them" in page
    figures = [path.name for path in files if "quality_" in path.name]
    assert figures == [f"quality_wesad_cgan{end}.{kind}" for end in ("", "-column") for kind in FORMATS]
    windows = [path.name for path in files if path.name.startswith("windows_")]
    assert windows == [f"windows_wesad{end}.{kind}" for end in ("", "-column") for kind in FORMATS]
    assert "The real windows are recordings of people: no budget" in page
    assert page.count("data:image/svg+xml") == 2 + 2


def test_compare_sets_the_same_cells_side_by_side(done, tmp_path):
    here = tmp_path / "results" / "first" / "tables"
    there = tmp_path / "results" / "second" / "tables"
    for folder in (here, there):
        folder.mkdir(parents=True)
        table = pd.read_csv(done.files[0])
        if folder is there:
            table["accuracy"] += 0.01
            table = table[table["detector"] != "majority"]
        table.to_csv(folder / "main.csv", index=False)
    result = run("compare.py", "first", "second", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    rows = pd.read_csv(tmp_path / "results" / "compare" / "first-second.csv").set_index("detector")
    assert rows.loc["cnn", "accuracy_change"].tolist() == pytest.approx([0.01, 0.01])
    assert rows.loc[["majority"], "accuracy_second"].isna().all()
    assert "+0.010" in result.stdout


def test_compare_names_a_study_without_tables(tmp_path):
    result = run("compare.py", "first", "second", cwd=tmp_path)
    assert result.returncode == 2
    assert "error: results/first/tables/main.csv: no such file" in result.stderr
