"""Robust accuracy against the radius, as a picture that needs no script, and as the table beside it.

    for picture in radius_pictures(row):
        picture.lines[0].name, picture.lines[0].path       # ("average", "M44 12L...")

One picture for each seed whose protocol has a curve, on equal axes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fairbench.boards.row import Row
from fairbench.outcomes.radii import Line, lines_by_radius
from fairbench.report.phrases import MANY_CLASSES, half_phrase, radius

WIDTH, HEIGHT = 560, 300
"""Of a picture, in its own units."""

LEFT, RIGHT, TOP, BOTTOM = 48, 92, 12, 40
"""Margins; the names of two classes stand at the right."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A text at an axis or a curve, and where it stands."""

    text: str
    x: float
    y: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """One curve: what it is, its values, where half of its clean value is left, and how it is drawn."""

    line: Line
    half: str
    path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RadiusPicture:
    """The curve of one seed.

    Attributes:
        seed: which.
        radii: of its columns, `clean` first.
        lines: the average, the worst class, and every class; drawn are the latter unless there are too many.
        across: radii at the horizontal axis.
        along: percents at the vertical axis.
        names: of the classes that end highest and lowest.
        half: where half of the worst class's clean accuracy is left.
    """

    seed: int
    radii: tuple[str, ...]
    lines: tuple[Drawn, ...]
    across: tuple[Mark, ...]
    along: tuple[Mark, ...]
    names: tuple[Mark, ...]
    half: str


def radius_pictures(row: Row) -> list[RadiusPicture]:
    """Of every finished seed with a curve."""
    found = []
    for result in row.finished:
        by_radius = result.kept.by_radius
        if by_radius:
            lines = lines_by_radius(by_radius, result.provenance.class_names)
            found.append(_picture(result.provenance.seed, list(by_radius), lines))
    return found


def _picture(seed: int, radii: Sequence[float], lines: Sequence[Line]) -> RadiusPicture:
    largest = radii[-1]

    def across(size: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * size / largest

    def along(share: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - share)

    drawn = tuple(
        Drawn(
            line=line,
            half=half_phrase(line.half, largest=largest),
            path="M"
            + "L".join(
                f"{across(size):.1f} {along(value):.1f}" for size, value in zip(radii, line.values, strict=True)
            ),
        )
        for line in lines
    )
    classes = [line for line in lines if line.kind == "class"]
    ends = sorted(classes, key=lambda line: line.values[-1]) if len(classes) <= MANY_CLASSES else []
    names = [
        Mark(text=line.name, x=across(largest) + 6, y=along(line.values[-1])) for line in ends[:: max(len(ends) - 1, 1)]
    ]
    if len(names) == 2 and names[0].y - names[1].y < 14:  # the lower one stands below the other
        names[0] = Mark(text=names[0].text, x=names[0].x, y=names[1].y + 14)
    return RadiusPicture(
        seed=seed,
        radii=("clean", *map(radius, radii[1:])),
        lines=drawn,
        across=tuple(
            Mark(text=radius(size) if size else "0", x=across(size), y=HEIGHT - BOTTOM + 18) for size in radii
        ),
        along=tuple(Mark(text=f"{share} %", x=LEFT - 8, y=along(share / 100)) for share in (0, 25, 50, 75, 100)),
        names=tuple(names),
        half=half_phrase(lines[1].half, largest=largest),
    )
