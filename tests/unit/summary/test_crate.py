import hashlib
import json
import shutil
import socket
from datetime import UTC, datetime
from urllib.parse import unquote

import pytest

from pulseveil.core.atomic import write_json
from pulseveil.core.errors import InputError
from pulseveil.core.identity import describe_run
from pulseveil.study.reading import check_study
from pulseveil.summary import crate
from pulseveil.summary.job_runs import JobRun
from tests.crates import broken_requirements

SCORES = "scores/real/none/logistic/unit=subject/epsilon_detector=inf/seed=0.h5"
FILES = {"report.html": b"<html></html>", "tables/main.csv": b"a,b\n1,2\n", SCORES: bytes(range(256))}
# What went into the run beside the settings.
RULES = {"workflow/Snakefile": b"rule all:\n", "workflow/rules/audit.smk": b"rule audit:\n"}
SMALL = {"numpy": "2.1.0", "pulseveil": "0.1.0"}
NETWORK = SMALL | {"tensorflow": "2.21.0"}


def ran(second, packages):
    return {
        "git": "4f2a" * 10,
        "started": f"2024-05-01T10:00:{second:02d}+00:00",
        "finished": f"2024-05-01T10:00:{second + 5:02d}+00:00",
        "python": "3.11.7",
        "packages": packages,
    }


def jobs(cohorts):
    """Jobs of a study: one cohort after the other, two trainings, of which one has no provenance."""
    windows = [f"prepare_cohort/{name}.detector" for name in cohorts]
    trainings = [f"train_detectors/real_0/{name}" for name in ("logistic", "cnn", "copied")]
    return [
        *(
            JobRun(name, "prepare_cohort", (cohort,), (), (f"windows/{cohort}/detector.h5",), ran(i, SMALL))
            for i, (name, cohort) in enumerate(zip(windows, cohorts, strict=True))
        ),
        JobRun(trainings[0], "train_detectors", (), (windows[-1],), (SCORES,), ran(20, SMALL)),
        JobRun(trainings[1], "train_detectors", (), (windows[-1],), ("a.h5", "b.h5"), ran(25, NETWORK)),
        JobRun(trainings[2], "train_detectors", (), (windows[-1],), ("c.h5",), {}),
        JobRun("summarize", "summarize", (), tuple(trainings), ("report.html",), ran(40, SMALL)),
    ]


COHORTS = {
    "people": {
        "kind": "empatica",
        "data": "/home/somebody/recordings",
        "labels": "/home/somebody/l.csv",
    },
    "wesad": {"kind": "wesad", "data": "/home/somebody/WESAD"},
    "made_up": {"kind": "simulated", "subjects": 4, "seed": 3},
}


def study(**changes):
    values = {
        "name": "small",
        "seed": 7,
        "protocol": "sound",
        "cohorts": COHORTS,
        "detectors": ["logistic"],
        "seeds": 1,
        "evaluations": [{"name": "real", "cohort": "made_up", "train": "real"}],
    }
    return check_study(values | changes, "small.yaml")


def write_crate(folder, described):
    for name, content in (FILES | RULES).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    write_json(folder / "study.json", crate.settings_file(described))
    files = [folder / name for name in (*FILES, *RULES, "study.json")]
    run = describe_run("small", datetime(2024, 5, 1, tzinfo=UTC))
    found = crate.crate(described, folder, files, run, jobs(described.cohort_settings))
    write_json(folder / crate.NAME, found)


def read(folder):
    graph = json.loads((folder / crate.NAME).read_text())["@graph"]
    return {entity["@id"]: entity for entity in graph}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    write_crate(folder, study())
    return folder


def changed(results, tmp_path, change):
    """A copy of the crate whose entities went through `change`."""
    folder = shutil.copytree(results, tmp_path / "results")
    metadata = json.loads((folder / crate.NAME).read_text())
    change({entity["@id"]: entity for entity in metadata["@graph"]})
    (folder / crate.NAME).write_text(json.dumps(metadata))
    return folder


def test_the_crate_passes_the_validator(results, tmp_path):
    assert broken_requirements(results, tmp_path) == []


def test_a_crate_of_one_cohort_passes_too(tmp_path):
    folder = tmp_path / "results"
    write_crate(folder, study(cohorts={"made_up": COHORTS["made_up"]}))
    assert broken_requirements(folder, tmp_path) == []


@pytest.mark.parametrize(
    ("entity", "key", "word"),
    [
        ("./", "license", "license"),
        ("./", "hasPart", "RootDataEntity"),
        ("./", "mainEntity", "mainEntity"),
        ("#run", "instrument", "instrument"),
        ("workflow/Snakefile", "hasPart", "hasPart"),
    ],
)
def test_a_crate_without_what_is_required_fails(results, tmp_path, entity, key, word):
    folder = changed(results, tmp_path, lambda entities: entities[entity].pop(key))
    assert any(word in message for message in broken_requirements(folder, tmp_path))


def test_a_crate_whose_file_is_not_there_fails(results, tmp_path):
    folder = shutil.copytree(results, tmp_path / "results")
    (folder / SCORES).unlink()
    assert any("seed=0.h5" in unquote(message) for message in broken_requirements(folder, tmp_path))


