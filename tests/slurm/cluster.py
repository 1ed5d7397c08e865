"""A real SLURM cluster on this machine, in a temporary directory, for tests."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BINARIES = ("munged", "munge", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol")
ACCOUNTING_BINARIES = ("slurmdbd", "sacct", "sacctmgr", "mariadbd", "mariadb-install-db", "mariadb-admin")
TAG = "PULSEVEIL_TEST_CLUSTER"
SEARCH_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def missing_binaries(*, accounting: bool = False) -> list[str]:
    """Programs that a cluster needs and this machine lacks."""
    needed = BINARIES + (ACCOUNTING_BINARIES if accounting else ())
    return [name for name in needed if shutil.which(name, path=SEARCH_PATH) is None]


def free_ports(count: int) -> list[int]:
    """Free TCP ports, below the range that the kernel gives to outgoing connections."""
    ports: list[int] = []
    for port in random.sample(range(20000, 32000), 2000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise RuntimeError(f"{count} free TCP ports not found")


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Return as soon as `condition` holds; raises TimeoutError with the words of `what`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not after {seconds} s")
        time.sleep(0.1)


def process_ids() -> list[int]:
    """All processes of this machine."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def environment_of(pid: int) -> list[str]:
    """Variables that a process was started with; empty for a process that has ended."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def has_open(pid: int, path: Path) -> bool:
    """Whether a process holds this file open."""
    try:
        return any(os.readlink(entry.path) == str(path) for entry in os.scandir(f"/proc/{pid}/fd"))
    except OSError:
        return False


def with_descendants(pids: list[int]) -> list[int]:
    """These processes, their children, and so on."""
    parents: dict[int, list[int]] = {}
    for pid in process_ids():
        try:
            after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(after_name[1]), []).append(pid)
    found: list[int] = []
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.append(pid)
            waiting += parents.get(pid, [])
    return found


def kill(pids: list[int], number: int = signal.SIGKILL) -> None:
    """Send a signal to processes; some of them may have ended."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


@dataclass(frozen=True)
class Shape:
    """Configured hardware of the cluster; with accounting, root belongs to the account `lab`.

    gpu_types: type of the GPUs of each node, which is a feature of the node as well; empty for GPUs without.
    """

    nodes: int = 2
    cpus: int = 16
    memory_mb: int = 64000
    gpus: int = 2
    accounting: bool = False
    gpu_types: tuple[str, ...] = ()

    @property
    def node_names(self) -> list[str]:
        """n1, n2, ..."""
        return [f"n{number}" for number in range(1, self.nodes + 1)]

    def gpu_type(self, node: str) -> str:
        """Type of a node's GPUs, or an empty string."""
        return dict(zip(self.node_names, self.gpu_types, strict=False)).get(node, "")


