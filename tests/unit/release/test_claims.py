"""A claim needs a ledger that is whole, of this very training, secret, and within its budget."""

import json
import math
import shutil
from dataclasses import replace

import h5py
import numpy as np
import pytest

from pulseveil.core import paths, store
from pulseveil.core.errors import InputError
from pulseveil.generators.timegan import TimeGAN, TimeGANSettings
from pulseveil.privacy import ledger, releases
from pulseveil.privacy.models import Setting
from pulseveil.privacy.noise import Noise
from pulseveil.privacy.statement import statement
from pulseveil.release import claims
from pulseveil.release.claims import judge, trained_setting
from pulseveil.study.jobs import GeneratorJob, read_generators


def model_path(folder, study="small", epsilon="8"):
    words = {"study": study, "cohort": "people", "generator": "moments", "unit": "subject"}
    return folder / paths.fill(paths.MODELS, **words, epsilon_generator=epsilon, seed="0")


@pytest.fixture
def models(models_folder):
    return store.read_models(model_path(models_folder))


def with_entries(models, change, fold="S1"):
    """The models with `change` applied to the list of JSON values of one fold's ledger."""
    values = change([json.loads(text) for text in models.ledgers[fold]])
    entries = np.array([json.dumps(value) for value in values], dtype=np.str_)
    return replace(models, ledgers={**models.ledgers, fold: entries})


def with_job(models, **changed):
    description = {**models.description, "job": {**models.description["job"], **changed}}
    return replace(models, description=description)


def test_a_private_training_may_claim_its_budget_and_says_what_it_protects(models):
    claim = judge(models, ["S1"])
    assert claim.is_private
    assert claim.headline == "private: epsilon 8, delta 1e-05, for one whole person"
    # 2192 public seconds of a person, windows every 30 s.
    setting = Setting(window_s=60, strides_s=(30, 30), labelled_s=2192)
    assert claim.statement == statement([ledger.from_json(t) for t in models.ledgers["S1"]], setting)


def test_the_statement_knows_how_a_person_became_windows(models):
    setting = trained_setting(models)
    # 2192 s and windows of 60 s every 30 s: 74 windows of a person, 6 that any minute can change.
    assert (setting.person_windows(30), setting.piece_windows(30)) == (74, 6)
    assert (setting.reach_s, setting.scaling) == (30, "calibration")


@pytest.mark.parametrize("told", [{}, {"trained_reach_s": None}])
def test_a_file_that_tells_no_reach_bounds_no_minute(models, told):
    """Files of releases whose filters had no end, and those of windows resampled as a whole."""
    silent = {key: value for key, value in models.description.items() if key != "trained_reach_s"}
    changed = replace(models, description=silent | told)
    setting = trained_setting(changed)
    assert setting.piece_windows(30) == math.inf


def test_several_folds_compose_in_the_statement(models):
    three = replace(models, ledgers={fold: models.ledgers[fold] for fold in ("S1", "S2")})
    assert judge(three, ["S1", "S2"]).is_private
    assert (
        "All models of this ledger, each person in at most 2 of them" in judge(three, ["S1", "S2"]).statement
    )


@pytest.mark.parametrize(
    ("study", "epsilon", "reason"),
    [
        ("small", "inf", "it was trained without a privacy budget"),
        ("rehearsal", "8", "its noise is reproducible: whoever has the seeds can remove it"),
    ],
)
def test_without_budget_or_secret_there_is_no_claim(models_folder, study, epsilon, reason):
    claim = judge(store.read_models(model_path(models_folder, study, epsilon)), ["S1"])
    assert claim.reason == reason
    assert claim.headline == f"NOT PRIVATE: {reason}"
    assert claim.statement.startswith("NOT PRIVATE: ")


def less_noise(values):
    """An honest ledger of a training with half of the noise: its own epsilons are right, and larger."""
    entry = ledger.from_json(json.dumps(values[0]))
    mechanism = replace(entry.as_mechanism(), noise_multiplier=entry.noise_multiplier / 2)
    weaker = ledger.close(
        mechanism,
        steps_noised=entry.steps_noised,
        delta=entry.delta,
        noise=Secret,
        public_quantities=(),
        program=1,
    )
    return [json.loads(ledger.to_json(replace(weaker, inputs=entry.inputs)))]


