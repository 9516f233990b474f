"""What the first page says of each board where there are several suites: its size, and who leads by which key.

line = overview(boards)[0]
line.address                            # "suites/digits.html#board-digits-full-1c0f62e9"
line.leading["average"].leaders[0]      # Leader(name="TRADES", address="methods/...", value=0.41)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fairbench.boards.board import Board
from fairbench.report.headings import anchor, headings
from fairbench.report.phrases import row_name
from fairbench.report.site.addresses import method_address, suite_pages

LEADERS = 3
"""Rows that are named by each key."""

SHOWN_KEYS = ("worst", "average")


@dataclass(frozen=True, kw_only=True, slots=True)
class Leader:
    """A row near the top: what it is called, where its page stands, its value."""

    name: str
    address: str
    value: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Leading:
    """The first rows by a key.

    Attributes:
        leaders: best first.
        may_be_first: how many rows may have the first place, for all rows together at 95 %.
    """

    leaders: tuple[Leader, ...]
    may_be_first: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BoardLine:
    """One board.

    Attributes:
        board: which.
        heading: what it is called among all of them.
        address: where it stands, relative to the site.
        seeds: of ranked rows, fewest and most; None without such a row.
        leading: by key; empty without a ranked row.
    """

    board: Board
    heading: str
    address: str
    seeds: tuple[int, int] | None
    leading: Mapping[str, Leading]


def overview(boards: Sequence[Board]) -> list[BoardLine]:
    """A line for every board, in their order."""
    pages = suite_pages(boards)
    return [
        _line(board, heading, f"{pages[board.suite]}#{anchor(board)}")
        for board, heading in zip(boards, headings(boards), strict=True)
    ]


def _line(board: Board, heading: str, address: str) -> BoardLine:
    seeds = [len(row.finished) for row in board.ranked]
    return BoardLine(
        board=board,
        heading=heading,
        address=address,
        seeds=(min(seeds), max(seeds)) if seeds else None,
        leading={key: _leading(board, key) for key in SHOWN_KEYS} if seeds else {},
    )


def _leading(board: Board, key: str) -> Leading:
    """Rows of equal value stay in the order of the board."""
    found = board.standings[key]
    first = np.argsort(-found.values, kind="stable")[:LEADERS].tolist()
    return Leading(
        leaders=tuple(
            Leader(
                name=row_name(board.ranked[number]),
                address=method_address(board, board.ranked[number]),
                value=float(found.values[number]),
            )
            for number in first
        ),
        may_be_first=int((found.ranks[:, 0] == 1).sum()),
    )
