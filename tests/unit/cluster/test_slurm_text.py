"""Answers of SLURM 22.05.8 as text: which pass, which jobs they name, which states Snakemake reads."""

import pytest

from pulseveil.cluster import slurm_text

UNREACHABLE = [
    "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n",
    "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)\n",
    "scancel: error: Kill job error on job id 2: Unable to contact slurm controller (connect failure)\n",
    "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n",
    "sacct: error: Sending PersistInit msg: Connection refused\n"
    "sacct: error: Problem talking to the database: Connection refused\n",
    "sacct: error: Sending PersistInit msg: Unable to connect to database\n"
    "sacct: error: Problem talking to the database: Unable to connect to database\n",
    "sacctmgr: error: Sending PersistInit msg: Connection refused\n",
    'squeue: error: Munge encode failed: Failed to connect to "/run/munge.sock": Connection refused\n'
    "slurm_load_jobs error: Protocol authentication error\n",
    "sbatch: error: Batch job submission failed: Required partition not available (inactive or drain)\n",
    "sbatch: error: Batch job submission failed: Unable to establish control machine address\n",
    "sbatch: fatal: Could not establish a configuration source\n",
    "sbatch: error: Slurm controller not responding, primary and backup down\n",
    "sbatch: error: Munge encode failed: Invalid authentication credential\n",
    "sbatch: error: Insane message length\n",
    "sbatch: error: Batch job submission failed: I/O error writing script/environment to file\n",
    "sbatch: error: Batch job submission failed: Incompatible versions of client and server code\n",
    "sbatch: error while loading shared libraries: libslurmfull.so: cannot open shared object file\n",
    "",
]
POLICY = (
    "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy"
    " (job submit limit, user's size and/or time limits)\n"
)
FULL = [
    "AssocMaxSubmitJobLimit",
    "AssocGrpSubmitJobsLimit",
    "QOSMaxSubmitJobPerUserLimit",
    "QOSGrpSubmitJobsLimit",
]
HOPELESS = [
    "Slurm accounting storage is disabled\n",
    "sacct: invalid option -- '1'\n",
    "sbatch: error: invalid partition specified: nope\n"
    "sbatch: error: Batch job submission failed: Invalid partition name specified\n",
    "sbatch: error: Batch job submission failed: Invalid account or account/partition combination"
    " specified\n",
    "sbatch: unrecognized option '--wrong'\nTry \"sbatch --help\" for more information\n",
    "sbatch: error: Memory specification can not be satisfied\n"
    "sbatch: error: Batch job submission failed: Requested node configuration is not available\n",
    "sbatch: error: Invalid generic resource (gres) specification\n",
    "You are not running a supported accounting_storage plugin\n",
    f"sbatch: error: QOSMaxWallDurationPerJobLimit\n{POLICY}",
    "slurm_load_jobs error: Invalid job id specified\n",
    "scancel: error: Kill job error on job id 3: Job/step already completing or completed\n",
    "sbatch: error: Batch job submission failed: User's group not permitted to use this partition\n",
]
SACCT = ["-X", "--parsable2", "--clusters", "all", "--noheader", "--format=JobIdRaw,State"]
SQUEUE = ["--format=%i|%T", "--states=all", "--noheader"]


@pytest.mark.parametrize("errors", UNREACHABLE)
def test_an_outage_is_waited_for_in_limits(errors: str) -> None:
    delay = slurm_text.delay(errors)
    assert delay is not None
    assert delay.ends


@pytest.mark.parametrize("limit", FULL)
def test_a_full_queue_is_waited_for_without_limit(limit: str) -> None:
    assert slurm_text.delay(f"sbatch: error: {limit}\n{POLICY}") == slurm_text.Delay(limit, ends=False)


@pytest.mark.parametrize("errors", HOPELESS)
def test_a_mistake_is_not_tried_again(errors: str) -> None:
    assert slurm_text.delay(errors) is None


@pytest.mark.parametrize("errors", UNREACHABLE)
def test_the_reason_is_not_taken_for_a_failed_submission(errors: str) -> None:
    # Snakemake takes a sbatch that succeeded for failed if these words are in its messages.
    delay = slurm_text.delay(errors)
    assert delay is not None
    assert "submission failed" not in delay.reason


