"""Two numbers of every row against each other, with intervals and the Pareto front, as positions in a picture.

    picture = scatter(points, caption="...", horizontal=("Average, %", axis), vertical=("Worst class, %", axis))

Everything is computed when the page is built; the template draws it, and needs no script to be read or printed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fairbench.metrics import Interval
from fairbench.report.axis import Axis
from fairbench.report.labels import Box, place, shortened

WIDTH, HEIGHT = 760.0, 460.0
LEFT, RIGHT, TOP, BOTTOM = 56.0, 744.0, 16.0, 412.0
"""Of the plane between the axes, in the unit of the picture."""

_NEAR = 12.0
"""A name as close as this needs no line to its dot."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A row of the picture.

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
class Mark:
    """A point where it is drawn.

    Attributes:
        point: what is drawn.
        x: of the dot.
        y: of the dot.
        left: end of the horizontal interval.
        right: its other end.
        top: end of the vertical interval.
        bottom: its other end.
        text: the name, possibly shortened; "" without room.
        at: left end of the text's baseline.
        leader: path of the line from the dot to a text that is not next to it; "" without one.
        front: whether no other row is at least as good in both and better in one.
    """

    point: Point
    x: float
    y: float
    left: float
    right: float
    top: float
    bottom: float
    text: str
    at: tuple[float, float]
    leader: str
    front: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Scatter:
    """A picture of points.

    Attributes:
        horizontal: title and axis.
        vertical: title and axis.
        marks: in the order of the points.
        front: path along the Pareto front.
    """

    horizontal: tuple[str, Axis]
    vertical: tuple[str, Axis]
    marks: tuple[Mark, ...]
    front: str


def scatter(
    points: Sequence[Point], *, horizontal: tuple[str, Axis], vertical: tuple[str, Axis], cheap: bool = False
) -> Scatter:
    """Arrange points.

    Args:
        points: rows.
        horizontal: title and axis, from `LEFT` to `RIGHT`.
        vertical: title and axis, from `BOTTOM` to `TOP`; more is better.
        cheap: less is better on the horizontal axis.
    """
    across, along = horizontal[1], vertical[1]
    centres = [(across.at(point.x), along.at(point.y)) for point in points]
    texts = [shortened(point.name) for point in points]
    boxes = place(centres, texts, inside=Box(LEFT + 4, TOP, RIGHT + 8, BOTTOM - 4))
    best = pareto_front(points, cheap=cheap)
    marks = tuple(
        Mark(
            point=point,
            x=x,
            y=y,
            left=across.at(point.across.low),
            right=across.at(point.across.high),
            top=along.at(point.along.high),
            bottom=along.at(point.along.low),
            text=text if box else "",
            at=(box.left, box.bottom - 2.5) if box else (0.0, 0.0),
            leader=_leader(x, y, box) if box else "",
            front=k in best,
        )
        for k, (point, (x, y), text, box) in enumerate(zip(points, centres, texts, boxes, strict=True))
    )
    corners = sorted({(mark.x, mark.y) for mark in marks if mark.front})
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in corners) if len(corners) > 1 else ""
    return Scatter(horizontal=horizontal, vertical=vertical, marks=marks, front=path)


def pareto_front(points: Sequence[Point], *, cheap: bool = False) -> frozenset[int]:
    """Points that no other one beats: at least as good in both directions, better in one."""
    sign = -1 if cheap else 1
    values = [(sign * point.x, point.y) for point in points]
    return frozenset(
        k for k, (x, y) in enumerate(values) if not any(u >= x and v >= y and (u, v) != (x, y) for u, v in values)
    )


def _leader(x: float, y: float, box: Box) -> str:
    """From a dot to the nearest point of a box."""
    u, v = min(max(x, box.left), box.right), min(max(y, box.top), box.bottom)
    return f"M{x:.1f} {y:.1f}L{u:.1f} {v:.1f}" if max(abs(u - x), abs(v - y)) > _NEAR else ""
