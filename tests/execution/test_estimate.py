"""How long a plan will take: from runs that are done, from a calibration, or not at all."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fairbench import load_suite
from fairbench.execution.estimate import Duration, Estimate, estimated, longest_first
from fairbench.execution.plan import Planner
from fairbench.execution.task import Task
from fairbench.method import registry
from fairbench.outcomes.work_folder import CHECKPOINTS, WorkFolder
from fairbench.protocol.run import Run
from fixture_types import WriteRun

CALIBRATED = Duration(training=1000.0, evaluation=100.0)


@pytest.fixture
def tasks(results: Path, tmp_path: Path) -> list[Task]:
    chosen = [(name, registry.create(name, {})) for name in ("pgd-at", "trades")]
    runs = Planner(suite=load_suite("digits"), create=registry.create).plan(chosen, seeds=(0, 1))
    return [Task(run=run, results=results, work_dir=tmp_path / "runs", data_dir=tmp_path) for run in runs]


def seconds(tasks: list[Task], calibrate: Callable[[Run], Duration | None] = lambda _: CALIBRATED) -> float:
    return estimated(tasks, results=tasks[0].results, calibrate=calibrate).seconds


def test_before_anything_is_done_a_calibration_counts_for_every_run(tasks: list[Task]) -> None:
    assert seconds(tasks) == 4 * 1100


def test_runs_that_are_done_speak_for_their_row_and_for_unknown_ones(tasks: list[Task], write_run: WriteRun) -> None:
    write_run("trades", seconds={"training": 30.0, "evaluation": 10.0})
    write_run("dafa", seconds={"training": 50.0, "evaluation": 30.0})
    found = estimated(tasks, results=tasks[0].results, calibrate=lambda _: CALIBRATED)
    assert found.seconds == 2 * 40 + 2 * 60
    assert found.sentence("cpu") == "About 0.056 core-hours, from 2 runs that are done."


def test_what_is_trained_is_only_evaluated_and_the_other_way_round(tasks: list[Task]) -> None:
    first, second, *_ = tasks
    folder = WorkFolder.of(first.run, first.work_dir)
    folder.path.mkdir(parents=True)
    for file in (folder.summary, *map(folder.checkpoint, CHECKPOINTS)):
        file.touch()
    assert seconds([first]) == 100
    assert seconds([replace(first, fresh=True)]) == 1100
    assert seconds([replace(second, judge=False)]) == 1000


def test_files_that_say_nothing_are_no_runs(tasks: list[Task], write_run: WriteRun) -> None:
    write_run("trades", status="failed", reason="the loss became NaN", seconds={"training": 3.0})
    write_run("mart").write_bytes(b"no parquet")
    assert seconds(tasks) == 4 * 1100


def test_where_nothing_can_be_known_nothing_is_said(tasks: list[Task]) -> None:
    found = estimated(tasks, results=tasks[0].results, calibrate=lambda _: None)
    assert math.isnan(found.seconds)
    assert not found.sentence("cpu")
    assert Estimate(seconds=7200.0, done=0).sentence("cuda") == "About 2 GPU-hours, from a few steps that were timed."


def test_the_longest_come_first_with_what_they_wait_for(results: Path, tmp_path: Path, write_run: WriteRun) -> None:
    """A short hot start of a long run is on the longest way; what nobody knows is as long as the mean of the rest."""
    chosen = [(name, registry.create(name, {})) for name in ("pgd-at", "mart", "frl")]
    runs = Planner(suite=load_suite("digits"), create=registry.create).plan(chosen, seeds=(0,))
    tasks = [Task(run=run, results=results, work_dir=tmp_path, data_dir=tmp_path) for run in runs]
    assert [task.run.label for task in longest_first(tasks, results=results)] == ["trades", "pgd-at", "mart", "frl"]
    write_run("mart", seconds={"training": 60.0, "evaluation": 60.0})
    write_run("trades", seconds={"training": 1.0, "evaluation": 1.0})
    write_run("frl", seconds={"training": 100.0, "evaluation": 60.0})
    assert [task.run.label for task in longest_first(tasks, results=results)] == ["trades", "frl", "mart", "pgd-at"]
