"""Where a ranked row stands by every key, how sure that is, and from whom it has been told apart: part of its page.

key_ranks(board, row)[0]             # KeyRank(title="worst class", value=0.27, place=RankSpan(...), ...)
told_apart(board, row, "worst").below
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fairbench.boards.board import Board
from fairbench.boards.row import Row
from fairbench.outcomes.metrics import Interval
from fairbench.report.evidence import Verdict, key_title, row_against_baseline, shown_keys
from fairbench.report.phrases import row_name
from fairbench.report.site.ranking_table import RankSpan, place


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyRank:
    """A row by one key.

    Attributes:
        title: of the key.
        value: mean over seeds.
        interval: of 95 % over seeds and images.
        seeds: of 95 % over seeds alone, cut off where no value can be.
        place: rank, group, and how often it is the first.
        against: the baseline; None for itself, and without one.
    """

    title: str
    value: float
    interval: Interval
    seeds: Interval
    place: RankSpan
    against: Verdict | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ToldApart:
    """Names of the rows that are certainly below a row, and of those that are certainly above it."""

    below: Sequence[str]
    above: Sequence[str]


def key_ranks(board: Board, row: Row) -> list[KeyRank]:
    """By every key that is not another one on so few classes; none unless the row is ranked."""
    if row not in board.ranked:
        return []
    number = board.ranked.index(row)
    return [
        KeyRank(
            title=key_title(key),
            value=float(found.values[number]),
            interval=Interval(*found.intervals[number].tolist()),
            seeds=Interval(*found.seed_intervals[number].clip(0, 2 if key == "average+worst" else 1).tolist()),
            place=place(board, key, number),
            against=row_against_baseline(board, key, number),
        )
        for key in shown_keys(board)
        for found in [board.standings[key]]
    ]


def told_apart(board: Board, row: Row, key: str) -> ToldApart:
    """Of a ranked row, by a key of `fairbench.statistics`."""
    better, number = board.standings[key].better, board.ranked.index(row)
    return ToldApart(
        below=[row_name(other) for k, other in enumerate(board.ranked) if better[number, k]],
        above=[row_name(other) for k, other in enumerate(board.ranked) if better[k, number]],
    )
