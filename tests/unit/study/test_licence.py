import pytest

from pulseveil.core.errors import InputError
from pulseveil.study.licence import describe, require_licence, results_licence
from pulseveil.study.reading import check_study

SIMULATED = {"made_up": {"kind": "simulated", "subjects": 3}}
PEOPLE = SIMULATED | {"people": {"kind": "empatica", "data": "here", "labels": "labels.csv"}}


def study(cohorts, **changes):
    values = {
        "name": "small",
        "seed": 7,
        "protocol": "sound",
        "cohorts": cohorts,
        "detectors": ["logistic"],
        "seeds": 1,
        "evaluations": [{"name": "real", "cohort": "made_up", "train": "real"}],
    }
    return check_study(values | changes, "small.yaml")


def test_a_licence_is_asked_for_where_people_were_recorded():
    """One recorded cohort is enough, whatever the evaluations read."""
    asked = study(PEOPLE)
    assert results_licence(asked) is None
    with pytest.raises(InputError) as refused:
        require_licence(asked)
    for text in (describe(asked), str(refused.value)):
        assert "license" in text
        assert "people: " in text
        assert "made_up" not in text
        assert "CC-BY-NC-4.0" in text


def test_a_named_licence_is_taken_and_simulated_people_need_none():
    named = study(PEOPLE, license="CC-BY-NC-4.0")
    assert require_licence(named) == "CC-BY-NC-4.0"
    assert require_licence(study(SIMULATED)) == "MIT"
    assert describe(named) == describe(study(SIMULATED)) == ""
