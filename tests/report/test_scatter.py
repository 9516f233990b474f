"""Points of a picture: the Pareto front, and positions that follow the values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairbench.metrics import Interval
from fairbench.report.axis import linear_axis
from fairbench.report.scatter import BOTTOM, LEFT, RIGHT, TOP, Point, Scatter, pareto_front, scatter


def point(x: float, y: float, name: str = "m") -> Point:
    return Point(name=name, x=x, y=y, across=Interval(x - 0.1, x + 0.1), along=Interval(y - 0.2, y + 0.1))


def drawn(points: list[Point], *, cheap: bool = False) -> Scatter:
    across = linear_axis([0, 1], start=LEFT, end=RIGHT, show=str)
    along = linear_axis([0, 1], start=BOTTOM, end=TOP, show=str)
    return scatter(points, horizontal=("average", across), vertical=("worst", along), cheap=cheap)


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


def test_up_and_right_are_better() -> None:
    low, high = drawn([point(0.2, 0.3, "low"), point(0.6, 0.7, "high")]).marks
    assert low.x < high.x
    assert low.y > high.y
    assert high.top < high.y < high.bottom
    assert high.left < high.x < high.right
    assert (high.y - high.top) == pytest.approx((high.bottom - high.y) / 2)
    assert (low.front, high.front) == (False, True)
    assert (low.text, high.text) == ("low", "high")


def test_the_front_is_a_line_from_left_to_right() -> None:
    path = drawn([point(0.6, 0.2), point(0.3, 0.8), point(0.5, 0.5)]).front
    across = [float(corner.split()[0]) for corner in path.removeprefix("M").split("L")]
    assert len(across) == 3
    assert across == sorted(across)
    assert not drawn([point(0.6, 0.2)]).front
