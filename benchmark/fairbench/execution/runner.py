"""Executing a plan: what is missing is computed, in an order that respects prerequisites, whatever else goes wrong.

The runner decides and listens; an executor computes. One failure never stops the rest: runs that need a failed one are
failed with that reason, all others go on.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fairbench.execution.finished import is_finished
from fairbench.execution.plan import RunStatus, State, run_status
from fairbench.execution.shards import parts_of
from fairbench.execution.shipped_plugin import ShippedPlugin
from fairbench.execution.task import Advanced, Ended, Ending, Event, Executor, Rerun, Shard, Task, task_key
from fairbench.outcomes.work_folder import WorkFolder
from fairbench.protocol.run import Run

POLL_SECONDS = 0.5
BUSY_SECONDS = 1.0
"""How often the lock of a run is looked at that somebody else computes."""


@dataclass(frozen=True, kw_only=True)
class Where:
    """What all tasks of an execution share: folders, and files with methods.

    Attributes:
        results: outcomes.
        work_dir: checkpoints, partial attacks, logs.
        data_dir: downloaded datasets; the states of runs do not depend on it.
        plugins: files whose methods must be known; the states of runs do not depend on them.
        trackers: who watches the runs.
    """

    results: Path
    work_dir: Path
    data_dir: Path = Path("data")
    plugins: tuple[ShippedPlugin, ...] = ()
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
        results=where.results.absolute(),  # a worker may stand elsewhere
        work_dir=where.work_dir.absolute(),
        data_dir=where.data_dir.absolute(),
        plugins=where.plugins,
        trackers=where.trackers,
        fresh=fresh,
    )


class Runner:
    """Feeds tasks to an executor until all have ended.

    Args:
        executor: what computes.
        started: told when a task is handed over.
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
        self._waiting = {task.key: task for task in tasks}
        self._parts = parts_of(self._waiting.values())
        self._running: dict[str, Task] = {}
        self._endings: dict[str, Ended] = {}
        self._held: dict[str, float] = {}
        try:
            while self._waiting or self._running:
                self._hand_over(self._ready())
                for event in self._executor.events(POLL_SECONDS):
                    self._hear(event)
            self._executor.close()
        except BaseException:
            self._executor.cancel()
            raise
        return self._endings

    def _hand_over(self, ready: Sequence[Task]) -> None:
        for task in ready:
            self._running[task.key] = self._waiting.pop(task.key)
        if ready:
            self._executor.submit(ready)
        for task in ready:
            self._started(task)

    def _hear(self, event: Event) -> None:
        if event.key not in self._running:
            return  # a word from an attempt that is over
        if isinstance(event, Advanced):
            self._advanced(event)
            return
        task = self._running.pop(event.key)
        if event.ending is Ending.BUSY:  # somebody else computes it, and what they compute now is fresh enough
            self._waiting[event.key] = replace(task, fresh=False)
            self._held[event.key] = time.monotonic()
        else:
            self._end(task, event)

    def _end(self, task: Task, ended: Ended) -> None:
        self._waiting.pop(ended.key, None)
        self._endings[ended.key] = ended
        self._ended(task, ended)

    def _ready(self) -> list[Task]:
        """Tasks that can start now, as many as the executor takes; those that need not, or never can, are ended."""
        ready: list[Task] = []
        idle = self._executor.idle
        for key, task in list(self._waiting.items()):
            if len(ready) >= idle:
                break
            if (reason := self._never(task)) is not None:
                self._end(task, Ended(key=key, ending=Ending.FAILED, reason=reason))
            elif not self._must_wait(task) and not self._is_held(task):
                if key in self._held and is_finished(task):
                    self._end(task, Ended(key=key, ending=Ending.DONE))
                else:
                    ready.append(task)
        return ready

    def _never(self, task: Task) -> str | None:
        """Why a task cannot start any more; None if it can, or may later.

        A shard that failed costs nothing but time: whoever judges the run attacks its images as well.
        """
        training = self._endings.get(task_key(task.run, "training"))
        if task.part != "training" and training is not None and training.ending is not Ending.DONE:
            return training.reason
        missing = [run for run in _needs(task) if self._lacks(run, task)]
        if not missing or any(self._pending(run) for run in missing):
            return None
        failed = missing[0]
        known = next((self._endings[key].reason for key in _keys(failed) if key in self._endings), None)
        known = known or self._reasons.get(failed.key) or "it was not run"
        return f"it needs {failed.title}, which has no weights: {known}"

    def _must_wait(self, task: Task) -> bool:
        """Whether something that a task needs is still computed."""
        before = self._parts.get(task.run.key, ())
        if isinstance(task.part, Shard):
            before = [key for key in before if key == task_key(task.run, "training")]
        others = task.part == "training" or all(key in self._endings for key in before)
        return not others or any(self._lacks(run, task) for run in _needs(task))

    def _pending(self, run: Run) -> bool:
        return any(key in self._waiting or key in self._running for key in _keys(run))

    def _lacks(self, run: Run, task: Task) -> bool:
        """Whether the weights of a prerequisite are still missing, or about to be replaced.

        Who has computed them knows better than the file system of this machine, which may not show them yet.
        """
        giving = [self._waiting.get(key) or self._running.get(key) for key in _keys(run)]
        if any(other is not None and other.fresh for other in giving):
            return True
        done = any(key in self._endings and self._endings[key].ending is Ending.DONE for key in _keys(run))
        return not done and not WorkFolder.of(run, task.work_dir).is_trained

    def _is_held(self, task: Task) -> bool:
        """Whether somebody else still computes a run that was found busy, as far as its lock tells from here."""
        looked_at = self._held.get(task.key)
        if looked_at is None or looked_at > time.monotonic():
            return looked_at is not None
        self._held[task.key] = time.monotonic() + BUSY_SECONDS
        return task.folder.is_locked


def _keys(run: Run) -> tuple[str, str]:
    """Of the tasks that may give a run its weights."""
    return task_key(run, "training"), run.key


def _needs(task: Task) -> list[Run]:
    """Whose weights a task reads: nobody's if it is trained and only lacks its evaluation."""
    if isinstance(task.part, Shard) or (WorkFolder.of(task.run, task.work_dir).is_trained and not task.fresh):
        return []
    return [run for _, run in task.run.prerequisites]
