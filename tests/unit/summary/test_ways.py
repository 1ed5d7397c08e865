import numpy as np
import pandas as pd

from pulseveil.core.randomness import root_stream
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.results import arrange, collect
from pulseveil.summary.tables import main_table
from pulseveil.summary.ways_figure import questions, ways_figure
from tests.unit.summary_cases import constant_scores, description, scores, write

WRONG = {"S2": 2, "S3": 4, "S4": 9, "S5": 0, "S6": 1, "S7": 3}
WORSE = {name: count + 3 for name, count in WRONG.items()}
BEST, WORST = 1 - 19 / 120, 1 - 37 / 120
SYNTHETIC = {"evaluation": "tstr", "generator": "posterior", "subjects": 28}
STUDY = StudyDescription.model_validate(description())


def private(main):
    """The table with an epsilon of each row with a budget, as ledgers would show it."""
    epsilon = main[["epsilon_generator", "epsilon_detector"]].min(axis=1)
    return main.assign(epsilon_pld=epsilon.where(np.isfinite(epsilon)))


def table(folder, *records):
    results = collect(write(folder, records))
    return private(main_table(results, arrange(results, STUDY), STUDY, None, root_stream(0)))


def test_all_ways_of_a_question_share_its_panels(tmp_path):
    main = table(
        tmp_path,
        scores(WRONG),
        scores(WORSE, epsilon_detector=1),
        scores(WRONG, **SYNTHETIC, epsilon_generator=1),
        scores(WORSE, **SYNTHETIC | {"subjects": 5}, epsilon_generator=1),
        scores(WORSE, **SYNTHETIC | {"generator": "prior_only"}),
        constant_scores(list(WRONG)),
    )
    (asked,) = questions(main, STUDY)
    assert asked.title == "wesad: each left-out subject"
    accuracy, f1 = ways_figure([asked], STUDY).axes
    drawn = {tuple(np.round(line.get_ydata(), 4)) for line in accuracy.lines if line.get_marker() == "o"}
    real, people, prior = (BEST, WORST), (BEST,), (WORST,)
    assert drawn == {tuple(np.round(way, 4)) for way in (real, people, prior)}
    # Across all epsilons: the rule, and the generator that reads no window.
    across = [line.get_ydata()[0] for line in accuracy.lines if line.get_xdata()[0] == 0]
    np.testing.assert_allclose(sorted(across), [WORST, 0.7], atol=1e-9)
    assert [label.get_text() for label in f1.get_xticklabels()] == ["∞", "1"]


def test_one_private_way_is_no_comparison(tmp_path):
    main = table(tmp_path, scores(WRONG), scores(WORSE, epsilon_detector=1), constant_scores(list(WRONG)))
    assert questions(main, STUDY) == []


def test_evaluations_of_other_people_or_protocols_are_other_questions(tmp_path):
    values = description()
    values["evaluations"]["tstr"] |= {"test": "order_crossed", "tested_on": "the other order"}
    crossed = StudyDescription.model_validate(values)
    main = table(
        tmp_path,
        *(scores(WRONG, epsilon_detector=e) for e in (1, 10)),
        scores(WRONG, detector="transformer", epsilon_detector=1),
        scores(WRONG, **SYNTHETIC, epsilon_generator=1),
        scores(WRONG, **SYNTHETIC | {"generator": "moments"}, epsilon_generator=1),
    )
    assert [question.title for question in questions(main, crossed)] == [
        "wesad: each left-out subject",
        "wesad: the other order",
    ]
    rows = pd.concat([question.rows for question in questions(main, crossed)])
    assert len(rows) == len(main)
