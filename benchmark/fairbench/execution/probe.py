"""Whether a worker on another machine can do what a run needs, before any is started: one sentence if not.

    with probing(results, work_dir) as probe:
        problem = elsewhere(probe)      # runs `probe()` on a worker; "" if nothing is wrong

Folders must be the same there, writable, and have locks that exclude who holds them here.
"""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

from filelock import FileLock

from fairbench.atomic import check_writable
from fairbench.errors import UserError
from fairbench.execution.file_locks import ADVICE, is_locked, lock_problem
from fairbench.execution.visibility import visible


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What is tried.

    Attributes:
        results: folder of the outcomes.
        work_dir: folder of checkpoints and locks.
        token: a file in it whose lock is held by who asks.
        asker: the machine of who asks.
        version: of fairbench there.
    """

    results: Path
    work_dir: Path
    token: Path
    asker: str
    version: str = field(default_factory=lambda: version("fairbench"))

    def __call__(self) -> str:
        """What is wrong on this machine; "" if nothing."""
        here = socket.gethostname()
        if (found := version("fairbench")) != self.version:
            return f"fairbench is {found} on {here} ({sys.executable}) and {self.version} on {self.asker}."
        if not visible([self.token]):
            return (
                f"The worker on {here} does not see {self.token}, which {self.asker} has written: --work-dir, "
                "--results and --data-dir must lie on a file system that all machines share."
            )
        try:
            problem = self._tried(here)
        except UserError as error:
            problem = str(error)
        except OSError as error:
            problem = f"{self.work_dir} cannot be used ({error.strerror or error}). {ADVICE}"
        return problem and f"On {here}: {problem}"

    def _tried(self, here: str) -> str:
        for folder in (self.results, self.work_dir):
            check_writable(folder)
        if problem := lock_problem(self.work_dir):
            return problem
        with self.token.open("r+b") as file:
            if is_locked(file.fileno()):
                return ""
        return f"{here} was given a lock in {self.work_dir} that {self.asker} holds. {ADVICE}"


@contextmanager
def probing(results: Path, work_dir: Path) -> Iterator[Probe]:
    """A probe, whose lock is held for as long as this lasts.

    Raises:
        UserError: if this machine cannot do it itself.
    """
    check_writable(work_dir)
    if problem := lock_problem(work_dir):
        raise UserError(problem)
    token = work_dir / f".probe-{uuid4().hex[:8]}"
    try:
        with FileLock(token):
            yield Probe(results=results, work_dir=work_dir, token=token, asker=socket.gethostname())
    finally:
        token.unlink(missing_ok=True)
