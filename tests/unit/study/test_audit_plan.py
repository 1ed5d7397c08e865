"""Which models a study audits, what that costs, and where the results are shown."""

import math

import pytest

from pulseveil.audit.bounds import AttackCounts
from pulseveil.core.errors import InputError
from pulseveil.study import audits, costs, tasks
from pulseveil.study.cells import AuditedCell, NoisedCell
from pulseveil.study.study import Audit
from tests.unit.study.test_plan import demo

INF = math.inf
EVALUATIONS = [
    {"name": "real", "cohort": "simulated", "train": "real"},
    {"name": "tstr", "cohort": "simulated", "train": "synthetic", "synthetic_subjects": [2, 4]},
    {
        "name": "both",
        "cohort": "simulated",
        "train": "real+synthetic",
        "synthetic_subjects": [3, 8],
        "epsilon_generator": [8],
        "epsilon_detector": [8],
    },
]


def audited(evaluation, **keys):
    values = {
        "generators": ["moments"],
        "detectors": ["logistic", "majority"],
        "units": ["subject", "window"],
        "epsilons": ["inf", 8],
        "evaluations": EVALUATIONS,
        "audit": {"evaluation": evaluation},
    }
    return demo(**(values | keys))


def test_an_evaluation_of_real_windows_has_detectors_only():
    assert audits.audited_cells(audited("real")) == (
        AuditedCell("detector", "simulated", "none", "logistic", "subject", INF, INF),
        AuditedCell("detector", "simulated", "none", "logistic", "subject", INF, 8),
        AuditedCell("detector", "simulated", "none", "logistic", "window", INF, 8),
    )


def test_an_evaluation_of_synthetic_windows_has_generators_only():
    assert audits.audited_cells(audited("tstr")) == (
        AuditedCell("generator", "simulated", "moments", "none", "subject", INF, INF),
        AuditedCell("generator", "simulated", "moments", "none", "subject", 8, INF),
        AuditedCell("generator", "simulated", "moments", "none", "window", 8, INF),
    )


def test_generator_and_detector_of_an_evaluation_are_audited_separately():
    cells = audits.audited_cells(audited(["both"]))
    assert cells == (
        AuditedCell("generator", "simulated", "moments", "none", "subject", 8, INF),
        AuditedCell("generator", "simulated", "moments", "none", "window", 8, INF),
        AuditedCell("detector", "simulated", "moments", "logistic", "subject", 8, 8),
        AuditedCell("detector", "simulated", "moments", "logistic", "window", 8, 8),
    )
    assert [cell.epsilon for cell in cells] == [8, 8, 8, 8]


def test_several_evaluations_audit_each_model_once():
    plan = audited(["real", "tstr", "both"])
    cells = audits.audited_cells(plan)
    assert len(cells) == len(set(cells)) == 3 + 3 + 2
    assert len({*tasks.files(plan, "audit_generator"), *tasks.files(plan, "audit_detector")}) == len(cells)


def test_of_an_evaluation_with_noise_on_windows_the_windows_are_attacked_and_no_model():
    noised = {"name": "noised", "cohort": "simulated", "train": "real", "noise_on": "windows"}
    noised |= {"input_noise": [0, 0.5], "noise_distribution": "gaussian"}
    plan = audited("noised", evaluations=[*EVALUATIONS, noised])
    assert audits.audited_cells(plan) == ()
    with_real = audited(["noised", "real"], evaluations=[*EVALUATIONS, noised])
    assert audits.verdicts(with_real) == audits.verdicts(audited("real"))
    (task,) = [task for task in tasks.tasks(plan) if task.rule == "audit_noised"]
    assert task.cell == NoisedCell("noised")
    job = tasks.job(plan, task)
    assert (job.noise, job.noise_distribution) == ((0, 0.5), "gaussian")
    assert job.subjects == tuple(plan.outlines["simulated"])
    assert tasks.files(plan, "audit_noised") == ["results/demo/audit/noised/noised.csv"]


