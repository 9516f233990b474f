"""Pictures of a board: what they show is what the board says."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairbench.boards.board import Board
from fairbench.boards.building import build_boards
from fairbench.outcomes.metrics import Interval
from fairbench.report.site.heat_map import heat_views, points
from fairbench.report.site.pictures import Point, pareto_front, picture_names, scatters
from fixture_types import WriteRun


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
    average, cost = scatters(three)
    assert [point.name for point in average.points] == ["FAIR", "PGD-AT", "POOR"]
    assert [point.x for point in average.points] == pytest.approx([0.5, 0.5, 0.3])
    assert [point.y for point in average.points] == pytest.approx([0.5, 0.3, 0.2])
    assert average.front == {0}
    assert [point.x for point in cost.points] == [2.0, 1.0, 4.0]
    assert cost.front == {0, 1}
    for point, interval in zip(average.points, three.standings["worst"].intervals, strict=True):
        assert point.along == pytest.approx(tuple(interval))
        assert point.across.low <= point.x <= point.across.high


@pytest.mark.parametrize("cost", [0.0, 1e300, -1.0])
def test_a_cost_that_nobody_can_believe_is_not_drawn(results: Path, write_run: WriteRun, cost: float) -> None:
    write_row(write_run, "a", cost=1.5)
    write_row(write_run, "b", cost=cost)
    average, drawn = scatters(board_of(results))
    assert len(average.points) == 2
    assert [point.name for point in drawn.points] == ["A"]


def test_without_ranked_rows_there_is_no_picture(results: Path, write_run: WriteRun) -> None:
    write_run("a")
    assert not scatters(board_of(results))


def test_rows_of_one_method_are_told_apart_by_what_was_changed(results: Path, write_run: WriteRun) -> None:
    card = {"title": "TRADES", "year": 2020}
    write_row(write_run, "trades", card=card)
    write_row(write_run, "trades-1c0f62e9", card=card, parameters={"beta": 3.0}, changed={"beta": 3.0})
    changed = {"beta": 1.5, "schedule": "linear"}
    write_row(write_run, "trades-5e1a77d0", card=card, parameters=changed, changed=changed)
    names = picture_names(board_of(results)).values()
    assert set(names) == {"TRADES", "TRADES beta=3", "TRADES beta=1.5 schedule=linear"}


def test_rows_that_would_be_called_the_same_keep_their_labels(results: Path, write_run: WriteRun) -> None:
    card = {"title": "Same", "year": 2020}
    write_row(write_run, "one", card=card, parameters={"beta": 1.0})
    write_row(write_run, "two", card=card, parameters={"beta": 2.0})
    assert set(picture_names(board_of(results)).values()) == {"one", "two"}


def point(x: float, y: float) -> Point:
    return Point(name="m", x=x, y=y, across=Interval(x, x), along=Interval(y, y))


def test_the_front_is_what_nobody_beats() -> None:
    points = [point(0.5, 0.3), point(0.6, 0.2), point(0.4, 0.3), point(0.55, 0.25), point(0.5, 0.1)]
    assert pareto_front(points) == {0, 1, 3}
    assert pareto_front(points, cheap=True) == {2}


def test_equal_points_are_on_the_front_together() -> None:
    assert pareto_front([point(0.5, 0.3), point(0.5, 0.3)]) == {0, 1}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_every_other_point_is_beaten_from_the_front(values: list[tuple[int, int]]) -> None:
    front = pareto_front([point(x, y) for x, y in values])
    assert front
    for k, (x, y) in enumerate(values):
        beaten = any(values[j][0] >= x and values[j][1] >= y and values[j] != (x, y) for j in front)
        assert beaten == (k not in front)


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
