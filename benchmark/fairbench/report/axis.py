"""Axes of the pictures: values to positions, with ticks at round numbers.

axis = linear_axis([0.31, 0.58], start=60, end=700, show=percent)
axis.at(0.5)                        # position of a value
axis.ticks                          # (position, text) at 30, 35, ... 60 %
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

TICKS = 6
"""How many steps an axis aims at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """One direction of a picture.

    Attributes:
        low: value at `start`.
        high: value at `end`.
        start: where it begins, in the unit of the picture.
        end: where it ends; below `start` for an axis that points up.
        ticks: positions with what to write there.
        logarithmic: whether equal ratios are equal distances.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[tuple[float, str], ...] = ()
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Position of a value."""
        low, high, value = (math.log(x) if self.logarithmic else x for x in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (value - low) / (high - low)


def linear_axis(values: Iterable[float], *, start: float, end: float, show: Callable[[float], str]) -> Axis:
    """From the round number below all values to the one above them."""
    low, high = _span(values, default=(0.0, 1.0))
    step = _round_step((high - low) / TICKS or max(abs(high), 1.0) / TICKS)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    axis = Axis(low=first * step, high=last * step, start=start, end=end)
    ticks = tuple((axis.at(number * step), show(number * step)) for number in range(first, last + 1))
    return Axis(low=axis.low, high=axis.high, start=start, end=end, ticks=ticks)


def logarithmic_axis(values: Iterable[float], *, start: float, end: float, show: Callable[[float], str]) -> Axis:
    """From the 1, 2 or 5 of a decade below all values to the one above them.

    Args:
        values: positive.
        start: where the axis begins.
        end: where it ends.
        show: a tick's value as text.
    """
    low, high = _span(values, default=(1.0, 10.0))
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    marks = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
    below = max(mark for mark in marks if mark <= low * (1 + 1e-9))
    above = min(mark for mark in marks if mark >= high * (1 - 1e-9) and mark > below)
    axis = Axis(low=below, high=above, start=start, end=end, logarithmic=True)
    ticks = tuple((axis.at(mark), show(mark)) for mark in marks if below <= mark <= above)
    return Axis(low=below, high=above, start=start, end=end, ticks=ticks, logarithmic=True)


def written(position: float) -> str:
    """A position in the source of a picture: a tenth of a unit is finer than a screen."""
    return f"{position + 0.0:.1f}"


def whole(position: float) -> str:
    """The same in whole units, for pictures of many parts."""
    return f"{round(position)}"


def _span(values: Iterable[float], *, default: tuple[float, float]) -> tuple[float, float]:
    found = list(values)
    return (min(found), max(found)) if found else default


def _round_step(step: float) -> float:
    """The next larger of 1, 2, 5 times a power of ten."""
    scale: float = 10.0 ** math.floor(math.log10(step))
    return next(digit * scale for digit in (1, 2, 5, 10) if digit * scale >= step * (1 - 1e-9))
