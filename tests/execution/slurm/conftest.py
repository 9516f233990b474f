"""A real Slurm of two nodes on this machine, started by and for the tests; nothing of the system's is touched."""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
ReturnToService=2
SlurmdParameters=config_overrides
SlurmdTimeout=4
KillWait=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=4 RealMemory=2000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=4 RealMemory=2000
PartitionName=main Nodes=ALL Default=YES MaxTime=60 PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=60 PriorityTier=10 PreemptMode=OFF
"""

SECONDS = 240.0
"""For whatever a test waits for; two cores may be busy with other tests."""


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Until a condition holds."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.1)


class Cluster:
    """What a test does to the cluster.

    Args:
        folder: of its configuration, state and logs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        munge = self._folder / "munge"
        munge.mkdir(mode=0o711)
        (munge / "key").write_bytes(os.urandom(1024))
        (munge / "key").chmod(0o600)
        for name in ("state", "spool-n1", "spool-n2"):
            (self._folder / name).mkdir()
        known = {"folder": self._folder, "host": socket.gethostname(), "user": getpass.getuser()}
        ports = [_free_port() for _ in range(3)]
        (self._folder / "slurm.conf").write_text(CONFIGURATION.format(**known, ports=ports))
        files = [f"--{name}={munge / name}" for name in ("key-file", "socket", "pid-file", "log-file", "seed-file")]
        files[0] = f"--key-file={munge / 'key'}"
        munged = self._run("munged", "--foreground", "--num-threads=2", *files)
        wait_for(lambda: (munge / "socket").exists() or munged.poll() is not None, "munge answers")
        assert munged.poll() is None, f"munged ended: {(munge / 'log-file').read_text()}"
        self._run("slurmctld", "-D", "-c")
        for node in ("n1", "n2"):
            self.start_node(node)

    def start_node(self, node: str) -> None:
        self._started[node] = self._run("slurmd", "-D", "-N", node)
        wait_for(lambda: self("sinfo", "-h", "-n", node, "-p", "main", "-t", "idle", "-o", "%D") == "1", "it is idle")

    def kill_node(self, node: str) -> None:
        """Its daemon is gone at once; what it had started runs on."""
        self._started[node].kill()
        self._started[node].wait()

    def stop(self) -> None:
        self("scancel", "--user", getpass.getuser())
        time.sleep(0.5)
        for process in reversed(self._started.values()):
            process.send_signal(signal.SIGTERM)
        for process in self._started.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()  # a daemon waits for steps that a killed one has lost
            process.wait()

    def __call__(self, *command: str) -> str:
        """What a command of Slurm answers."""
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    def jobs(self) -> dict[str, str]:
        """States by id, of all jobs since the start."""
        lines = self("squeue", "-h", "-r", "--states=all", "-o", "%i %T").splitlines()
        return dict(line.split(maxsplit=1) for line in lines)

    def let_go_on(self, job: str) -> None:
        """Start a job that was queued again, which Slurm does after two minutes; its administrator may."""
        wait_for(lambda: self.jobs().get(job) in {"PENDING", "RUNNING"}, f"{job} is queued again")
        wait_for(lambda: "BeginTime" in self("squeue", "-h", "-j", job, "-o", "%r"), f"{job} waits for its time")
        self("scontrol", "update", f"JobId={job}", "StartTime=now")
        wait_for(lambda: self.jobs().get(job) != "PENDING", f"{job} starts again")

    def _run(self, *command: str) -> "subprocess.Popen[bytes]":
        started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._started.setdefault(command[0], started)
        return started


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def slurm() -> Iterator[Cluster]:
    """Two idle nodes, of four processors in name, whose commands this process and its children speak to."""
    pytest.importorskip("submitit", reason="submitit is not installed (pip install 'fairbench[slurm]')")
    if missing := [name for name in ("slurmctld", "slurmd", "sbatch", "munged") if shutil.which(name) is None]:
        pytest.skip(f"{missing[0]} is not installed (Debian: slurm-wlm munge)")
    # Munge insists on parents that everybody may enter, which pytest's own folders are not.
    with (
        tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as name,
        pytest.MonkeyPatch.context() as patch,
    ):
        folder = Path(name)
        folder.chmod(0o755)
        cluster = Cluster(folder)
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture
def waiting() -> Callable[[Callable[[], object], str], None]:
    """Waits until a condition holds, and says what never came."""
    return wait_for