class Cluster:
    """Daemons of one cluster on 127.0.0.1; use it as a context manager, which stops them all."""

    def __init__(self, directory: Path, shape: Shape | None = None) -> None:
        self.directory = directory.resolve()
        self.shape = shape or Shape()
        names = ["slurmctld", "slurmdbd", "mariadbd", *self.shape.node_names]
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def environment(self) -> dict[str, str]:
        """Variables for programs that use this cluster and no other cluster."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
        return inherited | {
            "PATH": SEARCH_PATH,
            "SLURM_CONF": str(self.directory / "slurm.conf"),
        }

    def run(self, *command: str, check: bool = True, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a client command of SLURM to its end."""
        done = subprocess.run(
            command,
            env=self.environment,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}: {done.stderr}")
        return done

    def squeue(self, *arguments: str) -> list[str]:
        """The lines of `squeue`, without its heading."""
        return self.run("squeue", "--noheader", *arguments).stdout.splitlines()

    def mails(self, job: str) -> list[str]:
        """Subjects and addresses of the mails about a job, one line per mail."""
        path = self.directory / "mails"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if f"Job_id={job} " in line]

    def __enter__(self) -> Cluster:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def up(self) -> None:
        """Write the configuration and start all daemons; if one does not start, all are stopped."""
        try:
            self._write_files()
            self.start_daemon("munged")
            if self.shape.accounting:
                self.start_daemon("mariadbd")
                self.start_daemon("slurmdbd")
                self._add_accounts()
            self.start_daemon("slurmctld")
            for name in self.shape.node_names:
                self._launch_node(name)
            for name in self.shape.node_names:
                self._wait_for_node(name)
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """Stop all daemons and running jobs."""
        for name in self.shape.node_names:
            self.kill_node(name)
        # A cancelled job has KillWait seconds to end: longer than a cluster may last.
        own = f"SLURM_CONF={self.directory / 'slurm.conf'}"
        environments = {pid: environment_of(pid) for pid in process_ids()}
        kill([pid for pid, words in environments.items() if own in words and _is_job(words)])
        for name in ("slurmctld", "slurmdbd", "mariadbd", "munged"):
            self._stop(name, signal.SIGTERM)

    def kill_node(self, name: str) -> None:
        """End a node's daemon and its jobs at once, as a power cut would."""
        log = self._log(name)
        # The slurmstepd of a job overwrites its environment and its tag: it is found by its open log.
        steps = [pid for pid in process_ids() if has_open(pid, log) and pid != os.getpid()]
        # SIGSTOP first, so that no process starts another one before the list of its children is complete.
        kill(steps, signal.SIGSTOP)
        doomed = with_descendants([*steps, *self._tagged(name)])
        kill(doomed)
        self._stop(name, signal.SIGKILL)
        wait_until(lambda: not any(has_open(pid, log) for pid in doomed), 10, f"end of {name}")

    def start_node(self, name: str, *, without: Path | None = None) -> None:
        """Start a node's daemon and wait until slurmctld sees it; without: a folder that is empty there."""
        self._launch_node(name, without)
        self._wait_for_node(name)

    def kill_daemon(self, name: str) -> None:
        """End munged, mariadbd, slurmdbd or slurmctld at once, as a crash would.

        slurmctld then loses the changes of the last 5 s: new jobs are lost, and their ids are given again.
        """
        self._stop(name, signal.SIGKILL)

    def stop_daemon(self, name: str) -> None:
        """End a daemon in order, as for maintenance: it saves its state."""
        self._stop(name, signal.SIGTERM)

    def pause(self, name: str) -> None:
        """Stop a daemon, which then takes connections without an answer, as under load."""
        kill(self._tagged(name), signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Continue a paused daemon with the messages that it was sent meanwhile."""
        kill(self._tagged(name), signal.SIGCONT)

    def start_daemon(self, name: str) -> None:
        """Start munged, mariadbd, slurmdbd or slurmctld and wait until it answers."""
        {
            "munged": self._start_munged,
            "mariadbd": self._start_mariadbd,
            "slurmdbd": self._start_slurmdbd,
            "slurmctld": self._start_slurmctld,
        }[name]()

    def _log(self, name: str) -> Path:
        return self.directory / "log" / f"{name}.log"

    def _tagged(self, name: str) -> list[int]:
        tag = f"{TAG}={self.directory}:{name}"
        return [pid for pid in process_ids() if tag in environment_of(pid)]

    def _launch(self, name: str, *command: str) -> None:
        # setpriv: a daemon ends with the thread that started it, even when that is killed.
        with (self.directory / "log" / f"{name}.out").open("ab") as output:
            self._children[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *command],
                env=self.environment | {TAG: f"{self.directory}:{name}"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _stop(self, name: str, number: int) -> None:
        kill(self._tagged(name), number)
        try:
            wait_until(lambda: self._ended(name), 10, f"end of {name}")
        except TimeoutError:
            kill(self._tagged(name))
            wait_until(lambda: self._ended(name), 10, f"end of {name}")

    def _ended(self, name: str) -> bool:
        child = self._children.get(name)
        return (child is None or child.poll() is not None) and not self._tagged(name)

    def _wait_for(self, name: str, *command: str, says: str = "", seconds: float = 30) -> None:
        def answers() -> bool:
            if self._ended(name):
                raise RuntimeError(f"{name} ended: {self._last_words(name)}")
            done = self.run(*command, check=False)
            return done.returncode == 0 and says in done.stdout

        try:
            wait_until(answers, seconds, name)
        except TimeoutError:
            raise RuntimeError(f"{name} does not answer: {self._last_words(name)}") from None

    def _last_words(self, name: str) -> str:
        files = [path for path in (self.directory / "log").glob(f"{name}.*") if path.exists()]
        return "\n".join("\n".join(path.read_text().splitlines()[-5:]) for path in files)

    def _start_munged(self) -> None:
        options = {
            "key-file": self.directory / "munge.key",
            "socket": self.directory / "munge.sock",
            "pid-file": self.directory / "munged.pid",
            "log-file": self._log("munged"),
            "seed-file": self.directory / "munged.seed",
        }
        # force: munged would refuse folders that other users cannot open.
        self._launch("munged", "munged", "--foreground", "--force", *_options(options))
        socket_option = f"--socket={self.directory / 'munge.sock'}"
        self._wait_for("munged", "munge", socket_option, "--no-input", "--output=/dev/null")

    def _start_mariadbd(self) -> None:
        data = self.directory / "database"
        # A starting server removes temporary tables of earlier ones: in /tmp also those of other clusters.
        common = {"user": "root", "datadir": data, "tmpdir": self.directory / "tmp"}
        if not data.exists():
            install = {**common, "auth-root-authentication-method": "normal"}
            self.run("mariadb-install-db", "--no-defaults", "--skip-test-db", *_options(install), seconds=120)
        options = {
            **common,
            "bind-address": "127.0.0.1",
            "port": self.ports["mariadbd"],
            "socket": self.directory / "database.sock",
            "pid-file": self.directory / "mariadbd.pid",
            "log-error": self._log("mariadbd"),
            # slurmdbd complains about smaller waits; flushing at each commit makes a slow disk slower.
            "innodb-lock-wait-timeout": 900,
            "innodb-flush-log-at-trx-commit": 0,
        }
        self._launch("mariadbd", "mariadbd", "--no-defaults", *_options(options))
        client = ("mariadb", "--no-defaults", f"--socket={self.directory / 'database.sock'}", "--user=root")
        self._wait_for("mariadbd", "mariadb-admin", *client[1:], "ping", seconds=60)
        grants = [
            f"GRANT ALL ON accounting.* TO slurm@'{host}' IDENTIFIED BY 'slurm';"
            for host in ("%", "localhost")
        ]
        self.run(*client, f"--execute=CREATE DATABASE IF NOT EXISTS accounting; {' '.join(grants)}")

    def _start_slurmdbd(self) -> None:
        self._launch("slurmdbd", "slurmdbd", "-D")
        self._wait_for("slurmdbd", "sacctmgr", "--noheader", "list", "cluster", seconds=60)

    def _start_slurmctld(self) -> None:
        self._launch("slurmctld", "slurmctld", "-D", "-f", str(self.directory / "slurm.conf"))
        self._wait_for("slurmctld", "scontrol", "ping", says="is UP")

    def _add_accounts(self) -> None:
        add = ("sacctmgr", "--immediate", "add")
        self.run(*add, "cluster", "test")
        self.run(*add, "account", "lab", "cluster=test")
        # The user root exists from the start, in the account root.
        self.run(*add, "user", "root", "account=lab")
        self.run("sacctmgr", "--immediate", "modify", "user", "root", "set", "defaultaccount=lab")

    def _launch_node(self, name: str, without: Path | None = None) -> None:
        spool = self.directory / "spool" / name
        (spool / "empty").mkdir(parents=True, exist_ok=True)
        daemon = ("slurmd", "-D", "-f", str(self.directory / "slurm.conf"), "-N", name)
        hide = f'mount --bind "{spool / "empty"}" "{without}" && exec "$@"'
        hidden = ("unshare", "--mount", "sh", "-c", hide, "sh") if without is not None else ()
        self._launch(name, *hidden, *daemon)

    def _wait_for_node(self, name: str) -> None:
        usable = ("idle", "mixed", "allocated", "completing")

        def seen() -> bool:
            state = self.run("sinfo", "-h", "-N", "-n", name, "-o", "%T", check=False).stdout
            return bool(state) and set(state.split()) <= set(usable)

        try:
            wait_until(seen, 30, f"node {name}")
        except TimeoutError:
            raise RuntimeError(f"node {name} does not come up: {self._last_words(name)}") from None

    def _write_files(self) -> None:
        for folder in ("devices", "log", "spool", "state", "tmp"):
            (self.directory / folder).mkdir(parents=True, exist_ok=True)
        key = self.directory / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        for name in self.shape.node_names:
            for number in range(self.shape.gpus):
                device = self.directory / "devices" / f"{name}-{number}"
                if not device.exists():
                    # The number of /dev/null: what matters to SLURM is only that it is a character device.
                    os.mknod(device, mode=0o666 | stat.S_IFCHR, device=os.makedev(1, 3))
        mail = self.directory / "mail"
        mail.write_text(f'#!/bin/sh\necho "$*" >> {self.directory / "mails"}\n')
        mail.chmod(0o755)
        (self.directory / "slurm.conf").write_text("\n".join(self._slurm_conf()) + "\n")
        (self.directory / "gres.conf").write_text("\n".join(self._gres_conf()) + "\n")
        if self.shape.accounting:
            path = self.directory / "slurmdbd.conf"
            # slurmdbd refuses a file with its password that others may read.
            path.touch(mode=0o600)
            path.write_text("\n".join(self._slurmdbd_conf()) + "\n")

    def _gres_conf(self) -> Iterator[str]:
        for name in self.shape.node_names:
            kind = self.shape.gpu_type(name)
            for number in range(self.shape.gpus):
                device = self.directory / "devices" / f"{name}-{number}"
                yield f"NodeName={name} Name=gpu{f' Type={kind}' if kind else ''} File={device}"

    def _slurm_conf(self) -> Iterator[str]:
        here, shape = self.directory, self.shape
        host = socket.gethostname().split(".")[0]
        yield "ClusterName=test"
        yield f"SlurmctldHost={host}(127.0.0.1)"
        yield f"SlurmctldPort={self.ports['slurmctld']}"
        yield "SlurmUser=root"
        yield "SlurmdUser=root"
        yield "AuthType=auth/munge"
        yield "CredType=cred/munge"
        # A requeued job starts once its old credential has expired: 120 s by default.
        yield f"AuthInfo=socket={here / 'munge.sock'},cred_expire=15"
        yield "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny"
        yield f"StateSaveLocation={here / 'state'}"
        yield f"SlurmdSpoolDir={here / 'spool'}/%n"
        yield f"SlurmctldPidFile={here / 'slurmctld.pid'}"
        yield f"SlurmdPidFile={here}/%n.pid"
        yield f"SlurmctldLogFile={self._log('slurmctld')}"
        yield f"SlurmdLogFile={here / 'log'}/%n.log"
        # No control groups: memory is sampled each second, and a job above its limit is killed.
        yield "ProctrackType=proctrack/linuxproc"
        yield "TaskPlugin=task/none"
        yield "JobAcctGatherType=jobacct_gather/linux"
        yield "JobAcctGatherFrequency=task=1"
        yield "JobAcctGatherParams=OverMemoryKill"
        # The machine need not have what the nodes promise.
        yield "SlurmdParameters=config_overrides"
        yield "SelectType=select/cons_tres"
        yield "SelectTypeParameters=CR_Core_Memory"
        yield "GresTypes=gpu"
        yield "MpiDefault=none"
        yield "SwitchType=switch/none"
        yield f"MailProg={here / 'mail'}"
        yield "PropagateResourceLimits=NONE"
        yield "SchedulerParameters=sched_interval=2,bf_interval=1,batch_sched_delay=0,sched_min_interval=0"
        yield "PriorityType=priority/basic"
        yield "PreemptType=preempt/partition_prio"
        yield "PreemptMode=REQUEUE"
        # Time for a training to store its state: SLURM's default.
        yield "KillWait=30"
        yield "CompleteWait=0"
        yield "InactiveLimit=0"
        yield "SlurmdTimeout=10"
        yield "MessageTimeout=10"
        yield "BatchStartTimeout=10"
        yield "UnkillableStepTimeout=60"
        yield "ReturnToService=2"
        yield "MinJobAge=300"
        if shape.accounting:
            yield "AccountingStorageType=accounting_storage/slurmdbd"
            yield "AccountingStorageHost=127.0.0.1"
            yield f"AccountingStoragePort={self.ports['slurmdbd']}"
            # Without it, the clients look for munged's socket at its usual place.
            yield f"AccountingStoragePass={here / 'munge.sock'}"
            yield "AccountingStorageTRES=gres/gpu"
            yield "AccountingStorageEnforce=associations,limits,qos"
        else:
            yield "AccountingStorageType=accounting_storage/none"
        for name in shape.node_names:
            kind = shape.gpu_type(name)
            gres = f" Gres=gpu:{f'{kind}:' if kind else ''}{shape.gpus}" if shape.gpus else ""
            gres += f" Feature={kind}" if kind else ""
            yield (
                f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={self.ports[name]}"
                f" CPUs={shape.cpus} RealMemory={shape.memory_mb}{gres}"
            )
        yield f"PartitionName=DEFAULT Nodes={','.join(shape.node_names)} DefaultTime=10:00 PriorityTier=10"
        yield "PartitionName=cpu Default=YES PreemptMode=OFF"
        yield "PartitionName=gpu PreemptMode=OFF"
        yield "PartitionName=short PreemptMode=OFF MaxTime=1:00 DefaultTime=1:00"
        yield "PartitionName=scavenge PriorityTier=1 PreemptMode=REQUEUE"
        yield "PartitionName=scavenge_cancel PriorityTier=1 PreemptMode=CANCEL"

    def _slurmdbd_conf(self) -> Iterator[str]:
        yield "AuthType=auth/munge"
        yield f"AuthInfo=socket={self.directory / 'munge.sock'}"
        yield f"DbdHost={socket.gethostname().split('.')[0]}"
        yield "DbdAddr=127.0.0.1"
        yield f"DbdPort={self.ports['slurmdbd']}"
        yield "CommunicationParameters=NoInAddrAny"
        yield "SlurmUser=root"
        yield f"LogFile={self._log('slurmdbd')}"
        yield f"PidFile={self.directory / 'slurmdbd.pid'}"
        yield "StorageType=accounting_storage/mysql"
        yield "StorageHost=127.0.0.1"
        yield f"StoragePort={self.ports['mariadbd']}"
        yield "StorageUser=slurm"
        yield "StoragePass=slurm"
        yield "StorageLoc=accounting"
        yield "CommitDelay=1"


def _options(values: dict[str, object]) -> list[str]:
    return [f"--{name}={value}" for name, value in values.items()]


def _is_job(environment: list[str]) -> bool:
    return any(variable.startswith("SLURM_JOB_ID=") for variable in environment)


@contextmanager
def limited(cluster: Cluster, entity: tuple[str, ...], limit: str) -> Iterator[None]:
    """Set a limit of accounting, such as `maxjobs=1`, within the block."""
    change = ("sacctmgr", "--immediate", "modify", *entity, "set")
    cluster.run(*change, limit)
    try:
        yield
    finally:
        cluster.run(*change, f"{limit.rpartition('=')[0]}=-1")
