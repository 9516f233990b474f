"""Tasks of which several workers compute one run."""

from dataclasses import replace
from pathlib import Path

import pytest

from fairbench import load_suite
from fairbench.errors import UserError
from fairbench.execution.plan import Planner
from fairbench.execution.shards import in_shards, parts_of
from fairbench.execution.task import Task
from fairbench.method import registry
from fairbench.protocol.suite import Suite


def tasks(suite: Suite) -> list[Task]:
    chosen = [("trades", registry.create("trades", {}))]
    (run,) = Planner(suite=suite, create=registry.create).plan(chosen, seeds=(0,))
    return [Task(run=run, results=Path("results"), work_dir=Path("runs"), data_dir=Path("data"), fresh=True)]


def test_a_training_shards_and_a_judgement() -> None:
    """Only the training forgets what was there; no two work in one folder under one lock at once."""
    found = in_shards(tasks(load_suite("digits")), 2)
    key = found[0].run.key
    assert [task.key for task in found] == [f"{key}/training", f"{key}/shard-1-of-2", f"{key}/shard-2-of-2", key]
    assert [task.fresh for task in found] == [True, False, False, False]
    assert len({task.folder.path for task in found}) == 3
    assert len({task.order for task in found}) == 4
    assert found[1].title == "trades, seed 0, attacks 1 of 2"
    assert parts_of(found) == {key: [task.key for task in found[:3]]}


def test_what_cannot_be_shared_is_left_whole_or_refused() -> None:
    digits = load_suite("digits")
    whole = tasks(digits)
    assert in_shards(whole, 1) == whole
    weights = [replace(task, judge=False) for task in whole]
    assert in_shards(weights, 4) == weights
    screened = tasks(replace(digits, evaluation=replace(digits.evaluation, tier="screen")))
    assert in_shards(screened, 4) == screened
    reference = tasks(replace(digits, evaluation=replace(digits.evaluation, engine="reference")))
    with pytest.raises(UserError, match="--shards 4 is not allowed with --engine reference"):
        in_shards(reference, 4)