class Secret:
    secret = True


FORGERIES = {
    "missing": (lambda v: [], "the ledger of fold S1 is missing"),
    "not an entry": (lambda v: [{"epsilon": 8}], "its ledger cannot be used"),
    "steps": (lambda v: [v[0] | {"steps_noised": 0}], "its ledger cannot be used"),
    "public noise": (lambda v: [v[0] | {"secret_noise": False}], "its noise is reproducible"),
    "public draws": (lambda v: [v[0] | {"secret_masks": False}], "its noise is reproducible"),
    "of another fold": (
        lambda v: [v[0] | {"inputs": v[0]["inputs"] | {"fold": "S2"}}],
        "its ledger is of another training: fold is not S1",
    ),
    "of other settings": (
        lambda v: [v[0] | {"inputs": v[0]["inputs"] | {"settings": "0" * 16}}],
        "its ledger is of another training: settings",
    ),
    "of two trainings": (
        lambda v: [v[0], v[0] | {"inputs": v[0]["inputs"] | {"release": "f" * 16}}],
        "its ledger mixes several trainings",
    ),
    "twice": (lambda v: [v[0], v[0]], "its ledger does not hold the mechanisms of its plan"),
    "less noise": (less_noise, "its ledger does not hold the mechanisms of its plan"),
    "other delta": (lambda v: [v[0] | {"delta": 1e-3}], "its ledger is not at delta 1e-05"),
    "smaller epsilon": (lambda v: [v[0] | {"epsilon_pld": 1.0}], "its ledger cannot be used"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_ledger_that_does_not_speak_for_the_model_is_refused(models, forgery):
    change, reason = FORGERIES[forgery]
    claim = judge(with_entries(models, change), ["S1"])
    assert not claim.is_private
    assert claim.reason.startswith(reason)
    # The other fold has its own, good ledger; both together are as bad as the worse.
    assert judge(models, ["S2"]).is_private
    assert judge(with_entries(models, change), ["S2", "S1"]).reason == claim.reason


def test_a_smaller_budget_than_the_ledger_spent_is_refused(models):
    assert not judge(with_job(models, epsilon_generator="1"), ["S1"]).is_private


def test_what_cannot_be_stated_is_not_claimed(models, monkeypatch):
    def fails(*_):
        raise ValueError("a must be greater than b")

    monkeypatch.setattr(claims, "statement", fails)
    claim = judge(models, ["S1"])
    assert claim.reason == "its ledger cannot be composed (a must be greater than b)"


def test_models_of_a_kind_that_is_not_installed_claim_nothing(models):
    assert "not installed" in judge(with_job(models, kind="elsewhere"), ["S1"]).reason


def test_two_mechanisms_of_one_training_are_claimed_together_and_not_one_alone(models):
    """A ledger with the plan's mechanisms speaks for the model; with one of them it does not."""
    kind = {"kind": "timegan", "settings": {"training": "each_class"}}
    told = with_job(models, **kind)
    job = GeneratorJob.model_validate(told.description["job"])
    fold = next(fold for fold in job.folds if fold.name == "S1")
    mechanisms = TimeGAN.mechanisms(TimeGANSettings(), job.budget(job.epsilon_generator, fold))

    def entries(kept):
        def change(values):
            inputs = values[0]["inputs"] | {"settings": releases.settings_hash(job.settings)}
            found = []
            for mechanism in mechanisms[:kept]:
                entry = ledger.close(
                    mechanism,
                    steps_noised=mechanism.steps,
                    delta=job.delta,
                    noise=Noise(bytes(32), secret=True),
                    public_quantities=(),
                    program=1,
                )
                found.append(json.loads(ledger.to_json(replace(entry, inputs=inputs))))
            return found

        return with_entries(told, change)

    claim = judge(entries(2), ["S1"])
    assert claim.is_private, claim.reason
    assert "embedder + discriminator" in claim.statement
    assert judge(entries(1), ["S1"]).reason == "its ledger does not hold the mechanisms of its plan"


def with_weights(models, change, fold="S1"):
    arrays = {name: value.copy() for name, value in models.arrays[fold].items()}
    change(arrays)
    return replace(models, arrays={**models.arrays, fold: arrays})


def with_one_bit_changed(arrays):
    arrays["mean"].view(np.uint8).flat[0] ^= 1


def exchanged(make):
    """The change of a model's arrays by those that `make` makes of them."""
    return lambda models: with_weights(models, lambda arrays: arrays.update(make(arrays)))


OTHER_WEIGHTS = {
    "one bit": lambda models: with_weights(models, with_one_bit_changed),
    "another shape": exchanged(lambda a: {"mean": a["mean"].reshape(-1)}),
    "another type": exchanged(lambda a: {"mean": a["mean"].astype(np.longdouble)}),
    "one more": exchanged(lambda a: {"more": a["mean"]}),
    "two swapped": exchanged(lambda a: {"mean": a["residual"], "residual": a["mean"]}),
    "another fold": lambda models: replace(models, arrays={**models.arrays, "S1": models.arrays["S2"]}),
    "none": lambda models: replace(models, arrays={"S2": models.arrays["S2"]}),
}


@pytest.mark.parametrize("change", OTHER_WEIGHTS.values(), ids=OTHER_WEIGHTS)
def test_a_ledger_speaks_for_its_own_weights_only(models, change):
    claim = judge(change(models), ["S1"])
    assert claim.headline == "NOT PRIVATE: the weights of fold S1 are not those of its ledger"
    assert judge(change(models), ["S2"]).is_private


def test_a_ledger_of_older_versions_names_no_weights_and_claims_nothing(models):
    def without(values):
        return [v | {"inputs": {k: x for k, x in v["inputs"].items() if k != "weights"}} for v in values]

    claim = judge(with_entries(models, without), ["S1"])
    assert claim.reason.startswith("the ledger of fold S1 names no weights")
    assert claim.reason.endswith("train it again")


def test_weights_come_back_from_their_file_with_the_same_hash(models, tmp_path):
    arrays = {
        "text": np.array(["a", "long one"], dtype="<U40"),
        "truth": np.array([True, False]),
        "single": np.float32(3),
        "none": np.zeros((0, 3)),
        "turned": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    }
    store.write_models(tmp_path / "m.h5", store.Models({"S1": arrays}, {}), cell_hash="x")
    read = store.read_models(tmp_path / "m.h5").arrays["S1"]
    assert releases.weights_hash(read) == releases.weights_hash(arrays)


def test_weights_that_lie_in_another_file_are_not_even_read(models_folder, tmp_path):
    """A file of anybody's, such as recordings, was once read as weights and offered under the ledger."""
    path = tmp_path / "models.h5"
    shutil.copy(model_path(models_folder), path)
    (tmp_path / "secret.bin").write_bytes(bytes(100_000))
    with h5py.File(path, "a") as file:
        held = file["fold=S1/mean"]
        shape, kind = held.shape, held.dtype
        del file["fold=S1/mean"]
        storage = [(str(tmp_path / "secret.bin"), 0, int(np.prod(shape)) * kind.itemsize)]
        file.create_dataset("fold=S1/mean", shape, kind, external=storage)
    with pytest.raises(InputError, match="must lie in the file itself"):
        read_generators(path)


@pytest.mark.parametrize(
    "changed",
    [
        {"job": 3},
        {"job": {}},
        {"seed": "many"},
        {"form": {}},
        {"trained_stride_s": 1e300},
        {"form": {"channels": ["=1+1"] * 6, "rate_hz": 1, "window_s": 60, "stride_s": 60}},
        {"more": 1},
    ],
    ids=str,
)
def test_a_file_that_does_not_say_what_its_generators_are_is_refused(models, tmp_path, changed):
    description = {**models.description, **changed}
    if "channels" in changed.get("form", ()):
        description["form"] = {**models.description["form"], **changed["form"]}
    store.write_models(tmp_path / "m.h5", replace(models, description=description), cell_hash="x")
    with pytest.raises(InputError, match=r"m\.h5: "):
        read_generators(tmp_path / "m.h5")


@pytest.mark.parametrize("settings", [{"rank": "many"}, {"rank": 10**18}, {"unknown": 1}], ids=str)
def test_settings_that_no_training_takes_claim_nothing(models, settings):
    assert judge(with_job(models, settings=settings), ["S1"]).reason.startswith("its ledger")