@pytest.mark.parametrize("query", [SACCT, SQUEUE])
def test_snakemakes_question_is_known_from_others(query: list[str]) -> None:
    assert slurm_text.is_status_query([*query, "--name", "run"])
    assert not slurm_text.is_status_query(query)
    assert not slurm_text.is_status_query(["-nu", "root", "-o", "Account%256", "--name", "run"])


def test_a_cancelled_job_is_called_so_whoever_cancelled_it() -> None:
    assert slurm_text.translate_states("1|CANCELLED by 0\n2|COMPLETED\n3|CANCELLED by 1005\n", None) == (
        "1|CANCELLED\n2|COMPLETED\n3|CANCELLED\n"
    )


@pytest.mark.parametrize(
    ("queue", "state"),
    [
        ("3|PREEMPTED\n", "CANCELLED"),
        ("", "CANCELLED"),
        ("3|PENDING\n", "PREEMPTED"),
        ("3|COMPLETING\n", "PREEMPTED"),
        ("3|RUNNING\n", "PREEMPTED"),
        (None, "PREEMPTED"),
    ],
)
def test_a_preempted_job_is_over_unless_it_will_be_started_again(queue: str | None, state: str) -> None:
    assert slurm_text.translate_states("3|PREEMPTED\n4|RUNNING\n", queue) == f"3|{state}\n4|RUNNING\n"


def test_states_without_a_job_stay_empty() -> None:
    assert slurm_text.translate_states("", "") == ""


@pytest.mark.parametrize(
    ("queue", "job"),
    [
        ("2|PENDING|2026-11-25T07:16:13|rule_a_wildcards_x|y\n", "2"),
        ("2|COMPLETED|2026-11-25T07:16:13|rule_a_wildcards_x|y\n", "2"),
        ("2|FAILED|2026-11-25T07:16:13|rule_a_wildcards_x|y\n", None),
        ("2|RUNNING|2026-11-25T07:16:12|rule_a_wildcards_x|y\n", None),
        ("2|RUNNING|2026-11-25T07:16:13|rule_a_wildcards_x\n", None),
        (
            "1|FAILED|2026-11-25T07:10:00|rule_a_wildcards_x|y\n3|RUNNING|2026-11-25T07:17:00|rule_a_wildcards_x|y\n",
            "3",
        ),
        ("", None),
    ],
)
def test_a_job_is_known_by_its_comment_and_time(queue: str, job: str | None) -> None:
    assert slurm_text.accepted(queue, "rule_a_wildcards_x|y", "2026-11-25T07:16:13") == job


@pytest.mark.parametrize(
    ("output", "parsable", "named"),
    [
        ("12\n", True, "12\n"),
        ("12;north\n", True, "12;north\n"),
        ("Note: 17 nodes are down\n\n12\n80 % of your quota\n", True, "12\n"),
        ("12\n80\n", True, ""),
        ("3\nSubmitted batch job 12\n", False, "Submitted batch job 12\n"),
        ("Submitted batch job 12 on cluster north\n", False, "Submitted batch job 12 on cluster north\n"),
        ("job accepted\n", False, ""),
    ],
)
def test_a_job_is_named_whatever_is_printed_around_it(output: str, parsable: bool, named: str) -> None:
    assert slurm_text.named_job(output, parsable=parsable) == named


def test_nodes_are_left_out_beside_those_that_the_study_leaves_out() -> None:
    call = ["--parsable", "--wrap=python --exclude=x"]
    assert slurm_text.without_nodes(call, None) == call
    assert slurm_text.without_nodes(call, "n1,n2") == ["--exclude=n1,n2", *call]
    assert slurm_text.without_nodes(["--exclude=n3", *call], "n1") == ["--exclude=n3,n1", *call]


def test_a_refusal_names_the_nodes_that_are_left_out() -> None:
    refused = "sbatch: error: Batch job submission failed: Requested node configuration is not available\n"
    printed = "n1,n2: left out, because jobs ended there before their task began\n"
    assert slurm_text.explain(refused, "n1,n2") == refused + printed
    assert slurm_text.explain(refused, None) == refused
    assert slurm_text.explain(HOPELESS[3], "n1") == HOPELESS[3]
    assert slurm_text.delay(refused + printed) is None
