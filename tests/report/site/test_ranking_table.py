"""Columns, places and traits of a ranking."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from fairbench.boards.board import Board
from fairbench.boards.building import build_boards
from fairbench.report.site.method_page import method_pages
from fairbench.report.site.page import render
from fairbench.report.site.ranking_table import RankSpan, choices, columns, needs_teacher, place, tail_key, traits
from fairbench.statistics.standings import Standings
from fixture_types import WriteRun


def board_of(results: Path) -> Board:
    return build_boards(results, draws=50).boards[0]


@pytest.mark.parametrize(
    ("classes", "absent", "expected"),
    [
        (3, 0, "worst-30"),
        (4, 0, "worst-30"),
        (6, 0, "worst-20"),
        (10, 0, "worst-20"),
        (11, 0, "worst-10"),
        (11, 1, "worst-20"),
    ],
)
def test_the_tail_is_the_smallest_that_is_no_minimum(
    results: Path, write_run: WriteRun, classes: int, absent: int, expected: str
) -> None:
    """Classes without test images do not count."""
    counts = [2] * (classes - absent) + [0] * absent
    write_run(counts=counts, clean=counts, pgd20=counts, autoattack=counts)
    assert tail_key(board_of(results)) == expected


@pytest.mark.parametrize(("images", "stands_out"), [(199, True), (200, False)])
def test_with_few_images_the_worst_classes_stand_out(
    results: Path, write_run: WriteRun, images: int, stands_out: bool
) -> None:
    """The single worst class is then mostly noise; a class without images counts for nothing."""
    counts = (images, 300, 0)
    for seed in range(3):
        write_run(seed=seed, counts=counts, clean=counts, pgd20=counts, autoattack=(100, 120, 0))
    boards = build_boards(results, draws=50)
    (tail,) = (column for column in columns(boards.boards[0]) if column.name == "tail")
    assert ("headline" in tail.kind) == stands_out
    assert render(boards).decode().count('<td class="number headline"') == 1 + stands_out
    ((_, page),) = method_pages(boards, ()).items()
    assert ("worst 30 % of classes" in page.decode()) == stands_out


def test_columns_follow_the_attacks_of_the_board(results: Path, write_run: WriteRun) -> None:
    write_run("full")
    write_run("fast", evaluation={"tier": "fast"})
    write_run("screened", autoattack=None)
    found = {board.tier: columns(board) for board in build_boards(results, draws=50).boards}
    assert {tier: [column.above for column in table][2] for tier, table in found.items()} == {
        "full": "AutoAttack",
        "fast": "APGD",
        "screen": "PGD-20",
    }
    assert [column.name for column in found["screen"]] == [
        *(
            "rank",
            "method",
            "worst",
            "average",
            "tail",
            "clean-worst",
            "clean-average",
            "cost",
            "privileges",
            "seeds",
            "flags",
        )
    ]
    for table in found.values():
        names = [column.name for column in table]
        assert len(names) == len(set(names)), "a name is what a link holds"


def test_places_of_rows_that_differ_beyond_doubt_and_of_rows_that_do_not(results: Path, write_run: WriteRun) -> None:
    counts = (400, 400)
    for seed in range(3):
        for label, correct in {"high": (360, 350), "low": (40, 30), "lower": (40, 29)}.items():
            write_run(label, seed=seed, counts=counts, clean=counts, pgd20=counts, autoattack=correct)
    board = board_of(results)
    assert [row.label for row in board.ranked] == ["high", "low", "lower"]
    assert [place(board, "worst", number) for number in range(3)] == [
        RankSpan(first=1, last=1, group=1, best=1.0),
        RankSpan(first=2, last=3, group=2, best=0.0),
        RankSpan(first=2, last=3, group=2, best=0.0),
    ]
    assert [place(board, "worst", number).span for number in range(3)] == ["1", "2–3", "2–3"]


def test_groups_are_numbered_in_their_own_order(results: Path, write_run: WriteRun) -> None:
    write_run()
    ranks, best = np.array([[1, 2], [3, 3], [1, 2]]), np.array([0.5, 0.0, 0.5])
    standing = cast("Standings", SimpleNamespace(groups=[[2, 0], [1]], ranks=ranks, best=best))
    board = replace(board_of(results), standings=cast("Mapping[str, Standings]", {"worst": standing}))
    assert [place(board, "worst", number).group for number in range(3)] == [1, 2, 1]


@pytest.mark.parametrize(
    ("prerequisites", "expected"),
    [
        ({"teacher": "ab"}, True),
        ({"hot start": "ab"}, False),
        ({}, False),
        (None, False),
        (["teacher"], False),
        ("teacher", False),
    ],
)
def test_who_needs_a_teacher(results: Path, write_run: WriteRun, prerequisites: object, expected: bool) -> None:
    """Results are not trusted to be as they should."""
    write_run()
    row = board_of(results).unranked[0]
    row.provenance.description["prerequisites"] = prerequisites
    assert needs_teacher(row) is expected
    assert traits(row)["teacher"] == ("yes" if expected else "no")


def test_only_what_differs_can_be_chosen(results: Path, write_run: WriteRun) -> None:
    write_run("a")
    assert choices(board_of(results)) == {}
    write_run("external-b", role="external")
    assert choices(board_of(results)) == {"family": ["", "fairness"], "trained": ["elsewhere", "here"]}


def test_verified_rows_can_be_chosen(results: Path, write_run: WriteRun, write_receipt_of: WriteRun) -> None:
    """A row is verified if all its finished seeds are."""
    paths = [write_run(label, seed=seed) for label in ("a", "b") for seed in range(2)]
    write_run("a", seed=2, status="failed", reason="collapse")
    write_receipt_of(paths[0])
    write_receipt_of(paths[2])
    assert choices(board_of(results)) == {}
    write_receipt_of(paths[1])
    board = board_of(results)
    assert [traits(row)["verified"] for row in board.unranked] == ["yes", "no"]
    assert choices(board) == {"verified": ["no", "yes"]}
    write_receipt_of(paths[1], disagreements=1)
    assert choices(board_of(results)) == {}


def test_traits_find_a_row_by_label_title_authors_venue_year_and_family(results: Path, write_run: WriteRun) -> None:
    write_run("Fair-X")
    words = traits(board_of(results).unranked[0])["words"]
    assert words == "fair-x fair-x a. author icml 2019 fairness"
