import json
from dataclasses import replace

import numpy as np
import pytest

from pulseveil.core.errors import InputError
from pulseveil.core.randomness import root_stream
from pulseveil.privacy import ledger
from pulseveil.privacy.budget import Budget, Mechanism
from pulseveil.privacy.ledger import Entry, close
from pulseveil.privacy.noise import Noise, reproducible

KEYS = (
    "mechanism, unit, neighbours, sampler, n, q, room, expected_batch, clip_norm, noise_multiplier, "
    "steps_accounted, steps_noised, epsilon_pld, epsilon_rdp, epsilon_unamplified, delta, "
    "epsilon_replace_one, public_quantities, secret_noise, secret_masks, versions, inputs"
)
SECRET = Noise(bytes(32), secret=True)
POISSON = Mechanism("cnn", "window", 495, 64 / 495, 112, 160, 0.5, 4.34)
FULL = Mechanism("means", "subject", 14, 1, 14, 1, 1.5, 2.575)


def closed(mechanism=POISSON, noise=SECRET, steps_noised=None, delta=1e-3):
    steps = mechanism.steps if steps_noised is None else steps_noised
    return close(
        mechanism,
        steps_noised=steps,
        delta=delta,
        noise=noise,
        public_quantities=["share of stress windows"],
        program=1,
    )


def written(tmp_path, entries, change=lambda values: values):
    path = tmp_path / "ledger.json"
    ledger.write(path, entries)
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    return path


def test_an_entry_has_exactly_the_keys_of_the_contract_in_order(tmp_path):
    path = tmp_path / "ledger.json"
    ledger.write(path, [closed(), closed(FULL)])
    for value in json.loads(path.read_text()):
        assert ", ".join(value) == KEYS


def test_values_are_those_published_for_this_noise():
    entry = closed(replace(POISSON, capacity=495))
    assert entry.epsilon_pld == pytest.approx(0.999, rel=2e-3)
    assert entry.epsilon_unamplified == pytest.approx(12.58, rel=2e-3)
    assert entry.epsilon_pld < entry.epsilon_rdp < 1.2
    assert (entry.sampler, entry.neighbours, entry.expected_batch) == ("poisson", "zero-out", 64)
    one = closed(FULL)
    assert (one.epsilon_pld, one.epsilon_replace_one) == pytest.approx((1.0, 2.30), rel=3e-3)
    assert (one.q, one.sampler, one.expected_batch) == (1, "full batch", 14)
    assert one.epsilon_unamplified == pytest.approx(one.epsilon_pld)


def test_entries_come_back_from_files_and_texts(tmp_path):
    entries = (replace(closed(), inputs={"fold": "S2", "seed": 0}), closed(FULL))
    path = tmp_path / "ledger.json"
    ledger.write(path, entries)
    assert ledger.read(path) == entries
    assert ledger.from_json(ledger.to_json(entries[0])) == entries[0]
    assert [entry.as_mechanism() for entry in entries] == [POISSON, FULL]


def test_an_empty_ledger_is_a_ledger(tmp_path):
    ledger.write(tmp_path / "ledger.json", [])
    assert ledger.read(tmp_path / "ledger.json") == ()


@pytest.mark.parametrize("noised", [159, 161, 0])
def test_no_entry_where_a_step_was_not_noised(tmp_path, noised):
    with pytest.raises(ValueError, match=f"160 steps are accounted, but {noised} were noised"):
        closed(steps_noised=noised)
    with pytest.raises(ValueError, match=f"but {noised} were noised"):
        replace(closed(), steps_noised=noised)
    path = written(tmp_path, [closed()], lambda values: [values[0] | {"steps_noised": noised}])
    with pytest.raises(InputError, match=f"entry 1: mechanism cnn: .* but {noised} were noised"):
        ledger.read(path)


def test_counts_of_a_compiled_program_are_taken():
    assert closed(steps_noised=np.int32(160)) == closed()


