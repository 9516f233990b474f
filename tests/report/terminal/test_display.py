"""Progress in words, where there is no terminal."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from fairbench import load_suite
from fairbench.execution.plan import Planner
from fairbench.execution.task import Advanced, Ended, Ending, Task
from fairbench.method import registry
from fairbench.protocol.attack_names import ATTACKS
from fairbench.report.terminal.display import STAGES, Display, StageDisplay


@pytest.fixture
def task() -> Task:
    chosen = [("trades", registry.create("trades", {}))]
    run = Planner(suite=load_suite("digits"), create=registry.create).plan(chosen, seeds=(0,))[0]
    return Task(run=run, results=Path("results"), work_dir=Path("runs"), data_dir=Path("data"))


def test_every_stage_has_its_share() -> None:
    assert set(STAGES) == {"training", "pgd20", "pgd20 last", *ATTACKS}
    assert sum(STAGES.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("terminal", [False, True])
def test_a_run_is_followed_to_its_end(task: Task, terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names, stages and failures with brackets in them appear literally; a stage unknown to the shares is no error."""
    monkeypatch.setattr("fairbench.report.terminal.display.QUIET_SECONDS", -1.0)
    out = io.StringIO()
    with Display(
        Console(file=out, force_terminal=terminal, width=150, soft_wrap=True, highlight=False), total=1, reused=2
    ) as display:
        display.started(task)
        for stage in ("training", "apgd-ce", "another stage"):
            display.advanced(Advanced(key=task.run.key, stage=stage, done=1, total=4))
        display.ended(task, Ended(key=task.run.key, ending=Ending.FAILED, reason="[bold]odd[/bold] loss"))
        display.advanced(Advanced(key=task.run.key, stage="training", done=4, total=4))  # late, from far away
    text = out.getvalue()
    assert "Runs to compute: 1; finished before: 2." in text
    assert "trades, seed 0: training 1/4" in text or terminal
    assert "[1/1] trades, seed 0:" in text
    assert "[bold]odd[/bold] loss" in text


@pytest.mark.parametrize("terminal", [False, True])
def test_the_stages_of_an_evaluation_are_followed(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain lines, not too many, where there is no terminal; an attack on no images at all is no error."""
    monkeypatch.setattr("fairbench.report.terminal.display.QUIET_SECONDS", -1.0)
    out = io.StringIO()
    with StageDisplay(Console(file=out, force_terminal=terminal, width=150)) as display:
        for stage, done, total in (("pgd20", 30, 30), ("apgd-ce", 12, 20), ("fab-t", 0, 0)):
            display.advanced(stage, done, total)
    lines = out.getvalue().splitlines()
    assert "apgd-ce 12/20" in out.getvalue()
    assert terminal or lines == ["  pgd20 30/30", "  apgd-ce 12/20", "  fab-t 0/0"]


def test_a_quick_evaluation_says_nothing_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    with StageDisplay(Console(file=out)) as display:
        display.advanced("pgd20", 1, 2)
    assert not out.getvalue()