def test_sizes_and_hashes_are_those_of_the_files(results):
    entities = read(results)
    parts = [entities[part["@id"]] for part in entities["./"]["hasPart"]]
    assert {unquote(part["@id"]) for part in parts} == {*FILES, *RULES, "study.json"}
    for part in parts:
        content = (results / unquote(part["@id"])).read_bytes()
        assert part["sha256"] == hashlib.sha256(content).hexdigest()
        assert part["contentSize"] == str(len(content))


def test_what_made_the_files_and_from_what_is_told(results):
    entities = read(results)
    run = entities["#run"]
    made = {entity["@id"] for entity in run["result"]}
    assert {unquote(name) for name in made} == set(FILES)
    sources = ["#cohort-people", "#cohort-wesad", "#cohort-made_up"]
    planned = ["workflow/rules/audit.smk", "study.json"]
    assert [entity["@id"] for entity in run["object"]] == [*planned, *sources]
    assert run["instrument"] == entities["./"]["mainEntity"] == {"@id": "workflow/Snakefile"}
    assert run["startTime"] == "2024-05-01T10:00:00+00:00"
    cited = entities[entities["#cohort-wesad"]["citation"]["@id"]]
    assert cited["name"].startswith("Introducing WESAD")
    assert "non-commercial" in entities["#cohort-wesad"]["license"]
    assert "their owner" in entities["#cohort-people"]["license"]
    assert entities["#cohort-made_up"]["license"] == {"@id": "https://spdx.org/licenses/MIT"}
    assert entities[entities["./"]["citation"]["@id"]]["author"][0] == {"@id": "#Lucas-Lange"}


def test_each_job_is_an_action_with_times_inputs_outputs_and_software(results):
    entities = read(results)
    described = jobs(COHORTS)
    actions = {name: e for name, e in entities.items() if e["@type"] == "CreateAction"}
    assert actions.keys() == {"#run", *(f"#{job.name}" for job in described)}
    assert {entity["@id"] for entity in entities["./"]["mentions"]} == actions.keys()
    cut, network, copied = (actions[f"#{described[i].name}"] for i in (0, 4, 5))
    assert (network["startTime"], network["endTime"]) == (
        "2024-05-01T10:00:25+00:00",
        "2024-05-01T10:00:30+00:00",
    )
    assert cut["object"] == {"@id": "#cohort-people"}
    assert network["object"] == actions["#train_detectors/real_0/logistic"]["object"]
    assert network["object"] == {"@id": "#prepare_cohort/made_up.detector/files"}
    assert entities[network["result"]["@id"]]["description"].startswith("2 files, which are not")
    assert unquote(actions["#train_detectors/real_0/logistic"]["result"]["@id"]) == SCORES
    assert "startTime" not in copied
    summary = actions["#summarize"]
    assert {unquote(entity["@id"]) for entity in summary["result"]} == {"report.html", "tables/main.csv"}
    assert len(summary["object"]) == 3


def test_jobs_share_a_program_only_if_they_loaded_the_same_software(results):
    entities = read(results)

    def loaded(job):
        program = entities[entities[f"#{job}"]["instrument"]["@id"]]
        wanted = [entities[package["@id"]] for package in program.get("softwareRequirements", ())]
        return program["@id"], {package["name"]: package["softwareVersion"] for package in wanted}

    simple, network, copied = (loaded(f"train_detectors/real_0/{n}") for n in ("logistic", "cnn", "copied"))
    assert simple == ("#train_detectors.1", {"Python": "3.11.7", "numpy": "2.1.0"})
    assert network == ("#train_detectors.2", simple[1] | {"tensorflow": "2.21.0"})
    assert copied == ("#train_detectors.3", {})
    assert loaded("prepare_cohort/wesad.detector")[0] == loaded("prepare_cohort/people.detector")[0]
    programs = {entity["@id"] for entity in entities["workflow/Snakefile"]["hasPart"]}
    assert programs == {a["instrument"]["@id"] for a in entities.values() if "instrument" in a} - {
        "workflow/Snakefile"
    }
    assert entities["#train_detectors.2"]["identifier"] == "git commit " + "4f2a" * 10


def test_neither_places_nor_machine_are_told(results):
    for name in (crate.NAME, "study.json"):
        text = (results / name).read_text()
        assert "somebody" not in text
        assert str(results) not in text
        assert socket.gethostname() not in text


def test_the_settings_are_those_of_the_study_but_for_places(results):
    settings = json.loads((results / "study.json").read_text())
    places = {"people": ("data", "labels"), "wesad": ("data",)}
    for name, keys in places.items():
        assert not settings["cohorts"][name].keys() & set(keys)
        settings["cohorts"][name] |= {key: COHORTS[name][key] for key in keys}
    assert check_study(settings, "study.json") == study()


def test_the_licence_is_that_of_the_study(tmp_path):
    write_crate(tmp_path, study(license="CC-BY-4.0"))
    entities = read(tmp_path)
    assert entities["./"]["license"] == {"@id": "https://spdx.org/licenses/CC-BY-4.0"}
    assert entities["#pulseveil"]["license"] == {"@id": "https://spdx.org/licenses/MIT"}
    with pytest.raises(InputError, match="license"):
        study(license="do what you like")


def test_results_of_recorded_people_have_no_licence_that_the_study_did_not_name(results, tmp_path):
    root = read(results)["./"]["license"]
    assert read(results)[root["@id"]]["name"] == "No licence named"
    write_crate(tmp_path, study(cohorts={"made_up": COHORTS["made_up"]}))
    assert read(tmp_path)["./"]["license"] == {"@id": "https://spdx.org/licenses/MIT"}
