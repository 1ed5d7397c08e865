"""A user on a login node who runs a study by scripts/submit.py."""

import re
import subprocess
import sys
from dataclasses import dataclass, field

import yaml

from pulseveil.core import paths
from tests.slurm.cluster import wait_until
from tests.slurm.conftest import ROOT, OnCluster
from tests.workflow.conftest import LIGHT

# One small job, with an early status check.
WINDOWS = paths.WINDOWS.format(study="light", cohort="simulated", windows="detector")
SOON = ("--retries", "1", "--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "5")
MINUTES = ("--minutes", "60", "--grace", "10")


@dataclass(frozen=True)
class User:
    """A user on a login node, in a directory with a study file."""

    place: OnCluster
    variables: dict[str, str] = field(default_factory=dict)

    def submit(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run scripts/submit.py as from a shell."""
        command = [sys.executable, str(ROOT / "scripts" / "submit.py"), "--configfile", "study.yaml"]
        return subprocess.run(
            [*command, *arguments],
            env=self.place.login | self.variables,
            cwd=self.place.directory,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def submitted(self, *arguments: str) -> str:
        """Submit a controller; returns its job id."""
        done = self.submit(*MINUTES, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        found = re.match(r"controller: job (\d+); its log is ", done.stdout)
        assert found, done.stdout
        return found[1]

    def end(self, job: str, seconds: float = 120) -> dict[str, str]:
        """Wait for the end of a job; returns SLURM's fields of it."""
        wait_until(
            lambda: job not in self.place.cluster.squeue("--format=%A"), seconds, "the end of the controller"
        )
        text = self.place.cluster.run("scontrol", "show", "job", "--oneliner", job).stdout
        return dict(re.findall(r"(\w+)=(\S*)", text))

    def cost(self) -> str:
        """What a fault cost: tasks that did not end well, and jobs beyond one per task."""
        ends: dict[str, list[str]] = {}
        for line in self.place.cluster.squeue("--states=all", "--format=%k|%T|%Z"):
            task, _, rest = line.partition("|")
            state, _, where = rest.partition("|")
            if where == str(self.place.directory) and task.startswith("rule_"):
                ends.setdefault(task, []).append(state)
        lost = sum("COMPLETED" not in states for states in ends.values())
        return f"{len(ends)} tasks, lost {lost}, run twice {sum(len(states) > 1 for states in ends.values())}"

    def words(self, job: str) -> str:
        """Output of the controller."""
        folder = self.place.directory / ".snakemake" / "controller" / "light"
        return "".join(path.read_text() for path in folder.glob(f"{job}_*_log.err"))


def user(place: OnCluster, **variables: str) -> User:
    (place.directory / "study.yaml").write_text(yaml.safe_dump(LIGHT))
    return User(place, variables)
