"""An executor on Slurm: jobs in arrays, answers and progress as files, states by `squeue`.

A job that was lost (killed, out of memory, its node gone) is submitted again, up to three times; one that was preempted
or reached its time limit is queued again, by itself or by Slurm. Jobs outlive the command that submitted them: the next
one adopts what lives. Ctrl-C cancels everything.
"""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from uuid import uuid4

from filelock import FileLock

from fairbench.errors import UserError
from fairbench.execution.cluster_options import SlurmOptions
from fairbench.execution.finished import is_finished
from fairbench.execution.probe import probing
from fairbench.execution.progress_file import read_progress
from fairbench.execution.slurm.attempt import Attempt
from fairbench.execution.slurm.job_file import LOCK, SubmittedJob, content_of, read_job, write_job
from fairbench.execution.slurm.queue import SECONDS, Queue
from fairbench.execution.slurm.submission import answer, answers, log_of, submit_array
from fairbench.execution.task import Advanced, Ended, Ending, Event, Task
from fairbench.execution.visibility import PATIENCE

LOSSES = 3
"""How often a run is submitted again whose job was lost."""

PROBE_MINUTES = 5

REMEMBERED_SECONDS = 240.0
"""For which `squeue` shows a job that is over, `MinJobAge` being 300 by default."""

LEAVING_SECONDS = 5.0
"""For jobs that have answered to be over."""


@dataclass(kw_only=True)
class _Job:
    task: Task
    submitted: SubmittedJob
    array: int
    waited: float | None = field(default_factory=time.monotonic)  # when it was last known to wait; None once it ran
    gone: float | None = None

    @property
    def folder(self) -> Path:
        return Path(self.submitted.folder)


