import json
import logging
import os
import pickle
import stat
from copy import deepcopy
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pulseveil.core.errors import InputError
from pulseveil.core.randomness import child, root_stream
from pulseveil.privacy.budget import Budget
from pulseveil.privacy.noise import (
    Noise,
    destroy,
    encode_path,
    fresh,
    hkdf_expand,
    hkdf_extract,
    reproducible,
    resume,
)

KEY = bytes(range(32))
NOISE = Noise(KEY, secret=True)
parts = st.lists(st.one_of(st.text(max_size=5), st.integers(-300, 300)), max_size=4)


@pytest.mark.parametrize(
    ("key", "salt", "info", "root", "output"),
    [
        (
            "0b" * 22,
            bytes(range(0x0D)).hex(),
            bytes(range(0xF0, 0xFA)).hex(),
            "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            bytes(range(0x50)).hex(),
            bytes(range(0x60, 0xB0)).hex(),
            bytes(range(0xB0, 0x100)).hex(),
            "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
            "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
        ),
        (
            "0b" * 22,
            "",
            "",
            "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ],
)
def test_key_derivation_gives_the_vectors_of_rfc_5869(key, salt, info, root, output):
    found = hkdf_extract(bytes.fromhex(salt), bytes.fromhex(key))
    assert found.hex() == root
    assert hkdf_expand(found, bytes.fromhex(info), len(output) // 2).hex() == output


def test_key_derivation_refuses_more_than_255_blocks():
    with pytest.raises(ValueError, match="8160"):
        hkdf_expand(bytes(32), b"", 8161)


@settings(max_examples=200, deadline=None)
@given(parts, parts)
def test_no_two_paths_look_alike(left, right):
    assert (encode_path(*left) == encode_path(*right)) == (left == right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (("ab", "c"), ("a", "bc")),
        (("a", "b"), ("asb",)),
        (("1",), (1,)),
        (("a",), ("a", "")),
        ((1, 2), (12,)),
        ((), ("",)),
    ],
)
def test_neighbouring_paths_have_other_draws(left, right):
    assert NOISE.generator(*left).random() != NOISE.generator(*right).random()
    assert (NOISE.seeds(*left, shape=(2,)) != NOISE.seeds(*right, shape=(2,))).all()


def test_the_same_key_and_path_replay_the_same_draws():
    again = Noise(KEY, secret=True)
    assert again.generator("a", 3).normal() == NOISE.generator("a", 3).normal()
    np.testing.assert_array_equal(again.seeds("a", shape=(5, 2)), NOISE.seeds("a", shape=(5, 2)))
    assert Noise(bytes(32), secret=True).generator("a", 3).normal() != NOISE.generator("a", 3).normal()


def test_generators_of_steps_and_tensors_are_independent_normals():
    """Normality of all draws and correlation of neighbouring paths: errors 1e-4 each."""
    paths = [("sgd", step, tensor, "noise") for step in range(100) for tensor in range(4)]
    table = np.array([NOISE.generator(*path).normal(size=50) for path in paths])
    assert stats.kstest(table.ravel(), "norm").pvalue > 1e-4
    assert stats.kstest(table[:, 0], "norm").pvalue > 1e-4
    correlations = [stats.pearsonr(a, b).pvalue for a, b in pairwise(table)]
    assert stats.kstest(correlations, "uniform").pvalue > 1e-4


def test_seeds_of_many_steps_are_uniform_and_never_repeat():
    seeds = NOISE.seeds("sgd", "noise", shape=(20_000, 3))
    assert seeds.shape == (20_000, 3, 2)
    assert seeds.dtype == np.int32
    words = seeds.reshape(-1, 2).astype(np.int64)
    assert len(np.unique(words, axis=0)) == 60_000
    assert stats.kstest((words.ravel() + 2.0**31) / 2.0**32, "uniform").pvalue > 1e-4


@pytest.mark.parametrize("steps", [1, 1019, 1020, 1021, 5000])
def test_a_resumed_training_has_the_seeds_of_the_whole(steps):
    whole = NOISE.seeds("sgd", shape=(6000,))
    np.testing.assert_array_equal(NOISE.seeds("sgd", shape=(steps,)), whole[:steps])


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_fresh_key_is_for_its_owner_alone(tmp_path):
    path = tmp_path / "runs" / "keys" / "a.key"
    before = os.umask(0)
    try:
        noise = fresh(path)
    finally:
        os.umask(before)
    assert noise.secret
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    assert path.stat().st_size == 32
    assert [file.name for file in path.parent.iterdir()] == ["a.key"]


def test_an_open_folder_of_keys_is_closed(tmp_path):
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o755)
    fresh(folder / "a.key")
    assert mode(folder) == 0o700


def test_fresh_keys_differ_and_never_overwrite_a_used_one(tmp_path):
    draws = {fresh(tmp_path / "keys" / f"{i}.key").generator("a").random() for i in range(20)}
    assert len(draws) == 20
    with pytest.raises(FileExistsError):
        fresh(tmp_path / "keys" / "0.key")


def test_resume_replays_the_key_of_the_file(tmp_path):
    path = tmp_path / "keys" / "a.key"
    noise = fresh(path)
    assert resume(path).secret
    assert resume(path).generator("a", 1).random() == noise.generator("a", 1).random()


@pytest.mark.parametrize("permissions", [0o640, 0o604, 0o660, 0o610])
def test_a_key_that_others_can_reach_is_refused(tmp_path, permissions):
    path = tmp_path / "keys" / "a.key"
    fresh(path)
    path.chmod(permissions)
    with pytest.raises(InputError, match=r"a\.key: a key that other users can reach"):
        resume(path)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_of_another_length_is_refused(tmp_path, size):
    path = tmp_path / "keys" / "a.key"
    fresh(path)
    path.write_bytes(bytes(size))
    with pytest.raises(InputError, match=f"32 bytes, found {size}"):
        resume(path)


def test_an_overwritten_key_is_refused(tmp_path):
    """As it is left where a process is killed between the two parts of its destruction: all would know it."""
    path = tmp_path / "keys" / "a.key"
    fresh(path)
    path.write_bytes(bytes(32))
    with pytest.raises(InputError, match="overwritten"):
        resume(path)


def test_a_missing_or_linked_key_is_refused(tmp_path):
    fresh(tmp_path / "keys" / "a.key")
    (tmp_path / "link.key").symlink_to(tmp_path / "keys" / "a.key")
    for path in (tmp_path / "none.key", tmp_path / "link.key"):
        with pytest.raises(InputError, match="expected the key of an unfinished training"):
            resume(path)


def test_destroy_overwrites_and_removes(tmp_path):
    path, other_name = tmp_path / "keys" / "a.key", tmp_path / "again"
    fresh(path)
    os.link(path, other_name)
    destroy(path)
    assert not path.exists()
    assert other_name.read_bytes() == bytes(32)
    destroy(path)


def test_the_key_is_in_no_text_log_pickle_copy_or_json(tmp_path, caplog):
    path = tmp_path / "keys" / "a.key"
    noise = fresh(path)
    key = path.read_bytes()
    budget = Budget(1.0, 1e-5, "subject", noise=noise)
    with caplog.at_level(logging.DEBUG):
        logging.debug("%r %s %s", noise, noise, budget)
    for text in (repr(noise), repr(budget), caplog.text):
        assert "Noise(secret=True)" in text
        assert key.hex() not in text
        assert repr(key)[2:-1] not in text
    for leak in (pickle.dumps, deepcopy, json.dumps):
        with pytest.raises(TypeError):
            leak(noise)
    with pytest.raises(TypeError):
        asdict(budget)


def test_reproducible_noise_follows_the_seed_tree_and_says_so():
    first, again = (reproducible(child(root_stream(1), "noise")) for _ in range(2))
    assert not first.secret
    assert first.generator("a").random() == again.generator("a").random()
    assert first.generator("a").random() != reproducible(root_stream(1)).generator("a").random()


def test_keys_have_256_bits():
    with pytest.raises(ValueError, match="32 bytes, not 16"):
        Noise(bytes(16), secret=True)
