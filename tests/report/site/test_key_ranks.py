"""Where a row stands by every key is what the board says, in words and as a table."""

from pathlib import Path

import pytest

from fairbench.boards.building import build_boards
from fairbench.report.site.key_ranks import key_ranks, told_apart
from fairbench.report.site.method_page import method_pages
from fixture_types import WriteRun


def write_three(write_run: WriteRun) -> None:
    counts = (400, 400)
    for seed in range(3):
        for label, correct in {"high": (360, 350), "low": (40, 30), "lower": (40, 29)}.items():
            write_run(label, seed=seed, counts=counts, clean=counts, pgd20=counts, autoattack=correct)


def test_every_key_has_its_intervals_and_its_place(results: Path, write_run: WriteRun) -> None:
    write_three(write_run)
    (board,) = build_boards(results, draws=50).boards
    found = key_ranks(board, board.ranked[1])
    assert [one.title for one in found] == ["worst class", "average", "average + worst class"]
    worst, average, _ = found
    assert worst.value == pytest.approx(30 / 400)
    assert worst.interval == pytest.approx(tuple(board.standings["worst"].intervals[1]))
    assert worst.interval.low < 30 / 400 < worst.interval.high
    assert worst.against is None, "the suite's baseline is not ranked here"
    assert worst.seeds == pytest.approx((30 / 400, 30 / 400)), "seeds that are alike know no spread"
    assert (worst.place.span, worst.place.group) == ("2–3", 2)
    assert average.place.best == pytest.approx(0)


def test_intervals_over_seeds_end_where_values_do(results: Path, write_run: WriteRun) -> None:
    """Student's t does not know that an accuracy is a share."""
    for seed in range(3):
        write_run("a", seed=seed, autoattack=(5 * seed, 5 * seed, 5 * seed))
    (board,) = build_boards(results, draws=50).boards
    found = key_ranks(board, board.ranked[0])
    assert [tuple(one.seeds) for one in found] == [(0, 1), (0, 1), (0, 2)]


def test_who_is_told_apart_is_named(results: Path, write_run: WriteRun) -> None:
    write_three(write_run)
    boards = build_boards(results, draws=50)
    (board,) = boards.boards
    high, low, _ = board.ranked
    assert told_apart(board, high, "worst").below == ["LOW", "LOWER"]
    assert not told_apart(board, high, "worst").above
    assert told_apart(board, low, "worst").above == ["HIGH"]
    pages = {
        name.rpartition("/")[2]: " ".join(page.decode().split()) for name, page in method_pages(boards, ()).items()
    }
    assert "By the worst class this row is certainly above LOW and LOWER; from all others" in pages["high.html"]
    assert "By the worst class this row is certainly below HIGH; from all others" in pages["low.html"]
    assert "the first by the worst class in 100.0 % of the resamples" in pages["high.html"]


def test_a_row_that_is_not_ranked_stands_nowhere(results: Path, write_run: WriteRun) -> None:
    write_run("a")
    (board,) = build_boards(results).boards
    assert not key_ranks(board, board.rows[0])
