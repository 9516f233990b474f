"""Axes: every value has a place, and ticks are round numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairbench.report.axis import Axis, linear_axis, logarithmic_axis, written

SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=20)
COSTS = st.lists(st.floats(1e-3, 1e4), min_size=1, max_size=20)


def check(axis: Axis, values: list[float]) -> None:
    """All values and ticks lie between the ends, ticks in order, the first and the last one at the ends."""
    low, high = sorted((axis.start, axis.end))
    assert all(low - 1e-6 <= axis.at(value) <= high + 1e-6 for value in values)
    positions = [position for position, _ in axis.ticks]
    assert positions == sorted(positions, reverse=axis.end < axis.start)
    assert positions[0] == pytest.approx(axis.start)
    assert positions[-1] == pytest.approx(axis.end)


@given(SHARES)
def test_a_linear_axis_holds_all_values(values: list[float]) -> None:
    axis = linear_axis(values, start=400, end=20, show="{:g}".format)
    check(axis, values)
    assert 2 <= len(axis.ticks) <= 10


@given(COSTS)
def test_a_logarithmic_axis_holds_all_values(values: list[float]) -> None:
    axis = logarithmic_axis(values, start=50, end=700, show="{:g}".format)
    check(axis, values)
    assert axis.at(2 * values[0]) - axis.at(values[0]) == pytest.approx(axis.at(2.0) - axis.at(1.0))


def test_ticks_are_round() -> None:
    texts = [text for _, text in linear_axis([0.31, 0.58], start=0, end=100, show=lambda x: f"{100 * x:.3g}").ticks]
    assert texts == ["30", "35", "40", "45", "50", "55", "60"]
    texts = [text for _, text in logarithmic_axis([0.15, 4.0], start=0, end=100, show="{:g}".format).ticks]
    assert texts == ["0.1", "0.2", "0.5", "1", "2", "5"]


def test_a_position_has_one_decimal_and_no_negative_zero() -> None:
    assert [written(x) for x in (12.34, -0.0, 700)] == ["12.3", "0.0", "700.0"]
