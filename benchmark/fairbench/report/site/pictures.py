"""The pictures of a board: what they show, as tables, from which the page draws them.

    for picture in scatters(board):
        picture.title, picture.points, picture.front

A picture has no numbers of its own: `assets/drawings.js` reads those of its table. Without a script the table is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fairbench.boards.board import Board
from fairbench.boards.row import Row
from fairbench.boards.seed_result import SeedResult
from fairbench.outcomes.metrics import Interval, average, worst
from fairbench.report.phrases import attack_names, card_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A row of a picture.

    Attributes:
        name: of the row.
        x: value on the horizontal axis.
        y: value on the vertical axis.
        across: interval of `x`.
        along: interval of `y`.
    """

    name: str
    x: float
    y: float
    across: Interval
    along: Interval


@dataclass(frozen=True, kw_only=True, slots=True)
class Scatter:
    """Two numbers of every row against each other.

    Attributes:
        key: of the picture, for its address.
        title: heading.
        caption: what is shown.
        horizontal: title of the axis.
        vertical: title of the axis; more is better.
        points: one for each row.
        front: those that no other one beats.
        cost: whether the horizontal axis is the cost, a multiple of PGD-10 AT of which less is better, or an accuracy.
    """

    key: str
    title: str
    caption: str
    horizontal: str
    vertical: str
    points: tuple[Point, ...]
    front: frozenset[int]
    cost: bool


def scatters(board: Board) -> list[Scatter]:
    """Average and cost of the ranked rows against their worst class; none without such rows."""
    points = {
        row: Point(
            name=name,
            x=row.summary(board.attack, average).mean,
            y=row.summary(board.attack, worst).mean,
            across=Interval(*board.standings["average"].intervals[k].tolist()),
            along=Interval(*board.standings["worst"].intervals[k].tolist()),
        )
        for k, (row, name) in enumerate(picture_names(board).items())
    }
    drawn = []
    if points:
        drawn.append(_averages(board, list(points.values())))
    if known := {row: point for row, point in points.items() if all(_plausible(result) for result in row.results)}:
        drawn.append(_costs(board, known))
    return drawn


def picture_names(board: Board) -> dict[Row, str]:
    """What the ranked rows are called in a picture: `TRADES`, `TRADES beta=3`; the label where these repeat."""
    names = [" ".join([str(card_of(row)["title"]), *_settings(row)]) for row in board.ranked]
    return {row: name if names.count(name) == 1 else row.label for row, name in zip(board.ranked, names, strict=True)}


def pareto_front(points: Sequence[Point], *, cheap: bool = False) -> frozenset[int]:
    """Points that no other one beats: at least as good in both directions, better in one.

    Args:
        points: rows; more is better on the vertical axis.
        cheap: less is better on the horizontal axis.
    """
    sign = -1 if cheap else 1
    values = [(sign * point.x, point.y) for point in points]
    return frozenset(
        k for k, (x, y) in enumerate(values) if not any(u >= x and v >= y and (u, v) != (x, y) for u, v in values)
    )


def _settings(row: Row) -> list[str]:
    return [f"{name}={_short(value)}" for name, value in sorted(row.provenance.changed.items())]


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _plausible(result: SeedResult) -> bool:
    """Whether a cost fits on an axis; nobody trains for nothing, and results are not trusted."""
    return 1e-3 <= result.cost <= 1e4


def _averages(board: Board, points: Sequence[Point]) -> Scatter:
    name = attack_names(board)[board.attack]
    return Scatter(
        key="average",
        title="Average against worst class",
        caption=f"{name}, means over seeds, with intervals of 95 % over seeds and images. Up and to the right is "
        "better; the line joins the rows that no other row beats in both.",
        horizontal=f"{name}, average, %",
        vertical=f"{name}, worst class, %",
        points=tuple(points),
        front=pareto_front(points),
        cost=False,
    )


def _costs(board: Board, rows: dict[Row, Point]) -> Scatter:
    name = attack_names(board)[board.attack]
    points = [
        Point(
            name=point.name,
            x=row.cost,
            y=point.y,
            across=Interval(min(result.cost for result in row.results), max(result.cost for result in row.results)),
            along=point.along,
        )
        for row, point in rows.items()
    ]
    return Scatter(
        key="cost",
        title="Worst class against training cost",
        caption=f"{name}, means over seeds, with intervals of 95 % over seeds and images. Cost counts image passes, as "
        "a multiple of PGD-10 adversarial training. Up and to the left is better; the line joins the rows that no "
        "other row beats in both.",
        horizontal="Training cost, × PGD-10 AT",
        vertical=f"{name}, worst class, %",
        points=tuple(points),
        front=pareto_front(points, cheap=True),
        cost=True,
    )
