"""Which job of Slurm computes a run: `job.json` in its work folder, so that the next `run-all` knows what lives.

job = read_job(folder.job)
job.driver_lives            # whether the command that submitted it still watches it
"""

import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock, Timeout

from fairbench.atomic import atomic
from fairbench.errors import UserError
from fairbench.execution.task import Task
from fairbench.identity import content_key
from fairbench.typed_json import read_object

SCHEMA = 1
LOCK = "lock"


@dataclass(frozen=True, kw_only=True)
class SubmittedJob:
    """A job and what it computes.

    Attributes:
        job: its id, `123` or `123_4`.
        folder: of the command that submitted it, where its answer will lie.
        order: that it carries out, see `fairbench.execution.task.Task`.
        content: what it does; see `content_of`.
        lost: how many jobs before it were lost.
    """

    job: str
    folder: str
    order: str
    content: str
    lost: int = 0

    @property
    def driver_lives(self) -> bool:
        """Whether the command that submitted it still watches it."""
        path = Path(self.folder) / LOCK
        if not path.exists():
            return False
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        except OSError:
            return False
        lock.release()
        return False


def content_of(task: Task) -> str:
    """What a task does, so that a job which does the same need not be submitted twice."""
    folders = [str(folder) for folder in (task.results, task.work_dir, task.data_dir)]
    plugins = [[str(plugin.file.path), plugin.code_sha256] for plugin in task.plugins]
    return content_key(
        {
            "task": task.key,
            "judge": task.judge,
            "device": task.device,
            "folders": folders,
            "plugins": plugins,
            "version": version("fairbench"),
        }
    )


def write_job(path: Path, job: SubmittedJob) -> None:
    """Atomically.

    Raises:
        UserError: if it cannot be written.
    """
    with atomic(path) as temporary:
        temporary.write_text(json.dumps({"schema": SCHEMA, **asdict(job)}), encoding="utf-8")


def read_job(path: Path) -> SubmittedJob | None:
    """The job; None if there is none, or none that can be read."""
    try:
        return read_object(SubmittedJob, path.read_bytes(), origin=str(path), schema=SCHEMA)
    except (OSError, UserError):
        return None
