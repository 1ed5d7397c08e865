"""Run a study by a controller that outlives the login: a job of the cluster, or a background process.

    pulseveil submit --configfile config/paper.yaml --check     check whether this cluster can run it
    pulseveil submit --configfile config/paper.yaml             submit the controller
    pulseveil submit --configfile config/paper.yaml --status    show the progress
    pulseveil submit --configfile config/paper.yaml --cancel    end the controller and its jobs

Without SLURM the controller is a process on this machine. Arguments after `--` go to Snakemake.
"""

import argparse
import os
import sys
from pathlib import Path

from rich.console import Console

from pulseveil.cluster import doctor, jobs, lease, status, submission
from pulseveil.cluster.controller import Patience
from pulseveil.cluster.doctor import Setup
from pulseveil.cluster.submission import Allocation, ControllerJob
from pulseveil.core.errors import run_command
from pulseveil.study import costs, dag, spending
from pulseveil.study.checks import make_plan
from pulseveil.study.plan import Plan
from pulseveil.study.reading import read_study
from pulseveil.study.yaml_files import load_yaml
from pulseveil.summary import main_columns

PROJECT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--configfile", type=Path, default=PROJECT / "config" / "demo.yaml", help="study file"
    )
    parser.add_argument(
        "--profile", type=Path, help="profile of Snakemake; default: profiles/slurm, or local without SLURM"
    )
    parser.add_argument("--directory", type=Path, default=Path.cwd(), help="folder for results/")
    parser.add_argument(
        "--minutes", type=int, default=Allocation.minutes, help="time limit of the controller in minutes"
    )
    parser.add_argument(
        "--partition", default="", help="partition of all jobs for which the profile names none"
    )
    parser.add_argument("--account", default="", help="account of all jobs for which the profile names none")
    parser.add_argument(
        "--mail", default="", metavar="ADDRESS", help="address for mail about the controller's end"
    )
    parser.add_argument(
        "--mail-type", default=Allocation.mail_type, help="events for mail, as sbatch names them"
    )
    parser.add_argument(
        "--grace",
        type=float,
        default=Patience.grace,
        help="seconds that the controller waits for running jobs before it ends",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="examine the cluster with a small run")
    what.add_argument("--status", action="store_true", help="show the progress of the study")
    what.add_argument("--cancel", action="store_true", help="end the controller and its jobs")
    parser.add_argument("snakemake", nargs="*", help="further arguments of Snakemake, after --")
    options = parser.parse_args()
    plan = make_plan(read_study(options.configfile))
    main_columns.require_main(plan.study.table_columns)
    directory, study = options.directory.resolve(), plan.study.name
    if options.check:
        findings = doctor.examine(_setup(plan, directory, options))
        Console().print(doctor.render(findings), highlight=False)
        raise SystemExit(any(finding.state == "wrong" for finding in findings))
    if options.status:
        status.show(Console(), plan, directory)
    elif options.cancel:
        print(lease.cancel(study, directory))
    else:
        # A refused spend would otherwise end the controller only when its job starts.
        spending.check(plan)
        cluster = jobs.has_slurm()
        if cluster:
            dag.require_plain_words(PROJECT, directory, Path(sys.executable))
        profile = options.profile or PROJECT / "profiles" / ("slurm" if cluster else "local")
        lease.require_none(study, directory)
        kept = submission.keep_study(options.configfile, study, directory)
        arguments = submission.snakemake_arguments(PROJECT / "Snakefile", profile, kept, options.snakemake)
        job = ControllerJob(study, arguments, directory, cluster, Patience(grace=options.grace))
        print(submission.submit(job, _allocation(options)).describe())


def _allocation(options: argparse.Namespace) -> Allocation:
    return Allocation(
        options.minutes,
        options.partition,
        options.account,
        mail_user=options.mail,
        mail_type=options.mail_type,
    )


def _setup(plan: Plan, directory: Path, options: argparse.Namespace) -> Setup:
    """Requirements of the study for the cluster, from the study's resources and the profile's keys."""
    resources, folder = plan.study.resources, options.profile or PROJECT / "profiles" / "slurm"
    profile = load_yaml(folder / "config.yaml")
    partitions = profile.get("slurm-partition-config")
    # Relative to the directory of the study, and the trial runs in another one.
    more = ("--slurm-partition-config", str(directory / partitions)) if partitions else ()
    names = ",".join(load_yaml(directory / partitions)["partitions"]) if partitions else ""
    defaults = profile.get("default-resources") or {}
    if isinstance(defaults, list):
        defaults = dict(value.split("=", 1) for value in defaults)
    defaults = {name: str(value).strip("'\"") for name, value in defaults.items()}
    partition = defaults.get("slurm_partition") or names or options.partition
    account = defaults.get("slurm_account") or options.account
    return Setup(
        directory,
        folder,
        minutes=costs.longest_limit_minutes(plan),
        mem_mb=resources.mem_mb,
        jobs=int(profile["jobs"]),
        allocation=_allocation(options),
        gres=defaults.get("gres", "gpu:1") if resources.gpu else "",
        constraint=defaults.get("constraint", ""),
        partition=partition or os.environ.get("SBATCH_PARTITION", ""),
        account=account or os.environ.get("SBATCH_ACCOUNT", ""),
        tries=int(profile.get("retries", 0)) + 1,
        arguments=more,
    )


if __name__ == "__main__":
    run_command(main)
