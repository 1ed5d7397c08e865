"""Every reader of a file from elsewhere meets the same twelve hostile inputs: one clear line each, and soon.

Bounds: 4 GiB of address space, 20 s an input, and 1 GiB of memory above that of the reader itself.
"""

from pathlib import Path

import pytest

from tests.unit import hostile_files

MOST_KIB = 1 << 20


@pytest.fixture(scope="module", params=hostile_files.READERS)
def outcomes(request, tmp_path_factory):
    """What came of each hostile input of one reader, all read by a process of little memory."""
    folder = tmp_path_factory.mktemp(request.param)
    paths = {}
    for hostile in hostile_files.HOSTILE:
        path = hostile_files.good(request.param, folder / hostile)
        hostile_files.spoil(hostile, request.param, path)
        paths[hostile] = str(path)
    asked = {"reader": request.param, "paths": paths}
    asked["good"] = str(hostile_files.good(request.param, folder / "good"))
    answer = hostile_files.read_apart(asked)
    return request.param, paths, answer


@pytest.mark.parametrize("hostile", hostile_files.HOSTILE)
def test_a_hostile_input_ends_in_clear_lines(outcomes, hostile):
    reader, paths, told = outcomes
    found = told["found"][hostile]
    assert found["error"] == "InputError", found
    message = found["message"]
    # A line per fault.
    assert all(line.isprintable() for line in message.split("\n"))
    assert len(message) < 12_000
    # The line names the file, or the folder or archive that holds it.
    path = Path(paths[hostile])
    named = (path, path.parent, path.parent.parent) if reader in ("signal", "archive") else (path,)
    assert any(str(name) in message for name in named), message


def test_memory_stays_bounded(outcomes):
    _, _, told = outcomes
    assert told["grown_kib"] < MOST_KIB


def test_no_hostile_input_ran(outcomes):
    assert not Path("/tmp/trapped").exists()
