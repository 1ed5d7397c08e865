"""The catalogue: which models there are, what they claim, and that no recording is needed for it."""

import math
import shutil
from pathlib import Path

import pytest

from pulseveil.app import catalogue, export, synthesis
from pulseveil.core import paths, store
from pulseveil.core.errors import InputError


def files(folder):
    return {(f.study, f.epsilon): f for f in catalogue.find_models(folder)}


def test_models_are_found_with_the_words_of_their_place(models_folder):
    found = catalogue.find_models(models_folder)
    assert [(f.study, f.epsilon) for f in found] == [("rehearsal", 8), ("small", 8), ("small", math.inf)]
    assert {f.model for f in found} == {"Moments on people"}
    assert [f.budget for f in found[1:]] == ["epsilon 8 for a subject", "no budget (not private)"]
    assert catalogue.fold_names(found[1]) == ("S1", "S2")
    assert catalogue.find_models(models_folder / "results") == ()


def test_words_are_read_from_the_place_that_they_fill():
    words = {"study": "a-b", "cohort": "c", "generator": "d_e", "unit": "window"}
    words |= {"epsilon_generator": "0.1", "seed": "12"}
    place = paths.fill(paths.MODELS, **words)
    assert paths.words(paths.MODELS, Path(place)) == (Path(), words)
    assert paths.words(paths.MODELS, Path("/x/results") / place) == (Path("/x/results"), words)
    for other in (f"{place}5", f"x{place}", place.replace("unit=", "unit:")):
        assert paths.words(paths.MODELS, Path(other)) is None


def test_each_model_says_whether_its_ledger_holds(models_folder):
    claims = {key: catalogue.open_model(file, "S1").facts.claim for key, file in files(models_folder).items()}
    assert [key for key, claim in claims.items() if claim.is_private] == [("small", 8)]


def test_a_model_of_all_people_comes_first(models_folder, tmp_path):
    file = files(models_folder)["small", 8]
    models = store.read_models(file.path)
    arrays = {"S1": models.arrays["S1"], "all": models.arrays["S2"], "S10": models.arrays["S2"]}
    path = tmp_path / "models.h5"
    store.write_models(path, store.Models(arrays, models.description), cell_hash="0")
    moved = catalogue.ModelFile("a", "b", "c", "subject", 8.0, 0, path)
    assert catalogue.fold_names(moved) == ("all", "S1", "S10")


def test_a_file_at_a_place_that_is_not_its_own_is_refused(models_folder, tmp_path):
    copy = tmp_path / "results/small/generators/people/moments/unit=subject/epsilon_generator=1/seed=0.h5"
    copy.parent.mkdir(parents=True)
    shutil.copy(files(models_folder)["small", math.inf].path, copy)
    (file,) = catalogue.find_models(tmp_path)
    with pytest.raises(InputError, match="was trained as small / people / moments / subject / inf / 0"):
        catalogue.open_model(file, "S1")
    with pytest.raises(InputError, match="no model of fold 'S9'; it has S1, S2"):
        catalogue.open_model(files(models_folder)["small", 8], "S9")


def test_a_place_without_numbers_is_refused(tmp_path):
    bad = tmp_path / "results/small/generators/people/moments/unit=subject/epsilon_generator=eight/seed=0.h5"
    bad.parent.mkdir(parents=True)
    bad.touch()
    with pytest.raises(InputError, match="expected numbers after epsilon_generator= and seed="):
        catalogue.find_models(tmp_path)


def test_an_audit_that_refutes_the_claim_takes_it_away(models_folder, tmp_path):
    shutil.copytree(models_folder / "results" / "small", tmp_path / "results" / "small")
    words = {"study": "small", "cohort": "people", "generator": "moments", "unit": "subject"}
    table = tmp_path / paths.fill(paths.GENERATOR_AUDIT, **words, epsilon_generator="8")
    table.parent.mkdir(parents=True)
    head = "attack,epsilon_low,epsilon_ceiling,failed\n"
    table.write_text(f"{head}canaries,0.4,3.5,False\npooled,,,\n")
    assert catalogue.open_model(files(tmp_path)["small", 8], "S1").facts.claim.is_private
    table.write_text(f"{head}canaries,9.4,12.5,True\npooled,,,\n")
    claim = catalogue.open_model(files(tmp_path)["small", 8], "S1").facts.claim
    assert claim.headline == "NOT PRIVATE: an audit refuted its claim"
    assert claim.statement.startswith("NOT PRIVATE")


def test_no_recording_is_read_or_needed(models_folder, tmp_path, monkeypatch):
    """Export and cards are the same, byte for byte, where only models and quality tables are left."""

    def exported(folder):
        trained = catalogue.open_model(files(folder)["small", 8], "S2")
        made = synthesis.make(trained, synthesis.Request(1, 5, (0.6, 0.4), 1))
        return export.export(made, "csv")

    with_recordings = exported(models_folder)
    for part in ("generators", "quality"):
        inside = f"results/small/{part}"
        shutil.copytree(models_folder / inside, tmp_path / inside)
    monkeypatch.setattr(store, "read_record", lambda *_: pytest.fail("a record was read"))
    assert exported(tmp_path) == with_recordings
