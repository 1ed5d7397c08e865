import hashlib
import json
import subprocess
import sys
from datetime import UTC, datetime

import numpy
import pytest
import sklearn
from hypothesis import given
from hypothesis import strategies as st

from pulseveil.core.identity import canonical_json, cell_hash, describe_run, file_hash

leaves = st.one_of(st.none(), st.booleans(), st.text(max_size=5), st.integers(-99, 99), st.floats(-9, 9))
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(st.dictionaries(st.text(max_size=4), trees, max_size=4))
def test_the_order_of_keys_does_not_matter(settings):
    turned = dict(reversed(settings.items()))
    assert cell_hash(settings) == cell_hash(turned)


@given(trees, trees)
def test_other_content_has_another_text(a, b):
    assert (canonical_json(a) == canonical_json(b)) == (normal(a) == normal(b))


def normal(value):
    """Equality of settings: numbers by value, and never equal to truth values or text."""
    if isinstance(value, dict):
        return ("mapping", {k: normal(v) for k, v in value.items()})
    if isinstance(value, list):
        return ("list", [normal(v) for v in value])
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return (type(value).__name__, value)
    return ("number", float(value))


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ({"x": 1}, {"x": 1.0}, True),
        ({"x": (1, 2)}, {"x": [1, 2]}, True),
        ({"x": 1}, {"x": "1"}, False),
        ({"x": 1}, {"x": True}, False),
        ({"x": float("inf")}, {"x": "inf"}, False),
        ({"x": None}, {}, False),
        ({"x": [1, 2]}, {"x": [2, 1]}, False),
    ],
)
def test_what_counts_as_equal_settings(a, b, same):
    assert (cell_hash(a) == cell_hash(b)) == same


def test_the_hash_is_the_same_in_another_process():
    settings = {"epsilon": float("inf"), "names": ["a", "b"], "seed": 3}
    other_way = "{'seed': 3.0, 'names': ('a', 'b'), 'epsilon': float('inf')}"
    code = f"from pulseveil.core.identity import *; print(cell_hash({other_way}))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == cell_hash(settings)
    assert len(cell_hash(settings)) == 64


def test_a_number_that_is_none_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        cell_hash({"x": float("nan")})


def test_a_file_is_known_by_its_bytes_alone(tmp_path):
    content = bytes(range(256)) * 5000
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "b").write_bytes(content)
    assert file_hash(tmp_path / "a") == file_hash(tmp_path / "b") == hashlib.sha256(content).hexdigest()


def test_the_sidecar_tells_study_times_and_versions():
    started = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)
    run = json.loads(json.dumps(describe_run("demo", started)))
    assert run["study"] == "demo"
    assert run["started"] == "2024-05-01T12:00:00+00:00"
    assert datetime.fromisoformat(run["finished"]) > started
    assert {"pulseveil", "numpy"} <= run["packages"].keys()
    assert run["python"].startswith("3.")


def test_the_sidecar_tells_only_software_that_the_process_has_loaded():
    program = (
        "import json, datetime as d; from pulseveil.core.identity import describe_run, installed; {load}; "
        "run = describe_run('demo', d.datetime.now(d.UTC))['packages']; "
        "print(json.dumps([run, 'scikit-learn' in installed()]))"
    )
    loaded = {}
    for load in ("import numpy", "import sklearn"):
        done = subprocess.run(
            [sys.executable, "-c", program.format(load=load)], capture_output=True, text=True, check=True
        )
        loaded[load], is_installed = json.loads(done.stdout)
        assert is_installed
    assert loaded["import numpy"].pop("pulseveil")
    assert loaded["import numpy"] == {"numpy": numpy.__version__}
    assert loaded["import sklearn"]["scikit-learn"] == sklearn.__version__
    assert "tensorflow" not in loaded["import sklearn"]
