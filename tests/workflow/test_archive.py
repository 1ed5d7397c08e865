"""An archive of a study resumes elsewhere without a training, and gives the same tables by itself."""

import subprocess
import sys
import tarfile

import pandas as pd
import pytest
import yaml

from tests.workflow.conftest import LIGHT, ROOT, Runner

pytestmark = pytest.mark.workflow


def script(name, *arguments, check=True):
    command = [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not check or result.returncode == 0, result.stderr
    return result


@pytest.fixture(scope="module")
def archived(finished_light, tmp_path_factory):
    """The study file and the archive of the finished light study."""
    folder = tmp_path_factory.mktemp("archive")
    study, archive = folder / "light.yaml", folder / "NOT-PRIVATE_light.tar.xz"
    study.write_text(yaml.safe_dump(LIGHT))
    told = script("archive", study, archive, "--not-private", "--results", finished_light.directory).stdout
    assert "6 of 6 score files" in told
    return study, archive


def test_an_archive_holds_no_windows_and_needs_a_confirmation(archived, finished_light, tmp_path):
    study, archive = archived
    with tarfile.open(archive) as opened:
        members = opened.getmembers()
    names = [member.name for member in members]
    for part in ("windows", "features", "synthetic"):
        assert not [name for name in names if f"/{part}/" in name and name.endswith(".h5")]
    assert not [name for name in names if "portrait" in name or "/keys/" in name or "checkpoint" in name]
    assert {(member.mtime, member.uid, member.uname) for member in members} == {(0, 0, "")}
    refused = script("archive", study, archive, "--results", finished_light.directory, check=False)
    assert refused.returncode == 2
    assert "no guarantee covers it" in refused.stderr
    unmarked = script("archive", study, tmp_path / "light.tar.xz", "--not-private", check=False)
    assert unmarked.returncode == 2
    assert "NOT-PRIVATE_NAME.tar.xz" in unmarked.stderr


def test_the_same_study_gives_the_same_archive(archived, finished_light, tmp_path):
    study, archive = archived
    again = tmp_path / archive.name
    script("archive", study, again, "--not-private", "--results", finished_light.directory)
    assert again.read_bytes() == archive.read_bytes()


def test_a_restored_study_trains_nothing_and_ends_with_the_same_tables(archived, finished_light, tmp_path):
    runner = Runner(tmp_path)
    told = script("restore", *archived, "--results", tmp_path).stdout
    assert ", 0 were there" in told
    assert "0 files restored" in script("restore", *archived, "--results", tmp_path).stdout
    before = runner.trained()
    runner.snakemake(study=LIGHT)
    assert runner.trained() == before
    for name in ("main.csv", "per_subject.csv", "quality.csv"):
        table = runner.result(f"tables/{name}").read_bytes()
        assert table == finished_light.result(f"tables/{name}").read_bytes(), name


def test_an_archive_alone_gives_the_tables(archived, finished_light, tmp_path):
    study, archive = archived
    script("summarize", "--configfile", study, "--archive", archive, "--results", tmp_path)
    for path in sorted(finished_light.result("tables").glob("*.csv")):
        assert (tmp_path / "results/light/tables" / path.name).read_bytes() == path.read_bytes(), path.name
    assert not list((tmp_path / "results/light").rglob("windows_*"))


def test_finished_cells_have_their_rows_before_the_study_ends(archived, finished_light, tmp_path):
    study, _ = archived
    script("restore", *archived, "--results", tmp_path)
    place = tmp_path / "results/light"
    arguments = ("--configfile", study, "--results", tmp_path, "--finished")
    removed = list(place.glob("scores/tstr/moments/**/*.h5"))
    for path in removed:
        path.unlink()
    for path in place.glob("quality/**/*"):
        if path.is_file():
            path.unlink()
    script("summarize", *arguments)
    whole = pd.read_csv(finished_light.result("tables/main.csv"))
    part = pd.read_csv(place / "tables/main.csv")
    kept = ~((whole["evaluation"] == "tstr") & (whole["generator"] == "moments"))
    assert 0 < kept.sum() < len(whole)
    pd.testing.assert_frame_equal(part, whole[kept].reset_index(drop=True)[part.columns], check_dtype=False)
    note = f"Not finished: {6 - len(removed)} of 6 score files exist"
    assert note in (place / "report.html").read_text()
    assert note in (place / "reproduction.html").read_text()
    for path in place.glob("scores/**/*.h5"):
        path.unlink()
    refused = script("summarize", *arguments, check=False)
    assert refused.returncode == 2
    assert "no score file; run the study first" in refused.stderr