@pytest.mark.parametrize(
    "changes", [{"q": 32 / 495}, {"n": 990}, {"sampler": "full batch"}, {"room": 495}, {"expected_batch": 63}]
)
def test_an_entry_whose_values_contradict_each_other_is_refused(tmp_path, changes):
    path = written(tmp_path, [closed()], lambda values: [values[0] | changes])
    with pytest.raises(InputError, match=r"n, q and room .* give"):
        ledger.read(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"q": 32 / 495, "expected_batch": 32.0},
        {"capacity": 72},
        {"noise_multiplier": 5.0},
        {"delta": 1e-2},
        {"steps_accounted": 200, "steps_noised": 200},
        {"epsilon_pld": 0.5},
        {"epsilon_rdp": 0.5},
        {"epsilon_replace_one": 1.0},
    ],
)
def test_epsilons_that_are_not_those_of_the_mechanism_are_found(changes):
    ledger.check_epsilons(closed())
    with pytest.raises(InputError, match="is stated as"):
        ledger.check_epsilons(replace(closed(), **changes))


def test_reproducible_noise_is_never_private():
    entry = closed(noise=reproducible(root_stream(1)))
    assert (entry.secret_noise, entry.secret_masks, entry.is_private) == (False, False, False)
    assert closed().is_private
    for key in ("secret_noise", "secret_masks"):
        assert not replace(closed(), **{key: False}).is_private


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: {"entries": values}, "expected a JSON list"),
        (lambda values: [*values, 3], "entry 2: expected a JSON object, found int"),
        (lambda values: [values[0] | {"sigma": 1}], r"unknown keys \['sigma'\]"),
        (lambda values: [{k: v for k, v in values[0].items() if k != "room"}], r"missing keys \['room'\]"),
        (lambda values: [values[0] | {"q": 2}], "entry 1: mechanism cnn: q 2.0 is out of range"),
        (lambda values: [values[0] | {"n": "many"}], "entry 1"),
        (lambda values: [values[0] | {"public_quantities": None}], "entry 1"),
    ],
)
def test_a_damaged_ledger_is_refused_with_its_place(tmp_path, change, message):
    path = written(tmp_path, [closed()], change)
    with pytest.raises(InputError, match=message) as error:
        ledger.read(path)
    assert str(path) in str(error.value)


def test_a_file_that_is_not_json_or_not_there_is_refused(tmp_path):
    path = tmp_path / "ledger.json"
    for _ in range(2):
        with pytest.raises(InputError, match=r"ledger\.json: .*; expected a ledger"):
            ledger.read(path)
        path.write_text("[{")
    with pytest.raises(InputError, match="scores: not JSON"):
        ledger.from_json("{", "scores")


def test_a_failed_write_leaves_the_old_ledger(tmp_path):
    path = tmp_path / "ledger.json"
    ledger.write(path, [closed()])
    with pytest.raises(TypeError):
        ledger.write(path, [replace(closed(), inputs={"key": bytes(32)})])
    assert ledger.read(path) == (closed(),)
    assert [file.name for file in tmp_path.iterdir()] == ["ledger.json"]


def test_the_noise_of_a_calibrated_budget_settles_at_that_budget():
    from pulseveil.privacy.accounting import calibrate

    budget = Budget(8.0, 1e-5, "subject")
    found = calibrate(budget, name="logistic", n=14, q=1, capacity=14, steps=20, clip_norm=0.25)
    assert closed(found, delta=1e-5).epsilon_pld == pytest.approx(8.0, rel=1e-6)


def test_versions_name_what_took_part():
    versions = closed().versions
    assert {"pulseveil", "dp-accounting", "numpy"} <= set(versions)
    assert versions["numpy"] == np.__version__


def test_entries_are_values():
    assert closed() == closed()
    assert isinstance(closed(), Entry)
    with pytest.raises(AttributeError):
        closed().epsilon_pld = 0.1


def test_a_ledger_of_a_time_without_programs_is_refused():
    """Dropout voided the amplification of that time, and digits told its noise from the data."""
    values = json.loads(ledger.to_json(closed()))
    assert values["versions"].pop("program") == "1"
    with pytest.raises(InputError, match="train the model again"):
        ledger.from_json(json.dumps(values))


def test_the_text_of_a_mechanism_in_fingerprints_stays():
    """A stored private training goes on only under an equal fingerprint, which hashes this text."""
    text = "name='means', unit='subject', n=14, q=1, room=14, steps=1, clip_norm=1.5, noise_multiplier=2.575"
    assert repr(FULL) == f"Mechanism({text})"
