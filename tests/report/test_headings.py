"""Boards are told apart by their headings and anchors."""

import re
from pathlib import Path

import pytest

from fairbench.boards.building import build_boards
from fairbench.report.headings import anchor, heading, headings
from fixture_types import WriteRun

TITLE = "scikit-learn digits, L-inf 0.15"


@pytest.mark.parametrize(
    ("evaluation", "expected"),
    [
        ({}, TITLE),
        ({"tier": "fast"}, f"{TITLE} · tier fast"),
        ({"engine": "reference"}, f"{TITLE} · AutoAttack by pyautoattack"),
        ({"tier": "fast", "search": "bf16"}, f"{TITLE} · tier fast · searched in bf16"),
    ],
)
def test_a_heading_names_what_is_not_the_rule(
    results: Path, write_run: WriteRun, evaluation: dict[str, object], expected: str
) -> None:
    write_run(evaluation=evaluation)
    (board,) = build_boards(results).boards
    assert heading(board) == expected


def test_models_trained_elsewhere_have_a_heading_of_their_own(results: Path, write_run: WriteRun) -> None:
    write_run("external-zoo", role="external", epsilon=8 / 255, suite="cifar10")
    (board,) = build_boards(results).boards
    assert heading(board) == "Models trained elsewhere on cifar10, L∞ 8/255"


def test_boards_that_would_be_called_alike_say_in_what_they_differ(results: Path, write_run: WriteRun) -> None:
    write_run("a")
    write_run("a", folder="other", evaluation={"seed": 1})
    write_run("b", evaluation={"tier": "fast"})
    told = headings(build_boards(results).boards)
    assert sorted(told) == [
        f"{TITLE} · evaluation.seed = 0",
        f"{TITLE} · evaluation.seed = 1",
        f"{TITLE} · tier fast",
    ]


def test_other_images_are_told_apart_where_nothing_else_differs(results: Path, write_run: WriteRun) -> None:
    write_run("external-all", role="external")
    write_run("external-some", role="external", counts=(9, 9, 9))
    told = headings(build_boards(results).boards)
    assert len(set(told)) == 2
    assert all(
        re.fullmatch(r"Models trained elsewhere on digits, L∞ 0\.15 · images = [0-9a-f]{8}", one) for one in told
    )


def test_anchors_are_unique_readable_and_independent_of_other_boards(results: Path, write_run: WriteRun) -> None:
    write_run("a", suite='Mine & "more"')
    (alone,) = map(anchor, build_boards(results).boards)
    assert re.fullmatch(r"board-mine-more-full-[0-9a-f]{8}", alone)
    for number, evaluation in enumerate([{"tier": "fast"}, {"engine": "reference"}, {"seed": 1}]):
        write_run(f"b{number}", suite='Mine & "more"', evaluation=evaluation)
    anchors = [anchor(board) for board in build_boards(results).boards]
    assert len(set(anchors)) == 4
    assert alone in anchors
