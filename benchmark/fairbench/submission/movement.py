"""How a row moves a board: the places and groups of all rows, with their intervals, before and after.

moved = movement(others, own)
moved.lines[0]          # Line(label="smooth-at", before=None, after=Standing(rank=3, ...))
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fairbench.boards.board import Board
from fairbench.boards.ranking import rank
from fairbench.boards.seed_result import SeedResult

KEYS = ("worst", "average")
"""By which a movement is told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where a row stands by one key.

    Attributes:
        value: of the key, in [0, 1].
        low: end of its interval (95 %).
        high: its other end.
        first: the first place that it may have.
        last: the last one.
        group: number of its tie group, from 1.
    """

    value: float
    low: float
    high: float
    first: int
    last: int
    group: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One row of the board.

    Attributes:
        label: of the row.
        rank: its place in the order of the table, before and after; None where it is not ranked.
        before: by key; empty if it was not there.
        after: by key; empty if it is ranked nowhere.
    """

    label: str
    rank: tuple[int | None, int | None]
    before: dict[str, Standing]
    after: dict[str, Standing]

    @property
    def moved(self) -> bool:
        """Whether its rank, its places or its group are others than before."""
        places = [
            {key: (one.first, one.last, one.group) for key, one in found.items()} for found in (self.before, self.after)
        ]
        return self.rank[0] != self.rank[1] or places[0] != places[1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Movement:
    """A board before and after a row is added.

    Attributes:
        suite: of the board.
        attack: that ranks.
        own: label of the added row.
        lines: of every ranked row, in the order of the board as it will be.
        external: accuracies of the added row if it was trained elsewhere and is ranked nowhere: worst and average.
    """

    suite: str
    attack: str
    own: str
    lines: tuple[Line, ...]
    external: tuple[float, float] | None


def movement(others: Iterable[SeedResult], own: Sequence[SeedResult]) -> Movement:
    """What adding a row's seeds does to the board on which they will stand.

    Args:
        others: results that are there already; those of the same row are replaced.
        own: seeds of the row, at least one.
    """
    label, files = own[0].provenance.label, {result.file for result in own}
    there = [result for result in others if result.file not in files]
    boards = rank([*there, *own]).boards
    after = next(board for board in boards if label in [row.label for row in board.rows])
    before = next((board for board in rank(there).boards if board.key == after.key), None)
    old = _standings(before) if before else {}
    new = _standings(after)
    order = [row.label for row in after.ranked]
    lines = tuple(
        Line(
            label=name,
            rank=(_rank(before, name), _rank(after, name)),
            before=old.get(name, {}),
            after=new.get(name, {}),
        )
        for name in [*order, *sorted(set(old) - set(order))]
    )
    return Movement(
        suite=after.suite,
        attack=after.attack,
        own=label,
        lines=lines,
        external=_external(after, label),
    )


def _rank(board: Board | None, label: str) -> int | None:
    labels = [row.label for row in board.ranked] if board else []
    return labels.index(label) + 1 if label in labels else None


def _standings(board: Board) -> dict[str, dict[str, Standing]]:
    """Of the ranked rows, by label and key."""
    return {
        row.label: {
            key: Standing(
                value=float(found.values[number]),
                low=float(found.intervals[number, 0]),
                high=float(found.intervals[number, 1]),
                first=int(found.ranks[number, 0]),
                last=int(found.ranks[number, 1]),
                group=next(place for place, group in enumerate(found.groups, start=1) if number in group),
            )
            for key in KEYS
            for found in (board.standings[key],)
        }
        for number, row in enumerate(board.ranked)
    }


def _external(board: Board, label: str) -> tuple[float, float] | None:
    row = next((row for row in board.external if row.label == label), None)
    return None if row is None else (float(row.exact(board.attack, "worst")), float(row.exact(board.attack, "average")))
