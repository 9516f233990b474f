"""Runs that wait in the queue of Slurm, for `fairbench status`."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from fairbench.errors import UserError
from fairbench.execution.plan import RunStatus, State
from fairbench.execution.slurm.job_file import read_job
from fairbench.execution.slurm.queue import Queue
from fairbench.outcomes.work_folder import WorkFolder

_WAITING = (State.NOT_RUN, State.INTERRUPTED)


def with_queued(found: Iterable[RunStatus], work_dir: Path) -> list[RunStatus]:
    """The states, with those of runs whose job lives; as they are where no run has a job."""
    found = list(found)
    jobs = {one.run.key: read_job(WorkFolder.of(one.run, work_dir).job) for one in found if one.state in _WAITING}
    submitted = {key: job.job for key, job in jobs.items() if job is not None}
    if not submitted:
        return found
    try:
        queue = Queue()
    except UserError:
        elsewhere = "job {} of Slurm was submitted for it, which cannot be asked here"
        return [_said(one, submitted, reason=elsewhere, state=one.state) for one in found]
    living = {key: job for key, job in submitted.items() if job in queue.jobs and queue.jobs[job].lives}
    return [
        _said(one, living, reason=f"job {{}}: {queue.jobs[living[one.run.key]].reason}", state=State.QUEUED)
        if one.run.key in living
        else one
        for one in found
    ]


def _said(one: RunStatus, jobs: dict[str, str], *, reason: str, state: State) -> RunStatus:
    job = jobs.get(one.run.key)
    return one if job is None else replace(one, state=state, reason=reason.format(job))
