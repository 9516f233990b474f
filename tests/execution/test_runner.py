"""The runner against an executor that follows a script: order, failures, runs of somebody else."""

import fcntl
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fairbench import load_suite
from fairbench.execution.plan import Planner
from fairbench.execution.runner import Runner, Where, needed_tasks, run_statuses
from fairbench.execution.task import Advanced, Ended, Ending, Event, Task
from fairbench.method import registry
from fairbench.outcomes.work_folder import CHECKPOINTS, WorkFolder
from fairbench.protocol.run import Run


class Scripted:
    """Ends every task in the next round; trains it unless the script says otherwise."""

    def __init__(self, jobs: int, script: dict[str, list[Ended]], *, visible: bool = True) -> None:
        self._jobs, self._script, self._visible = jobs, script, visible
        self._now: list[Task] = []
        self.submitted: list[str] = []
        self.most = 0
        self.cancelled = False

    @property
    def idle(self) -> int:
        return self._jobs - len(self._now)

    def submit(self, tasks: Sequence[Task]) -> None:
        assert 0 < len(tasks) <= self.idle
        self._now += tasks
        self.submitted += [task.run.title for task in tasks]
        self.most = max(self.most, len(self._now))

    def events(self, timeout: float) -> Iterator[Event]:
        del timeout
        ending, self._now = self._now, []
        for task in ending:
            yield Advanced(key=task.run.key, stage="training", done=1, total=1)
            told = self._script.get(task.run.title, [])
            ended = told.pop(0) if told else Ended(key=task.run.key, ending=Ending.DONE)
            if ended.ending is Ending.DONE and self._visible:
                _pretend_trained(task)
            yield ended
            yield Advanced(key=task.run.key, stage="training", done=1, total=1)

    def cancel(self) -> None:
        self.cancelled = True

    def close(self) -> None:
        assert not self._now


def _pretend_trained(task: Task) -> None:
    folder = WorkFolder.of(task.run, task.work_dir)
    folder.path.mkdir(parents=True, exist_ok=True)
    for file in (folder.summary, *map(folder.checkpoint, CHECKPOINTS)):
        file.touch()


@pytest.fixture
def where(tmp_path: Path) -> Where:
    return Where(results=tmp_path / "results", work_dir=tmp_path / "runs", data_dir=tmp_path / "data")


@pytest.fixture
def runs() -> list[Run]:
    """Two seeds of FRL, ABSLD and what they need: two hot starts and a teacher."""
    chosen = [(name, registry.create(name, {})) for name in ("frl", "absld")]
    return Planner(suite=load_suite("digits"), create=registry.create).plan(chosen, seeds=(0, 1))


def _tasks(runs: list[Run], where: Where) -> list[Task]:
    return needed_tasks(run_statuses(runs, where), where, rerun="never")


def _execute(executor: Scripted, tasks: list[Task]) -> dict[str, Ended]:
    runner = Runner(executor, started=lambda _: None, advanced=lambda _: None, ended=lambda *_: None)
    return runner.run(tasks)


def test_prerequisites_run_first_and_all_slots_are_used(runs: list[Run], where: Where) -> None:
    executor = Scripted(2, {})
    endings = _execute(executor, _tasks(runs, where))
    assert {ended.ending for ended in endings.values()} == {Ending.DONE}
    assert len(executor.submitted) == len(runs) == 7
    assert executor.most == 2
    for run in runs:
        for _, needed in run.prerequisites:
            assert executor.submitted.index(needed.title) < executor.submitted.index(run.title)


def test_a_failed_prerequisite_fails_its_dependants_only(runs: list[Run], where: Where) -> None:
    hot_start = next(run for run in runs if run.title == "trades, seed 1")
    failed = Ended(key=hot_start.key, ending=Ending.FAILED, reason="the loss became nan")
    executor = Scripted(2, {"trades, seed 1": [failed]})
    endings = _execute(executor, _tasks(runs, where))
    broken = {run.title: endings[run.key].reason for run in runs if endings[run.key].ending is Ending.FAILED}
    assert set(broken) == {"trades, seed 1", "frl, seed 1"}
    assert broken["frl, seed 1"] == "it needs trades, seed 1, which has no weights: the loss became nan"
    assert "frl, seed 1" not in executor.submitted


