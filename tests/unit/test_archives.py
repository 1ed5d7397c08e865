"""Archives of studies that are damaged, of another study or hostile are refused, and write nothing."""

import io
import tarfile

import pytest

from pulseveil.core import limits
from pulseveil.core.errors import InputError
from pulseveil.runs import archive
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study
from tests.workflow.conftest import LIGHT

PLACE = "results/light/scores/a.h5"


@pytest.fixture
def plan():
    return make_plan(check_study(LIGHT, "light"))


def written(folder, *members):
    path = folder / "NOT-PRIVATE_light.tar.xz"
    with tarfile.open(path, "w:xz") as opened:
        for member in members:
            content = b"x" * member.size if member.isreg() else b""
            opened.addfile(member, io.BytesIO(content))
    return path


def member(name, size=3, kind=tarfile.REGTYPE, target=""):
    found = tarfile.TarInfo(name)
    found.size, found.type, found.linkname = (size if kind == tarfile.REGTYPE else 0), kind, target
    return found


def test_a_file_that_is_there_stays(plan, tmp_path):
    path = written(tmp_path, member(PLACE), member("benchmarks/light/b.tsv"))
    (tmp_path / PLACE).parent.mkdir(parents=True)
    (tmp_path / PLACE).write_bytes(b"own")
    assert archive.restore(plan, path, tmp_path) == (1, 1)
    assert (tmp_path / PLACE).read_bytes() == b"own"
    assert (tmp_path / "benchmarks/light/b.tsv").read_bytes() == b"xxx"


@pytest.mark.parametrize(
    "bad",
    [
        member("results/other/scores/a.h5"),
        member("results/light/../../../outside.h5"),
        member("/etc/outside.h5"),
        member("results/light/../outside.h5"),
        member("results/light/run.sh"),
        member("results/light/a.h5", kind=tarfile.SYMTYPE, target="/etc/passwd"),
        member("results/light/a.h5", kind=tarfile.LNKTYPE, target="/etc/passwd"),
        member("results/light/a.h5", kind=tarfile.FIFOTYPE),
        member("results/light/a.h5", kind=tarfile.DIRTYPE),
    ],
    ids=lambda found: f"{found.name}-{found.type.decode()}",
)
def test_other_members_are_refused(plan, tmp_path, bad):
    path = written(tmp_path, member(PLACE), bad)
    with pytest.raises(InputError, match="expected an archive of study light"):
        archive.restore(plan, path, tmp_path / "out")
    assert not list(tmp_path.rglob("outside*"))
    assert not (tmp_path / "out").exists()


def test_too_many_files_or_bytes_are_refused(plan, tmp_path, monkeypatch):
    path = written(tmp_path, *(member(f"results/light/{i}.h5") for i in range(3)))
    monkeypatch.setattr(limits, "STUDY_ARCHIVE_FILES", 2)
    with pytest.raises(InputError, match="more files or bytes"):
        archive.restore(plan, path, tmp_path / "out")
    monkeypatch.setattr(limits, "STUDY_ARCHIVE_FILES", 9)
    monkeypatch.setattr(limits, "ARRAYS_BYTES", 8)
    with pytest.raises(InputError, match="more files or bytes"):
        archive.restore(plan, path, tmp_path / "out")


@pytest.mark.parametrize("cut", [0, 10, 60, -60])
def test_a_cut_or_foreign_file_is_refused(plan, tmp_path, cut):
    path = written(tmp_path, member(PLACE, size=4000))
    path.write_bytes(path.read_bytes()[:cut] if cut else b"no archive")
    with pytest.raises(InputError, match="cannot be read"):
        archive.restore(plan, path, tmp_path / "out")


def test_a_study_without_runs_has_no_archive(plan, tmp_path):
    with pytest.raises(InputError, match="no finished run"):
        archive.write(plan, tmp_path, tmp_path / "NOT-PRIVATE_light.tar.xz")
    assert not list(tmp_path.glob("*.xz"))
