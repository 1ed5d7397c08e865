"""Fixtures: a SLURM cluster without accounting, another one with it, and Snakemake on either."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from pulseveil.cluster import stand_ins
from tests.slurm.cluster import Cluster, Shape, missing_binaries

ROOT = Path(__file__).resolve().parents[2]


def require(*, accounting: bool = False) -> None:
    """Skip the test on a machine that cannot run SLURM; continuous integration must be able to."""
    missing = missing_binaries(accounting=accounting)
    if not missing and os.geteuid() == 0:
        return
    message = f"not found: {', '.join(missing)} (make system)" if missing else "SLURM's daemons need root"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@contextmanager
def running(shape: Shape) -> Iterator[Cluster]:
    # Not under pytest's folder, whose long names would not fit into the path of a socket.
    with (
        tempfile.TemporaryDirectory(prefix="pulseveil-slurm-") as folder,
        Cluster(Path(folder), shape) as made,
    ):
        yield made


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster without accounting."""
    require()
    with running(Shape()) as made:
        yield made


@pytest.fixture(scope="session")
def accounting_cluster() -> Iterator[Cluster]:
    """A cluster with accounting; root is in the account `lab`."""
    require(accounting=True)
    with running(Shape(nodes=1, cpus=4, accounting=True)) as made:
        yield made


@dataclass(frozen=True)
class OnCluster:
    """Runs commands and Snakemake in `directory`, with the stand-ins for SLURM's commands."""

    cluster: Cluster
    directory: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def login(self) -> dict[str, str]:
        """Environment of a user on a login node, with SLURM's own commands."""
        return self.cluster.environment | {"PYTHONPATH": str(ROOT / "workflow")}

    @property
    def environment(self) -> dict[str, str]:
        """Environment with the stand-ins."""
        return stand_ins.install(self.directory / "commands", environment=self.login)

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command."""
        process = subprocess.Popen(
            command,
            env=self.environment,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def end(self) -> None:
        """Kill what a failed test left running."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command, which must end within a minute."""
        return finished(self.start(*command), seconds=60)

    def snakemake(self, snakefile: Path, *arguments: str) -> subprocess.Popen[str]:
        """Start Snakemake with the profile for SLURM, and with earlier status checks."""
        profile = ("--profile", str(ROOT / "profiles" / "slurm"))
        default = ("--workflow-profile", str(ROOT / "profiles" / "default"))
        sooner = ("--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "5")
        where = ("-s", str(snakefile), "--directory", str(self.directory))
        return self.start(sys.executable, "-m", "snakemake", *where, *profile, *default, *sooner, *arguments)

    def study(self, values: dict[str, object], *targets: str) -> subprocess.Popen[str]:
        """Start a study of PulseVeil: all of it, or the named files."""
        path = self.directory / "study.yaml"
        path.write_text(yaml.safe_dump(values))
        return self.snakemake(ROOT / "Snakefile", *targets, "--configfile", str(path))


def finished(process: subprocess.Popen[str], *, seconds: float) -> subprocess.CompletedProcess[str]:
    """Wait for the end of a process; after `seconds` it is interrupted, so that it cancels its jobs."""
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        time.sleep(2)
        os.killpg(process.pid, signal.SIGKILL)
        output, errors = process.communicate()
        pytest.fail(f"not finished after {seconds} s:\n{output}\n{errors}")
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


@contextmanager
def working(cluster: Cluster, directory: Path) -> Iterator[OnCluster]:
    here = OnCluster(cluster, directory)
    try:
        yield here
    finally:
        here.end()


@pytest.fixture
def on_cluster(cluster: Cluster, tmp_path: Path) -> Iterator[OnCluster]:
    """An empty directory on the cluster without accounting."""
    with working(cluster, tmp_path) as here:
        yield here


@pytest.fixture
def on_accounting_cluster(accounting_cluster: Cluster, tmp_path: Path) -> Iterator[OnCluster]:
    """An empty directory on the cluster with accounting."""
    with working(accounting_cluster, tmp_path) as here:
        yield here