def test_a_busy_run_is_looked_at_again(runs: list[Run], where: Where, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another `run-all` computes the teacher: its students wait, the others go on."""
    monkeypatch.setattr("fairbench.execution.runner.BUSY_SECONDS", 0.0)
    teacher = next(run for run in runs if run.role == "teacher")
    busy = Ended(key=teacher.key, ending=Ending.BUSY)
    executor = Scripted(2, {teacher.title: [busy, busy]})
    endings = _execute(executor, _tasks(runs, where))
    assert executor.submitted.count(teacher.title) == 3
    assert {ended.ending for ended in endings.values()} == {Ending.DONE}


def test_a_held_run_is_looked_at_from_here_and_not_handed_over_again(
    runs: list[Run], where: Where, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue would start a job each time, only to find the run busy; once it is done, there is nothing to start."""
    monkeypatch.setattr("fairbench.execution.runner.BUSY_SECONDS", 0.1)
    monkeypatch.setattr("fairbench.execution.runner.POLL_SECONDS", 0.0)
    teacher = next(task for task in _tasks(runs, where) if task.run.role == "teacher")
    executor = Scripted(2, {teacher.run.title: [Ended(key=teacher.run.key, ending=Ending.BUSY)]})
    folder = WorkFolder.of(teacher.run, teacher.work_dir)
    folder.path.mkdir(parents=True)
    held = (folder.path / "lock").open("w")
    fcntl.flock(held, fcntl.LOCK_EX)

    def let_go() -> None:
        _pretend_trained(teacher)
        held.close()

    timer = threading.Timer(0.8, let_go)
    timer.start()
    tasks = [replace(task, judge=False) for task in _tasks(runs, where)]
    endings = _execute(executor, tasks)
    timer.join()
    assert executor.submitted.count(teacher.run.title) == 1
    assert {ended.ending for ended in endings.values()} == {Ending.DONE}


def test_who_has_computed_a_run_is_believed_before_its_files_are_seen(runs: list[Run], where: Where) -> None:
    """On a network file system they may appear here much later than where the next worker looks."""
    executor = Scripted(2, {}, visible=False)
    endings = _execute(executor, _tasks(runs, where))
    assert {ended.ending for ended in endings.values()} == {Ending.DONE}
    assert len(executor.submitted) == len(runs)


def test_a_task_names_its_folders_from_the_root(runs: list[Run]) -> None:
    """Its worker may stand in another directory."""
    task = _tasks(runs, Where(results=Path("results"), work_dir=Path("runs")))[0]
    assert all(path.is_absolute() for path in (task.results, task.work_dir, task.data_dir))


def test_ctrl_c_cancels_the_executor(runs: list[Run], where: Where) -> None:
    executor = Scripted(1, {})

    def interrupt(_: Task) -> None:
        raise KeyboardInterrupt

    runner = Runner(executor, started=interrupt, advanced=lambda _: None, ended=lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        runner.run(_tasks(runs, where))
    assert executor.cancelled


def test_outcomes_from_elsewhere_are_trained_again_only_for_who_needs_them(
    runs: list[Run], where: Where, write_outcome: Callable[[Run, Path], None]
) -> None:
    """Results are the cache, whoever computed them; weights are not in it."""
    for run in runs:
        if run.method == "trades":
            write_outcome(run, where.results)
    tasks = {task.run.title: task for task in _tasks(runs, where)}
    assert not tasks["trades, seed 0"].judge
    assert not tasks["teacher-trades, seed 0"].judge
    assert tasks["frl, seed 0"].judge
    for run in runs:
        write_outcome(run, where.results)
    assert _tasks(runs, where) == []


def test_needs_of_needs_are_trained_again_too(
    runs: list[Run], where: Where, write_outcome: Callable[[Run, Path], None]
) -> None:
    """A hot start that itself starts hot: with its outcomes kept and all weights gone, the whole chain is trained."""
    first = next(run for run in runs if run.title == "trades, seed 0")
    second = next(run for run in runs if run.title == "frl, seed 0")
    third = replace(second, method="bat", prerequisites=(("hot start", second),))
    for run in (first, second):
        write_outcome(run, where.results)
    tasks = {task.run.key: task.judge for task in _tasks([first, second, third], where)}
    assert tasks == {first.key: False, second.key: False, third.key: True}


def test_a_trained_run_needs_nobodys_weights(
    runs: list[Run], where: Where, write_outcome: Callable[[Run, Path], None]
) -> None:
    """Only its evaluation is missing; that its hot start's checkpoint is gone does not matter."""
    frl = next(run for run in runs if run.title == "frl, seed 0")
    hot_start = frl.prerequisites[0][1]
    write_outcome(hot_start, where.results)
    _pretend_trained(_task_of(frl, where))
    executor = Scripted(1, {})
    endings = _execute(executor, _tasks([hot_start, frl], where))
    assert executor.submitted == ["frl, seed 0"]
    assert endings[frl.key].ending is Ending.DONE


def test_always_replaces_everything_in_order(
    runs: list[Run], where: Where, write_outcome: Callable[[Run, Path], None]
) -> None:
    """With old checkpoints lying around, dependants still wait for the new ones."""
    for run in runs:
        write_outcome(run, where.results)
        _pretend_trained(_task_of(run, where))
    tasks = needed_tasks(run_statuses(runs, where), where, rerun="always")
    assert [task.run.key for task in tasks] == [run.key for run in runs]
    assert all(task.fresh for task in tasks)
    executor = Scripted(7, {})
    _execute(executor, tasks)
    for run in runs:
        for _, needed in run.prerequisites:
            assert executor.submitted.index(needed.title) < executor.submitted.index(run.title)


def _task_of(run: Run, where: Where) -> Task:
    return Task(run=run, results=where.results, work_dir=where.work_dir, data_dir=where.data_dir)