def test_the_plan_fixes_how_many_synthetic_subjects_an_audit_has():
    plan = audited(["real", "tstr", "both"])
    of_generator, of_mixed = (
        next(cell for cell in audits.audited_cells(plan) if (cell.part, cell.generator) == wanted)
        for wanted in (("generator", "moments"), ("detector", "moments"))
    )
    # The most of the audited evaluations, but of a release no more than `released_subjects`.
    assert audits.synthetic_subjects(plan, of_generator) == Audit(evaluation="x").released_subjects == 5
    assert audits.synthetic_subjects(plan, of_mixed) == 8
    assert audits.synthetic_subjects(audited("tstr"), of_generator) == 4


def test_a_job_knows_its_part_its_epsilon_and_its_windows():
    plan = audited(["tstr", "both"])
    jobs = [audits.audit_job(plan, cell) for cell in audits.audited_cells(plan)]
    assert [job.part for job in jobs] == ["generator"] * 3 + ["detector"] * 2
    assert [job.epsilon for job in jobs] == [INF, 8, 8, 8, 8]
    # Windows every 30 s for generators, every 60 s for detectors.
    assert [job.windows_per_subject for job in jobs] == [74] * 3 + [37] * 2
    assert jobs[-1].generator_fold == plan.generator_folds("simulated")[0].name
    (path,) = audits.synthetic_paths(plan, audits.audited_cells(plan)[-1])
    assert path.endswith("features/simulated/moments/unit=window/epsilon_generator=8/seed=0.h5")
    assert len({job.stream().spawn_key for job in jobs}) == len(jobs)


def test_all_verdicts_of_a_study_share_one_error():
    plan = audited(["real", "tstr"], audit={"evaluation": ["real", "tstr"], "membership": "always"})
    # Six people and twice two canary verdicts at unit subject, the canaries alone at unit window.
    assert audits.verdicts(plan) == 2 * (6 + 4) + 2 * 4
    # No membership attack with 15 trainings per side can test a claim of 8.
    assert audits.verdicts(audited(["real", "tstr"])) == 2 * 4 + 2 * 4


def test_a_plan_counts_what_its_audits_train():
    plan = audited("tstr", audit={"evaluation": "tstr", "trainings": 4, "runs": 10, "repetitions": 30})
    line = next(line for line in costs.lines(plan) if line.stage == "audits")
    # Membership of 6 people (of halves), canaries, releases to compare with, one without each person.
    of_people, of_windows = 4 * 7 + 40 + 4 + 6, 4 * 2 + 40 + 4 + 6
    # The attack on people is left out at epsilon 8, which it cannot test, and made without a budget.
    assert (line.jobs, line.runs) == (3, 2 * of_people - 4 * 7 + of_windows)
    assert line.cpu_hours > 0


def test_networks_are_audited_on_the_gpu_where_the_study_has_one():
    plan = audited("real", detectors=["cnn"], resources={"gpu": 1})
    line = next(line for line in costs.lines(plan) if line.stage == "audits")
    assert line.gpu_jobs == line.tensorflow_starts == line.jobs == 3


@pytest.mark.parametrize("evaluation", ["reel", ["tstr", "reel"]])
def test_an_evaluation_that_does_not_exist_is_refused(evaluation):
    with pytest.raises(InputError, match=r"demo\.yaml: audit\.evaluation: .*reel.*real"):
        audited(evaluation)


def test_an_empty_list_of_evaluations_is_refused():
    with pytest.raises(InputError, match=r"demo\.yaml: audit\.evaluation"):
        audited([])


def test_canaries_alone_have_no_verdict_on_people():
    plan = audited("real", audit={"evaluation": "real", "trainings": 0, "runs": 10, "repetitions": 0})
    assert audits.verdicts(plan) == 2 + 2
    line = next(line for line in costs.lines(plan) if line.stage == "audits")
    assert (line.jobs, line.runs) == (3, 3 * (10 + 1))


def test_generators_are_not_audited_by_canaries_alone():
    with pytest.raises(InputError, match=r"demo\.yaml: audit\.trainings: 0, but .* tstr .* at least 3"):
        audited(["real", "tstr"], audit={"evaluation": ["real", "tstr"], "trainings": 0})


