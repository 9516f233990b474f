"""Pictures of a board: what they show is what the board says."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fairbench.board import Board
from fairbench.ranking import build_boards
from fairbench.report.heat_map import heat_views, points
from fairbench.report.intervals import rank_bars
from fairbench.report.pictures import pictures, short_names

WriteRun = Callable[..., Path]


def board_of(results: Path) -> Board:
    (board,) = build_boards(results).boards
    return board


def write_row(write_run: WriteRun, label: str, **values: object) -> None:
    for seed in range(3):
        write_run(label, seed=seed, **values)


@pytest.fixture
def three(results: Path, write_run: WriteRun) -> Board:
    write_row(write_run, "fair", autoattack=(5, 5, 5), cost=2.0)
    write_row(write_run, "pgd-at", autoattack=(7, 5, 3), cost=1.0)
    write_row(write_run, "poor", autoattack=(4, 3, 2), cost=4.0)
    return board_of(results)


def test_points_are_the_means_with_their_intervals(three: Board) -> None:
    average, cost = pictures(three).scatters
    assert [mark.point.name for mark in average.drawing.marks] == ["FAIR", "PGD-AT", "POOR"]
    assert [mark.point.x for mark in average.drawing.marks] == pytest.approx([0.5, 0.5, 0.3])
    assert [mark.point.y for mark in average.drawing.marks] == pytest.approx([0.5, 0.3, 0.2])
    assert [mark.front for mark in average.drawing.marks] == [True, False, False]
    assert [mark.point.x for mark in cost.drawing.marks] == [2.0, 1.0, 4.0]
    assert [mark.front for mark in cost.drawing.marks] == [True, True, False]
    for mark, row in zip(average.drawing.marks, three.ranked, strict=True):
        assert mark.point.along == pytest.approx(row.envelope(three.attack))
        assert mark.point.across.low <= mark.point.x <= mark.point.across.high


@pytest.mark.parametrize("cost", [0.0, 1e300, -1.0])
def test_a_cost_that_nobody_can_believe_is_not_drawn(results: Path, write_run: WriteRun, cost: float) -> None:
    write_row(write_run, "a", cost=1.5)
    write_row(write_run, "b", cost=cost)
    average, drawn = pictures(board_of(results)).scatters
    assert len(average.drawing.marks) == 2
    assert [mark.point.name for mark in drawn.drawing.marks] == ["A"]


def test_without_ranked_rows_there_is_no_picture(results: Path, write_run: WriteRun) -> None:
    write_run("a")
    found = pictures(board_of(results))
    assert not found.scatters
    assert found.ranks is None


def test_rows_of_one_title_are_told_apart_by_label(results: Path, write_run: WriteRun) -> None:
    card = {"title": "Same", "year": 2020}
    write_row(write_run, "one", card=card, parameters={"beta": 1.0})
    write_row(write_run, "two", card=card, parameters={"beta": 2.0})
    assert set(short_names(board_of(results)).values()) == {"one", "two"}


def test_rank_intervals_are_those_of_the_board(three: Board) -> None:
    ranks = pictures(three).ranks
    assert ranks is not None
    assert ranks.keys == ("worst class", "average")
    found = [[(bar.first, bar.last) for bar in line.bars] for line in ranks.lines]
    expected = [three.standings[key].ranks.tolist() for key in ("worst", "average")]
    assert found == [[tuple(worst), tuple(average)] for worst, average in zip(*expected, strict=True)]


def test_rank_bars_cover_their_places_and_no_more() -> None:
    ranks = np.array([[1, 1], [2, 3], [2, 3]], dtype=np.int64)
    picture = rank_bars(["a", "b", "c"], {"worst": ranks})
    places = {text: x for x, text in picture.ticks}
    first, second, third = (line.bars[0] for line in picture.lines)
    assert first.left < places["1"] < first.right < second.left < places["2"] < places["3"] < second.right
    assert (second.left, second.right) == (third.left, third.right)
    assert second.y < third.y


def test_many_rows_have_few_ticks() -> None:
    ranks = np.ones((60, 2), dtype=np.int64)
    assert len(rank_bars([str(k) for k in range(60)], {"worst": ranks}).ticks) <= 13


def test_the_heat_map_says_who_paid(three: Board) -> None:
    clean, pgd20, autoattack, difference = heat_views(three)
    assert [view.key for view in (clean, pgd20, autoattack)] == list(three.attacks)
    assert [cell.value for cell in autoattack.lines[1].cells] == pytest.approx([0.7, 0.5, 0.3])
    assert difference.title == "AutoAttack − PGD-AT"
    fair, baseline, poor = difference.lines
    assert [points(cell.value) for cell in fair.cells] == ["−20.0", "+0.0", "+20.0"]
    assert [cell.lowest for cell in fair.cells] == [True, False, False]
    assert [points(cell.value) for cell in poor.cells] == ["−30.0", "−20.0", "−10.0"]
    assert not any(cell.lowest or cell.share for cell in baseline.cells), "the baseline neither gains nor pays"


def test_without_its_baseline_a_board_has_no_difference(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "a")
    write_run("pgd-at", seed=0)
    assert [view.key for view in heat_views(board_of(results))] == ["clean", "pgd20", "autoattack"]


def test_a_class_without_images_is_no_loss(results: Path, write_run: WriteRun) -> None:
    absent = {"counts": (10, 0, 10), "clean": (9, 0, 9), "pgd20": (8, 0, 8)}
    write_row(write_run, "pgd-at", **absent, autoattack=(6, 0, 4))
    write_row(write_run, "a", **absent, autoattack=(5, 0, 5))
    line = heat_views(board_of(results))[-1].lines[0]
    assert [cell.lowest for cell in line.cells] == [True, False, False]
    assert line.cells[1].value != line.cells[1].value
