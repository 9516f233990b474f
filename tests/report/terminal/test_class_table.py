"""One model in the terminal: worst class first, and nothing hidden that a reader has to know."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fairbench.outcomes.store import read_outcomes
from fairbench.report.terminal.class_table import class_table


@pytest.fixture
def shown(write_run: Callable[..., Path]) -> Callable[..., str]:
    """What a reader sees of a run."""

    def show(**given: Any) -> str:
        out = io.StringIO()
        Console(file=out, width=120).print(class_table(read_outcomes(write_run(**given))))
        return out.getvalue()

    return show


def rows(text: str) -> list[list[str]]:
    """Cells of the table's lines."""
    return [[cell.strip() for cell in line.strip("│┃").split("│")] for line in text.splitlines() if "│" in line]


def test_classes_come_worst_first_under_the_strongest_attack(shown: Callable[..., str]) -> None:
    names = ["ape", "[bold]bee[/bold]", "cow"]
    text = shown(counts=(10, 10, 10), autoattack=(5, 4, 6), pgd20=(6, 7, 6), clean=(9, 9, 8), class_names=names)
    found = rows(text)
    assert [row[0] for row in found] == ["[bold]bee[/bold]", "ape", "cow", "average", "worst class"]
    assert found[0][1:] == ["10", "90.0", "70.0", "40.0"]
    assert found[3][1:] == ["30", "86.7", "63.3", "50.0"]
    assert found[4][2:] == ["80.0 (cow)", "60.0 (ape)", "40.0 ([bold]bee[/bold])"]
    assert "Worst class under AutoAttack: between " in text


def test_a_class_without_images_has_no_accuracy(shown: Callable[..., str]) -> None:
    found = rows(shown(counts=(10, 0, 10), clean=(9, 0, 9), pgd20=(6, 0, 6), autoattack=(5, 0, 4)))
    assert found[2] == ["1", "0", "no data", "no data", "no data"]
    assert found[4][4] == "40.0 (2)"


def test_each_tier_says_what_it_is(shown: Callable[..., str]) -> None:
    """Nobody shall take APGD for AutoAttack, or a sample for the whole."""
    screen = shown(autoattack=None)
    assert "AutoAttack" not in screen
    assert "Worst class under PGD-20" in screen
    fast = shown(evaluation={"tier": "fast"})
    assert "AutoAttack" not in fast
    assert "FAB and Square were left out but for an audit: 0 of 3 broken; at most" in fast
    promoted = shown(promotion="2 of 30 audited images were broken", evaluation={"tier": "full"})
    assert "Promoted to tier full: 2 of 30 audited images were broken." in promoted


def test_warnings_are_shown(shown: Callable[..., str]) -> None:
    assert "The model [maybe] cheats." in shown(warnings=["The model [maybe] cheats."])
