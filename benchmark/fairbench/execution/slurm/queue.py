"""What Slurm says of our jobs, by `squeue`: `sacct` needs a database that many sites lack.

queue = Queue()
queue.jobs["123_4"]             # QueuedJob(state='PENDING', reason='Resources')
"""

import getpass
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fairbench.errors import UserError

SECONDS = 5.0
"""Between two questions; a busy `slurmctld` answers many users."""

LIVE = frozenset(
    {
        "PENDING",
        "RUNNING",
        "CONFIGURING",
        "SUSPENDED",
        "REQUEUED",
        "REQUEUE_FED",
        "REQUEUE_HOLD",
        "RESIZING",
        "SIGNALING",
        "SPECIAL_EXIT",
        "STAGE_OUT",
        "STOPPED",
    }
)
"""States of jobs that will go on; those of COMPLETING jobs are on their way out."""

_TIMEOUT = 60
"""Seconds for an answer."""


@dataclass(frozen=True, kw_only=True)
class QueuedJob:
    """A job, as Slurm says it.

    Attributes:
        state: such as PENDING.
        reason: why it waits, or how it ended.
    """

    state: str
    reason: str

    @property
    def lives(self) -> bool:
        """Whether it runs or will."""
        return self.state in LIVE


class Queue:
    """Our jobs, those that ended a few minutes ago included.

    Raises:
        UserError: where Slurm is not installed.
    """

    def __init__(self) -> None:
        if missing := [name for name in ("sbatch", "squeue", "scancel") if shutil.which(name) is None]:
            raise UserError(
                f"--executor slurm needs the commands of Slurm, and {missing[0]} is not found here; run it on a login "
                "node, or compute on this machine with --executor local."
            )
        self._known: dict[str, QueuedJob] = {}
        self._asked = -float("inf")
        self.problem = ""

    @property
    def jobs(self) -> Mapping[str, QueuedJob]:
        """By id, `123` or `123_4`; what was known before while Slurm does not answer."""
        if time.monotonic() - self._asked >= SECONDS:
            self.ask()
        return self._known

    def ask(self) -> None:
        """Now; `problem` says what went wrong, and is "" if nothing did."""
        self._asked = time.monotonic()
        command = ["squeue", "--noheader", "--array", "--states=all", f"--user={user()}", "--format=%i|%T|%r"]
        done = _called(command)
        self.problem = done if isinstance(done, str) else ""
        if not isinstance(done, str):
            split = (line.split("|", 2) for line in done.stdout.splitlines() if line.count("|") >= 2)
            self._known = {job: QueuedJob(state=state, reason=reason) for job, state, reason in split}

    def named(self, name: str) -> bool:
        """Whether a job with that name runs or will, asked now."""
        command = ["squeue", "--noheader", f"--user={user()}", f"--name={name}", "--states=PENDING,RUNNING,SUSPENDED"]
        done = _called(command)
        return isinstance(done, str) or bool(done.stdout.strip())

    def cancel(self, jobs: Iterable[str] = (), *, name: str = "") -> None:
        """Cancel jobs by id, and all that have a name; those that are over already are no error."""
        if name:
            _called(["scancel", f"--user={user()}", f"--name={name}"])
        ids = list(jobs)
        for first in range(0, len(ids), 500):
            _called(["scancel", *ids[first : first + 500]])


def array_limit() -> int:
    """How many jobs an array of this site may have; Slurm's default where it does not say."""
    done = _called(["scontrol", "show", "config"])
    found = None if isinstance(done, str) else re.search(r"^MaxArraySize\s*=\s*(\d+)", done.stdout, flags=re.MULTILINE)
    return max(int(found[1]), 1) if found else 1001


def user() -> str:
    """Whose jobs ours are."""
    return os.environ.get("SLURM_JOB_USER") or getpass.getuser()


def _called(command: list[str]) -> "subprocess.CompletedProcess[str] | str":
    """What a command of Slurm answered, or what went wrong."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]}: {error}"
    return done if done.returncode == 0 else f"{command[0]}: {done.stderr.strip()}"