@pytest.mark.parametrize("trainings", [1, 2])
def test_too_few_trainings_of_a_side_are_refused(trainings):
    with pytest.raises(InputError, match=rf"{trainings} trainings per side, expected at least 3"):
        audited("real", audit={"evaluation": "real", "trainings": trainings})


def test_repetitions_that_can_leave_a_side_empty_are_refused():
    with pytest.raises(InputError, match="29 repetitions"):
        audited("real", audit={"evaluation": "real", "repetitions": 29})


def test_the_plan_says_what_no_audit_can_test_and_why():
    found = audits.left_out(audited(["real", "tstr"]))
    assert found == {
        ("real", "a rule reads no window"): ("majority",),
        (
            "tstr",
            "a detector of synthetic windows alone gives away nothing that its generator does not",
        ): ("logistic",),
    }
    told = audits.describe(audited(["real"])).splitlines()
    assert told == [
        "audits left out, because they could not test anything:",
        "  real: majority: a rule reads no window",
        "membership attacks with 15 trainings per side can show epsilon 1.28 at most, and are left out for:",
        "  logistic, epsilon 8",
        "  (canaries test these claims; audit.membership: always attacks people too)",
    ]
    assert audits.describe(demo()) == ""


def test_generators_that_no_person_can_change_are_not_audited(tmp_path):
    (tmp_path / "windows.csv").write_text("given")
    given = {"name": "given", "kind": "files", "settings": {"data": str(tmp_path / "windows.csv")}}
    names = {"moments", "prior_only", "given"}
    generators = ["moments", "prior_only", given]
    keys = {"generators": generators, "epsilons": ["inf"], "generator_shared": True}
    plan = audited("tstr", **keys, evaluations=EVALUATIONS[:2])
    assert {cell.generator for cell in audits.audited_cells(plan)} == {"moments"}
    whys = {name: why for (_, why), left in audits.left_out(plan).items() for name in left if name in names}
    assert whys.keys() == {"prior_only", "given"}
    assert whys["prior_only"].startswith("a generator that reads no recording")
    assert whys["given"].startswith("its windows are given")


def test_a_cohort_of_one_person_has_nobody_to_compare_with():
    keys = {
        "cohorts": {
            "simulated": {"kind": "simulated", "subjects": 1, "seed": 1},
            "others": {"kind": "simulated", "subjects": 3, "seed": 2},
        },
        "evaluations": [
            {
                "name": "real",
                "cohort": "simulated",
                "train": "real",
                "test": "transfer",
                "test_cohort": "others",
            }
        ],
        "folds": "all",
    }
    plan = audited("real", **keys)
    assert audits.audited_cells(plan) == ()
    assert any("has one person" in why for _, why in audits.left_out(plan))
    canaries = audited("real", **keys | {"audit": {"evaluation": "real", "trainings": 0}})
    assert len(audits.audited_cells(canaries)) == 3


@pytest.mark.parametrize("trainings", [3, 5, 6, 15, 200])
@pytest.mark.parametrize("delta", [0.0, 1e-5, 0.01])
def test_the_reach_of_membership_attacks_is_the_bound_of_an_attack_without_an_error(trainings, delta):
    perfect = AttackCounts(trainings, trainings, trainings, 0)
    reach = Audit(evaluation="real", trainings=trainings).membership_reach(delta)
    assert reach == pytest.approx(perfect.epsilon_lower_bound(delta))


def test_claims_within_reach_are_not_doubted():
    assert audits.out_of_reach(audited("real", epsilons=[1])) == {}
    assert audits.out_of_reach(audited("real", epsilons=[1, 8])) == {8: ("logistic",)}
    for allowed in ({"trainings": 0}, {"membership": "always"}, {"trainings": 100_000}):
        plan = audited("real", epsilons=[8], audit={"evaluation": "real", **allowed})
        assert audits.out_of_reach(plan) == {}
