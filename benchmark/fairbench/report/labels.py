"""Where to write the names of points so that no two texts overlap.

    boxes = place([(120.0, 80.0), (124.0, 82.0)], ["TRADES", "MART"], inside=Box(left=0, top=0, right=600, bottom=400))

Every name takes the nearest free place around its point, the crowded points first; a name that finds none is left
out, and the table behind the picture still has it. Deterministic: equal points give equal places.
"""

import math
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

HEIGHT = 12.0
"""Of a line of text, in the unit of the picture."""

CHARACTER = 6.9
"""Width of a character at that height; generous, since the reader's font is unknown."""

LONGEST = 24
"""Characters of a name; longer ones are cut."""

_DISTANCES = (7.0, 14.0, 22.0, 32.0, 44.0, 58.0, 74.0, 92.0, 112.0, 136.0, 164.0, 196.0, 232.0)
_DIRECTIONS = 16
_DOT = 5.0


class Box(NamedTuple):
    """A rectangle; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: "Box") -> bool:
        """Whether both share more than an edge."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def holds(self, other: "Box") -> bool:
        """Whether the other one lies inside."""
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.top <= other.top
            and other.bottom <= self.bottom
        )


def shortened(name: str) -> str:
    """A name of at most `LONGEST` characters."""
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def text_width(text: str) -> float:
    """An upper estimate: capitals are wider than other letters, and Chinese and emoji twice as wide."""
    return CHARACTER * sum(
        2 if unicodedata.east_asian_width(character) in "WF" else 1.25 if character.isupper() else 1
        for character in text
    )


def place(points: Sequence[tuple[float, float]], names: Sequence[str], *, inside: Box) -> list[Box | None]:
    """The box of every name, or None where there is no room; no box overlaps another one or a point.

    Args:
        points: centres of the dots.
        names: one for each.
        inside: where text may stand.
    """
    dots = [Box(x - _DOT, y - _DOT, x + _DOT, y + _DOT) for x, y in points]
    boxes: list[Box | None] = [None] * len(points)
    crowding = [sum(math.dist(point, other) < 60 for other in points) for point in points]
    for k in sorted(range(len(points)), key=lambda k: (-crowding[k], k)):
        taken = [*dots, *(box for box in boxes if box)]
        candidates = _around(points[k], text_width(names[k]))
        boxes[k] = next(
            (box for box in candidates if inside.holds(box) and not any(box.overlaps(other) for other in taken)), None
        )
    return boxes


def _around(point: tuple[float, float], width: float) -> list[Box]:
    """Boxes around a point, nearest first; right of it is best."""
    found = []
    for distance in _DISTANCES:
        for step in range(_DIRECTIONS):
            # 0, 1, -1, 2, -2, ...: from the right to the left on both sides at once
            angle = 2 * math.pi / _DIRECTIONS * ((step + 1) // 2) * (1 if step % 2 else -1)
            across, up = math.cos(angle), math.sin(angle)
            x, y = point[0] + distance * across, point[1] - distance * up
            left = x - width * (1 - across) / 2
            top = y - HEIGHT * (1 + up) / 2
            found.append(Box(left, top, left + width, top + HEIGHT))
    return found
