import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pulseveil.core.randomness import child, generator, integer_seed, root_stream, stateless_seed

names = st.lists(st.one_of(st.text(max_size=6), st.integers(-9, 9), st.floats(-2, 2)), min_size=1, max_size=4)


def key(stream) -> tuple:
    return (stream.entropy, stream.spawn_key)


def draws(stream, n=4) -> list[float]:
    return generator(stream).random(n).tolist()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**63), names)
def test_the_same_path_gives_the_same_stream(seed, path):
    stepwise = root_stream(seed)
    for name in path:
        stepwise = child(stepwise, name)
    assert draws(stepwise) == draws(child(root_stream(seed), *path))


def test_order_of_creation_and_use_does_not_matter():
    root = root_stream(3)
    first = draws(child(root, "generator", 0))
    child(root, "other")
    generator(child(root, "detector")).random(1000)
    root.spawn(2)
    assert draws(child(root, "generator", 0)) == first


def test_streams_are_equal_in_another_process():
    draw = "generator(child(root_stream(1), 'a', 0.1)).random(4).tolist()"
    code = f"from pulseveil.core.randomness import *; print({draw})"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == str(draws(child(root_stream(1), "a", 0.1)))


def test_one_spelling_a_number():
    root = root_stream(0)
    assert key(child(root, 1)) == key(child(root, 1.0)) == key(child(root, "1"))
    assert key(child(root, float("inf"))) == key(child(root, "inf"))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (("ab", "c"), ("a", "bc")),
        (("a",), ("a", "")),
        (("a", "b"), ("b", "a")),
        (("12",), ("1", "2")),
        ((0,), ()),
    ],
)
def test_paths_that_look_alike_do_not_collide(left, right):
    assert draws(child(root_stream(0), *left)) != draws(child(root_stream(0), *right))


def test_a_whole_study_has_no_collision():
    root = root_stream(2024)
    streams = [
        child(root, purpose, fold, seed, epsilon)
        for purpose in ("generator", "detector", "noise")
        for fold in range(15)
        for seed in range(20)
        for epsilon in ("inf", 10, 1, 0.1)
    ]
    assert len({key(s) for s in streams}) == len(streams) == 3600
    assert len({tuple(stateless_seed(s).tolist()) for s in streams}) == 3600


def test_other_roots_give_other_streams():
    found = {tuple(draws(child(root_stream(seed), "a"))) for seed in range(200)}
    assert len(found) == 200


def test_siblings_are_independent():
    """Draw k of 400 siblings is uniform, and neighbouring siblings are uncorrelated; errors 1e-4 each."""
    table = np.array([draws(child(root_stream(5), "fold", i), 50) for i in range(400)])
    assert stats.kstest(table.ravel(), "uniform").pvalue > 1e-4
    assert stats.kstest(table[:, 0], "uniform").pvalue > 1e-4
    correlations = [stats.pearsonr(a, b).pvalue for a, b in pairwise(table)]
    assert stats.kstest(correlations, "uniform").pvalue > 1e-4


def test_parent_and_child_are_independent():
    parents = [child(root_stream(5), i) for i in range(400)]
    both = np.array([(draws(p, 1)[0], draws(child(p, "x"), 1)[0]) for p in parents])
    assert stats.pearsonr(both[:, 0], both[:, 1]).pvalue > 1e-4


def test_seeds_for_libraries_fit_their_types():
    streams = [child(root_stream(1), i) for i in range(300)]
    seeds = np.array([stateless_seed(s) for s in streams])
    assert seeds.shape == (300, 2)
    assert seeds.dtype == np.int32
    assert (seeds < 0).any()
    assert (seeds > 0).any()
    integers = [integer_seed(s) for s in streams]
    assert all(0 <= i < 2**32 for i in integers)
    assert len(set(integers)) == 300
