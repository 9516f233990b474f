"""Executing a plan: what is missing is computed, in an order that respects prerequisites, whatever else goes wrong.

The runner decides and listens; an executor computes. One failure never stops the rest: runs that need a failed one are
failed with that reason, all others go on.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fairbench.execution.plan import RunStatus, State, run_status
from fairbench.execution.task import Advanced, Ended, Ending, Executor, Rerun, Task
from fairbench.outcomes.work_folder import WorkFolder
from fairbench.protocol.run import Run

POLL_SECONDS = 0.5
BUSY_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Where:
    """What all tasks of an execution share: folders, and files with methods.

    Attributes:
        results: outcomes.
        work_dir: checkpoints, partial attacks, logs.
        data_dir: downloaded datasets; the states of runs do not depend on it.
        plugins: files whose methods must be known.
        trackers: who watches the runs.
    """

    results: Path
    work_dir: Path
    data_dir: Path = Path("data")
    plugins: tuple[Path, ...] = ()
    trackers: tuple[str, ...] = ()


def run_statuses(plan: Iterable[Run], where: Where) -> list[RunStatus]:
    """The state of every run of a plan; what waits for a failed prerequisite says so."""
    found: dict[str, RunStatus] = {}
    for run in plan:
        one = run_status(run, results=where.results, work_dir=where.work_dir)
        for _, needed in run.prerequisites:
            other = found[needed.key]
            if one.state is State.NOT_RUN and other.state is State.FAILED and not other.trained:
                one = replace(one, reason=f"it needs {needed.title}, which failed: {other.reason}")
        found[run.key] = one
    return list(found.values())


def needed_tasks(found: Iterable[RunStatus], where: Where, *, rerun: Rerun) -> list[Task]:
    """What has to be computed, in the plan's order.

    A run whose outcomes came from elsewhere is trained again, and not judged, if another one needs its weights.
    """
    tasks: dict[str, Task] = {}
    known = {one.run.key: one for one in found}
    for one in known.values():
        if _repeated(one, rerun):
            tasks[one.run.key] = _task(one.run, where, fresh=True)
        elif (
            one.state in (State.NOT_RUN, State.INTERRUPTED, State.RUNNING, State.LOWER_TIER)
            or _crashed(one, where)
            or (one.state is State.UNREADABLE and rerun == "failed")
        ):
            tasks[one.run.key] = _task(one.run, where)
    for key in reversed(known):  # dependants before what they need, so that needs of needs are found
        if key in tasks and (tasks[key].fresh or not known[key].trained):
            for _, run in known[key].run.prerequisites:
                if run.key not in tasks and not known[run.key].trained and known[run.key].state is State.DONE:
                    tasks[run.key] = replace(_task(run, where), judge=False)
    return [tasks[key] for key in known if key in tasks]


def training_tasks(runs: Iterable[Run], where: Where) -> list[Task]:
    """Of runs that are to be trained and not evaluated, and of what they build on and is not trained here."""
    tasks: dict[str, Task] = {}

    def add(run: Run) -> None:
        if WorkFolder.of(run, where.work_dir).is_trained:
            return
        for _, needed in run.prerequisites:
            add(needed)
        tasks.setdefault(run.key, replace(_task(run, where), judge=False))

    for run in runs:
        add(run)
    return list(tasks.values())


def _repeated(one: RunStatus, rerun: Rerun) -> bool:
    if rerun == "always":
        return one.state is not State.RUNNING
    return rerun == "failed" and one.state is State.FAILED


def _crashed(one: RunStatus, where: Where) -> bool:
    """Failed without a stored outcome: it may well succeed now."""
    return one.state is State.FAILED and not one.run.result_file(where.results).exists()


def _task(run: Run, where: Where, *, fresh: bool = False) -> Task:
    return Task(
        run=run,
        results=where.results,
        work_dir=where.work_dir,
        data_dir=where.data_dir,
        plugins=where.plugins,
        trackers=where.trackers,
        fresh=fresh,
    )


class Runner:
    """Feeds tasks to an executor until all have ended.

    Args:
        executor: what computes.
        started: told when a task starts.
        advanced: told how far a task is.
        ended: told how a task ended.
    """

    def __init__(
        self,
        executor: Executor,
        *,
        started: Callable[[Task], None],
        advanced: Callable[[Advanced], None],
        ended: Callable[[Task, Ended], None],
    ) -> None:
        self._executor = executor
        self._started, self._advanced, self._ended = started, advanced, ended

    def run(self, tasks: Iterable[Task], *, reasons: Mapping[str, str] | None = None) -> dict[str, Ended]:
        """Compute all tasks; how each one ended, by key. Ctrl-C cancels the executor and is raised again.

        Args:
            tasks: in order; prerequisites may come in any place.
            reasons: why runs that are no task have no weights, by key.
        """
        self._reasons = reasons or {}
        waiting = {task.run.key: task for task in tasks}
        running: dict[str, Task] = {}
        endings: dict[str, Ended] = {}
        not_before: dict[str, float] = {}
        try:
            while waiting or running:
                for task in self._ready(waiting, running, endings, not_before):
                    running[task.run.key] = waiting.pop(task.run.key)
                    self._executor.submit(task)
                    self._started(task)
                for event in self._executor.events(POLL_SECONDS):
                    if isinstance(event, Advanced):
                        self._advanced(event)
                        continue
                    task = running.pop(event.key)
                    if event.ending is Ending.BUSY:  # somebody else's run: look again until it is done
                        waiting[event.key] = replace(task, fresh=False)  # what they compute now is fresh enough
                        not_before[event.key] = time.monotonic() + BUSY_SECONDS
                        continue
                    endings[event.key] = event
                    self._ended(task, event)
        except BaseException:
            self._executor.cancel()
            raise
        return endings

    def _ready(
        self,
        waiting: dict[str, Task],
        running: dict[str, Task],
        endings: dict[str, Ended],
        not_before: dict[str, float],
    ) -> list[Task]:
        """Tasks that can start now, as many as the executor takes; those that never can are ended."""
        ready: list[Task] = []
        for key, task in list(waiting.items()):
            if len(ready) == self._executor.idle:
                break
            missing = [run for run in _needs(task) if _lacks(run, task, waiting | running)]
            pending = [run for run in missing if run.key in waiting or run.key in running]
            if missing and not pending:
                failed = missing[0]
                known = endings[failed.key].reason if failed.key in endings else self._reasons.get(failed.key)
                reason = f"it needs {failed.title}, which has no weights: {known or 'it was not run'}"
                ended = Ended(key=key, ending=Ending.FAILED, reason=reason)
                endings[key] = ended
                self._ended(waiting.pop(key), ended)
            elif not missing and time.monotonic() >= not_before.get(key, 0.0):
                ready.append(task)
        return ready


def _needs(task: Task) -> list[Run]:
    """Whose weights a task reads: nobody's if it is trained and only lacks its evaluation."""
    if WorkFolder.of(task.run, task.work_dir).is_trained and not task.fresh:
        return []
    return [run for _, run in task.run.prerequisites]


def _lacks(run: Run, task: Task, pending: dict[str, Task]) -> bool:
    """Whether the weights of a prerequisite are still missing, or about to be replaced."""
    about_to = run.key in pending and pending[run.key].fresh
    return about_to or not WorkFolder.of(run, task.work_dir).is_trained
