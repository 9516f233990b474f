"""Rank intervals: the places that every row may have, as bars under each other.

    rank_bars(["TRADES", "PGD-AT"], {"worst class": ranks, "average": others})

Rows whose bars do not overlap have been told apart; of those whose bars do, some may have been too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fairbench.metrics import Counts
from fairbench.report.axis import Axis
from fairbench.report.labels import shortened

WIDTH = 760.0
LEFT, RIGHT, TOP = 170.0, 740.0, 28.0
"""Of the plane beside the names, in the unit of the picture."""

LINE = 20.0
"""Height of a row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """First and last place of a row by one key, and where its bar stands."""

    key: str
    first: int
    last: int
    left: float
    right: float
    y: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A row: its name, possibly shortened, its middle, its bars."""

    name: str
    text: str
    y: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RankBars:
    """The picture.

    Attributes:
        lines: one for each row, from the top.
        ticks: of the ranks.
        keys: in the order of the bars of a line.
        height: of the picture.
    """

    lines: tuple[Line, ...]
    ticks: tuple[tuple[float, str], ...]
    keys: tuple[str, ...]
    height: float


def rank_bars(names: Sequence[str], ranks: Mapping[str, Counts]) -> RankBars:
    """Arrange rank intervals.

    Args:
        names: of the rows, in the order in which they are shown.
        ranks: by key, (rows, 2): first and last place.
    """
    rows = len(names)
    axis = Axis(low=0.5, high=rows + 0.5, start=LEFT, end=RIGHT)
    every = 1 if rows <= 30 else -(-rows // 12)
    lines = []
    for k, name in enumerate(names):
        middle = TOP + LINE * (k + 0.5)
        bars = tuple(
            Bar(
                key=key,
                first=int(found[k][0]),
                last=int(found[k][1]),
                left=axis.at(found[k][0] - 0.42),
                right=axis.at(found[k][1] + 0.42),
                y=middle + 6.0 * (number - (len(ranks) - 1) / 2),
            )
            for number, (key, found) in enumerate(ranks.items())
        )
        lines.append(Line(name=name, text=shortened(name), y=middle, bars=bars))
    places = [rank for rank in range(1, rows + 1) if rank == 1 or rank % every == 0]
    return RankBars(
        lines=tuple(lines),
        ticks=tuple((axis.at(rank), str(rank)) for rank in places),
        keys=tuple(ranks),
        height=TOP + LINE * rows + 8,
    )
