"""What a board decides, and what it cannot see, in words."""

from pathlib import Path

import pytest

from fairbench.boards.board import Board
from fairbench.boards.building import build_boards
from fairbench.report.evidence import (
    against_baseline,
    baseline_sentence,
    leading_sentence,
    power_sentence,
    signed,
)
from fairbench.report.site.page import render
from fixture_types import WriteRun

TEN = {"counts": [54] * 10, "clean": [54] * 10, "pgd20": [50] * 10, "class_names": [f"class {k}" for k in range(10)]}


def write_row(write_run: WriteRun, label: str, autoattack: list[int], **values: object) -> None:
    for seed in range(3):
        write_run(label, seed=seed, autoattack=autoattack, **{**TEN, **values})


def board_of(results: Path) -> Board:
    return build_boards(results, draws=200).boards[0]


@pytest.fixture
def small(results: Path, write_run: WriteRun) -> Board:
    """Two rows of one worst class, of which one has twenty points more in all others, and one that is alike."""
    write_row(write_run, "pgd-at", [14, *[25] * 9])
    write_row(write_run, "fair", [13, *[36] * 9])
    write_row(write_run, "alike", [14, *[25] * 8, 26])
    return board_of(results)


def test_where_the_worst_class_decides_nothing_the_sharpest_key_leads(small: Board) -> None:
    assert leading_sentence(small) == (
        "By the worst 30 % 2 of 3 pairs of rows are told apart; the first is FAIR. By the worst class no two rows of "
        "this board can be told apart, so that its order is one of the numbers alone: the luck of a test set and of a "
        "few seeds moves a minimum more than a mean."
    )


def test_where_it_decides_it_leads(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "pgd-at", [2] * 10)
    write_row(write_run, "fair", [40] * 10)
    found = leading_sentence(board_of(results))
    assert found == "By the worst class 1 of 1 pair of rows are told apart; the first is FAIR."


def test_where_nothing_decides_that_is_said(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "pgd-at", [20] * 10)
    write_row(write_run, "fair", [20] * 10)
    assert leading_sentence(board_of(results)).endswith("nor can they by any other key.")


def test_what_the_board_cannot_see_is_said_with_numbers(small: Board) -> None:
    found = power_sentence(small)
    visible = small.standings["worst"].visible
    assert found.startswith(
        "With 54 images per class and 3 seeds, two rows are told apart half the time if they differ"
    )
    assert f"{100 * visible:.1f} points by the worst class" in found
    assert "from the baseline, which is compared with each row alone" in found
    assert small.standings["average"].visible < visible


def test_every_row_is_better_or_worse_than_the_baseline_or_it_is_not_known(small: Board) -> None:
    words = {
        key: {
            row.label: found and found.word
            for row, found in zip(small.ranked, against_baseline(small, key), strict=True)
        }
        for key in ("worst", "average")
    }
    assert words == {
        "worst": {"alike": "not known", "pgd-at": None, "fair": "not known"},
        "average": {"alike": "not known", "pgd-at": None, "fair": "better"},
    }
    fair = against_baseline(small, "average")[2]
    assert fair is not None
    assert fair.difference == pytest.approx((9 * 11 - 1) / 540)
    assert 0 <= fair.low < fair.difference < fair.high
    assert fair.text.startswith("better: +18.1 (+")
    assert "PGD-AT is the baseline that the suite named in advance" in baseline_sentence(small)


def test_a_suite_names_its_own_baseline(results: Path, write_run: WriteRun) -> None:
    for label in ("pgd-at", "trades"):
        write_row(write_run, label, [20] * 10, baseline="trades")
    board = board_of(results)
    assert board.baseline is not None
    assert board.baseline.label == "trades"
    assert [found is None for found in against_baseline(board, "average")] == [
        row.label == "trades" for row in board.ranked
    ]


def test_without_its_baseline_a_board_says_so(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "fair", [20] * 10)
    write_row(write_run, "alike", [20] * 10)
    board = board_of(results)
    assert against_baseline(board, "worst") == [None, None]
    assert "pgd-at, is not ranked here" in baseline_sentence(board)
    assert "from the baseline" not in power_sentence(board)
    assert 'class="against"' not in render(build_boards(results, draws=50)).decode()


def test_one_row_alone_is_compared_with_nobody(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "pgd-at", [20] * 10)
    board = board_of(results)
    assert not leading_sentence(board)
    assert not power_sentence(board)
    assert not baseline_sentence(board)


def test_the_page_begins_with_what_is_decided(small: Board, results: Path) -> None:
    page = " ".join(render(build_boards(results, draws=200)).decode().split())
    assert page.index("told apart; the first is FAIR") < page.index("<tbody>")
    assert page.count("average better: +18.1") == 1
    assert leading_sentence(small) in page


@pytest.mark.parametrize(("share", "text"), [(0.031, "+3.1"), (-0.031, "−3.1"), (-0.0001, "+0.0"), (0, "+0.0")])
def test_points_have_a_sign(share: float, text: str) -> None:
    assert signed(share) == text
