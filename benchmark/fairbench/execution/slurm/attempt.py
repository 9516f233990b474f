"""What a job of Slurm executes: a task, until it is done or the job is at its end.

submitit calls `checkpoint` when Slurm warns the job (of its time limit, or because somebody else needs the node),
stores what that returns, and queues the job again. The work folder holds everything, so the next attempt just goes on.
"""

import gc
import time
from collections.abc import Mapping

from submitit.core.utils import DelayedSubmission

from fairbench.errors import UserError
from fairbench.execution.freed_memory import keep_freed_memory
from fairbench.execution.task import Ended, Task
from fairbench.progress import silent

ATTEMPTS = 2
"""That may reach the time limit, one after the other, without anything new to go on from."""

EARLY_SECONDS = 90.0
"""Slurm may warn a job a minute earlier than it was asked to."""


class Attempt:
    """A callable that can be stored.

    Args:
        task: to execute.
        minutes: time limit of the job.
        warning_seconds: how long before it the job is warned.
        fruitless: attempts that have reached the limit one after the other without anything new.
    """

    def __init__(self, task: Task, *, minutes: int, warning_seconds: int, fruitless: int = 0) -> None:
        self.task = task
        self.minutes, self.warning_seconds, self.fruitless = minutes, warning_seconds, fruitless
        self._began = 0.0
        self._found: Mapping[str, int] | None = None  # once it runs

    def __call__(self) -> Ended:
        """From wherever the work folder says the run is."""
        from fairbench.execution.worker import execute  # noqa: PLC0415  imports torch

        self._began = time.monotonic()
        self._found = standing(self.task)
        keep_freed_memory()
        gc.freeze()
        return execute(self.task, silent)

    def checkpoint(self) -> DelayedSubmission:
        """What the job does when it runs again.

        Raises:
            UserError: if it reached its limit once more and there is nothing new to go on from.
        """
        fruitless = self.fruitless
        ran, allowed = time.monotonic() - self._began, 60 * self.minutes - self.warning_seconds - EARLY_SECONDS
        if self._found is not None and ran >= allowed:  # not because somebody else needs the node
            fruitless = fruitless + 1 if standing(self.task) == self._found else 0
        if fruitless >= ATTEMPTS:
            raise UserError(
                f"{ATTEMPTS} jobs of {self.minutes} minutes, one after the other, ended before another epoch was done "
                "or another batch of images attacked; raise `minutes` in the executor options."
            )
        following = Attempt(self.task, minutes=self.minutes, warning_seconds=self.warning_seconds, fruitless=fruitless)
        return DelayedSubmission(following)


def standing(task: Task) -> Mapping[str, int]:
    """Changes whenever there is more to go on from: an epoch, a checkpoint, a batch of verdicts."""
    folder = task.folder
    kept = [folder.state, folder.summary, *sorted(folder.attacks.glob("*.jsonl"))]
    return {path.name: path.stat().st_mtime_ns for path in kept if path.exists()}