class SlurmExecutor:
    """Jobs of one command.

    Args:
        options: of each job.
        work_dir: on a file system that the nodes share.
        device: of a task that leaves it open.
        say: told what people should know.

    Raises:
        UserError: where Slurm is not installed, or the folder cannot be written.
    """

    def __init__(self, options: SlurmOptions, *, work_dir: Path, device: str, say: Callable[[str], None]) -> None:
        self._options, self._device, self._say = options, device, say
        self._queue = Queue()
        command = uuid4().hex[:12]
        self._name = f"fairbench-{command}"
        self._folder = work_dir.absolute() / "slurm" / command
        try:
            self._folder.mkdir(parents=True)
        except OSError as error:
            raise UserError(f"Cannot write {self._folder}: {error.strerror or error}.") from error
        self._lock = FileLock(self._folder / LOCK)
        self._lock.acquire()
        self._live: dict[str, _Job] = {}
        self._at_once: dict[int, int] = {}
        self._arrays = count()
        self._proven = False
        self._told_of = False  # whether somebody was told to look into the folder
        self._looked = -float("inf")
        self._heard: dict[str, tuple[str, int, int]] = {}

    @property
    def idle(self) -> int:
        """How many more tasks the queue takes; none while those in it use all that may run at once."""
        return self._options.submitted - len(self._live) if self._spare > 0 else 0

    @property
    def _spare(self) -> int:
        """Jobs that may run beside those that there are: an array has a limit of its own and keeps it."""
        members = [job.array for job in self._live.values()]
        return self._options.parallel - sum(min(self._at_once[array], members.count(array)) for array in set(members))

    def submit(self, tasks: Sequence[Task]) -> None:
        """Adopt the jobs of tasks that have one, and submit the others in this order."""
        prepared = [replace(task, device=self._device) if task.device == "auto" else task for task in tasks]
        fresh = [task for task in prepared if not self._adopt(task)]
        if adopted := len(tasks) - len(fresh):
            self._say(f"{adopted} jobs of an earlier command go on.")
            self._proven = True  # they live there
        if fresh and not self._proven:
            self._prove(fresh[0])
        if fresh:
            self._submit([(task, 0) for task in fresh])

    def events(self, timeout: float) -> Iterator[Event]:
        """What happened since the last call, after `timeout` seconds."""
        time.sleep(timeout)
        answered = {folder: answers(folder) for folder in {job.folder for job in self._live.values()}}
        for job in list(self._live.values()):
            if job.submitted.job in answered[job.folder]:
                yield self._end(job, self._answered_by(job))
        if time.monotonic() - self._looked < SECONDS:
            return
        self._looked = time.monotonic()
        lost: list[tuple[Task, int]] = []
        for job in list(self._live.values()):
            yield from self._look_at(job, lost)
        if lost:
            self._submit(lost)

    def cancel(self) -> None:
        """Cancel every job, those of another command that still runs excepted."""
        adopted = [job.submitted.job for job in self._live.values() if job.folder != self._folder and self._owns(job)]
        self._queue.cancel(adopted, name=self._name)
        for job in self._live.values():
            if self._owns(job):
                job.task.folder.job.unlink(missing_ok=True)
        self._live.clear()
        self._lock.release()

    def close(self) -> None:
        """Cancel what a lost node may have kept, and remove what was stored for the jobs."""
        end = time.monotonic() + LEAVING_SECONDS
        while (left := self._queue.named(self._name)) and time.monotonic() < end:
            time.sleep(0.5)  # a job that has answered is over in a moment
        if left:
            self._queue.cancel(name=self._name)
        self._lock.release()
        if not self._told_of:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _owns(self, job: _Job) -> bool:
        return job.folder == self._folder or not job.submitted.driver_lives

    def _adopt(self, task: Task) -> bool:
        """Whether a job that lives does this task; one that does something else, and nobody watches, is cancelled."""
        found = read_job(task.folder.job)
        known = self._queue.jobs.get(found.job) if found else None
        if found is None or known is None or not known.lives or found.folder == str(self._folder):
            return False
        if found.content != content_of(task) or task.fresh:
            if not found.driver_lives:
                self._queue.cancel([found.job])
            return False
        array = next(self._arrays)
        self._at_once[array] = 1
        self._live[task.key] = _Job(task=replace(task, order=found.order), submitted=found, array=array)
        return True

    def _submit(self, tasks: Sequence[tuple[Task, int]]) -> None:
        """Jobs for tasks, each with the number of jobs that it has lost."""
        array = next(self._arrays)
        self._at_once[array] = max(self._spare, 1)
        calls = [
            Attempt(task, minutes=self._options.minutes, warning_seconds=self._options.warning_seconds)
            for task, _ in tasks
        ]
        ids = submit_array(calls, self._options, folder=self._folder, name=self._name, at_once=self._at_once[array])
        for (task, lost), job in zip(tasks, ids, strict=True):
            submitted = SubmittedJob(
                job=job, folder=str(self._folder), order=task.order, content=content_of(task), lost=lost
            )
            write_job(task.folder.job, submitted)
            self._live[task.key] = _Job(task=task, submitted=submitted, array=array)
        self._queue.ask()

    def _look_at(self, job: _Job, lost: list[tuple[Task, int]]) -> Iterator[Event]:
        """How far a job is that runs; whether it is lost, which belongs to `lost` if it is to be submitted again."""
        known = self._queue.jobs.get(job.submitted.job)
        if known is not None and known.lives:
            job.gone = None
            job.waited = time.monotonic() if known.state == "PENDING" else None
            if known.state == "RUNNING":
                yield from self._progress(job)
            return
        if self._queue.problem or (known is not None and known.state == "COMPLETING"):
            return
        if not job.task.fresh and is_finished(job.task):  # another command may have taken the answer
            yield self._end(job, Ended(key=job.task.key, ending=Ending.DONE))
            return
        now, state = time.monotonic(), known.state if known else "gone"
        if state == "gone" and job.waited is not None and now - job.waited < REMEMBERED_SECONDS:
            state = "CANCELLED"  # one of an array that never ran leaves no trace; Slurm remembers every other
        job.gone = job.gone or now
        if now - job.gone < (PATIENCE if state in ("COMPLETED", "gone") else SECONDS):
            return  # its answer may not be visible yet
        task, times = job.task, job.submitted.lost
        if state == "PREEMPTED":
            lost.append((task, times))
        elif state == "CANCELLED":
            yield self._end(job, _failed(job, f"job {job.submitted.job} was cancelled"))
        elif times < LOSSES:
            self._say(f"{task.title}: job {job.submitted.job} was lost ({state}); it is submitted again.")
            lost.append((task, times + 1))
        else:
            advice = " Raise `minutes` in the executor options." if state == "TIMEOUT" else ""
            advice = " Raise `memory_gb` in the executor options." if state == "OUT_OF_MEMORY" else advice
            log, self._told_of = log_of(job.folder, job.submitted.job), True
            reason = f"{LOSSES + 1} jobs were lost, the last one as {state}.{advice} What it printed is in {log}."
            yield self._end(job, _failed(job, reason))

    def _answered_by(self, job: _Job) -> Ended:
        try:
            found = answer(job.folder, job.submitted.job)
        except UserError as error:
            self._told_of = True
            return _failed(job, str(error))
        assert isinstance(found, Ended)
        return found

    def _progress(self, job: _Job) -> Iterator[Advanced]:
        """What its attempt said last; nothing that another one left."""
        found = read_progress(job.task.folder.progress)
        if found is None or found.order != job.task.order or not found.stage:
            return
        said = (found.stage, found.done, found.total)
        if self._heard.get(job.task.key) != said:
            self._heard[job.task.key] = said
            yield Advanced(key=job.task.key, stage=found.stage, done=found.done, total=found.total)

    def _end(self, job: _Job, ended: Ended) -> Ended:
        del self._live[job.task.key]
        with contextlib.suppress(OSError):
            job.task.folder.job.unlink(missing_ok=True)
        return ended

    def _prove(self, task: Task) -> None:
        """Run a probe as a job.

        Raises:
            UserError: with what a worker cannot do there.
        """
        with probing(task.results, task.work_dir) as probe:
            (job,) = submit_array(
                [probe], self._options, folder=self._folder, name=self._name, at_once=1, minutes=PROBE_MINUTES
            )
            self._say(f"Waiting for job {job}, which tries folders and locks where the runs will be.")
            problem = self._answered(job)
        if problem:
            raise UserError(problem)
        self._proven = True

    def _answered(self, job: str) -> str:
        """What a probe says."""
        self._queue.ask()
        gone: float | None = None
        while job not in answers(self._folder):
            time.sleep(0.5)
            known = self._queue.jobs.get(job)
            if self._queue.problem or (known is not None and (known.lives or known.state == "COMPLETING")):
                continue
            gone = gone or time.monotonic()
            state = known.state if known else "gone"
            if time.monotonic() - gone >= (PATIENCE if state in ("COMPLETED", "gone") else SECONDS):
                return (
                    f"Job {job}, which tries folders and locks, ended as {state} without an answer. What it printed is "
                    f"in {log_of(self._folder, job)}: is that folder on a file system that the nodes share, and "
                    "fairbench installed there?"
                )
        return str(answer(self._folder, job))


def _failed(job: _Job, reason: str) -> Ended:
    return Ended(key=job.task.key, ending=Ending.FAILED, reason=reason)
