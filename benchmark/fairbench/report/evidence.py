"""What a board decides and what it cannot see, in words: by the sharpest key first.

leading_sentence(board)             # "By the worst class no two rows can be told apart. By the average ..."
power_sentence(board)               # from which difference on two rows are told apart half the time
against_baseline(board, "average")  # [Verdict(word="better", difference=0.03, low=0.01, high=0.05), ...]
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fairbench.boards.board import Board
from fairbench.report.phrases import listed, plural, row_name
from fairbench.statistics.keys import SHARES, distinct_keys

FIRST_NAMED = 6
"""More rows that may be the first are counted and not named."""

WORDS: Mapping[int, str] = MappingProxyType({1: "better", -1: "worse", 0: "not known"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """A row against the baseline by one key.

    Attributes:
        word: `better`, `worse` or `not known`.
        difference: row minus baseline.
        low: end of its interval; the intervals of all rows hold together.
        high: the other end.
    """

    word: str
    difference: float
    low: float
    high: float

    @property
    def text(self) -> str:
        """`better: +3.1 (+0.9 to +5.4)`, in points."""
        return f"{self.word}: {signed(self.difference)} ({signed(self.low)} to {signed(self.high)})"


def key_title(key: str) -> str:
    """What a key of `fairbench.statistics` is called: `worst class`, `worst 20 %`, `average`."""
    titles = {"worst": "worst class", "average+worst": "average + worst class"}
    return titles.get(key, f"worst {SHARES[key]} %" if key in SHARES else key)


def shown_keys(board: Board) -> list[str]:
    """Keys that are not another one on so few classes."""
    return distinct_keys(sum(count > 0 for count in board.counts))


def signed(share: float) -> str:
    """In points with one decimal and a sign; nothing is below zero that is shown as zero."""
    return f"{round(100 * share, 1) + 0.0:+.1f}".replace("-", "−")


def against_baseline(board: Board, key: str) -> list[Verdict | None]:
    """Of every ranked row; None for the baseline itself, and for all rows of a board without it."""
    return [row_against_baseline(board, key, number) for number in range(len(board.ranked))]


def row_against_baseline(board: Board, key: str, number: int) -> Verdict | None:
    """The same of one ranked row, by its number from 0."""
    found = board.standings[key].against
    if found is None or board.ranked[number] is board.baseline:
        return None
    return Verdict(
        word=WORDS[int(found.decisions[number])],
        difference=float(found.differences[number]),
        low=float(found.intervals[number, 0]),
        high=float(found.intervals[number, 1]),
    )


def leading_sentence(board: Board) -> str:
    """What the order of the rows is worth, and by which key most can be said; "" for fewer than two rows."""
    if len(board.ranked) < 2:
        return ""
    pairs = math.comb(len(board.ranked), 2)
    told = {key: int(board.standings[key].better.sum()) for key in shown_keys(board)}
    if told["worst"]:
        return _told(board, "worst", told["worst"], pairs)
    nothing = (
        "By the worst class no two rows of this board can be told apart, so that its order is one of the numbers alone"
    )
    sharpest = max(told, key=lambda key: told[key])
    if not told[sharpest]:
        return f"{nothing}; nor can they by any other key."
    cause = "the luck of a test set and of a few seeds moves a minimum more than a mean"
    return f"{_told(board, sharpest, told[sharpest], pairs)} {nothing}: {cause}."


def _told(board: Board, key: str, told: int, pairs: int) -> str:
    first = [row_name(row) for row, low in zip(board.ranked, board.standings[key].ranks[:, 0], strict=True) if low == 1]
    if len(first) == 1:
        best = f"the first is {first[0]}"
    else:
        named = f": {listed(first)}" if len(first) <= FIRST_NAMED else ""
        best = f"{len(first)} of {len(board.ranked)} rows may be the first{named}"
    return f"By the {key_title(key)} {told:,} of {plural(pairs, 'pair')} of rows are told apart; {best}."


def power_sentence(board: Board) -> str:
    """From which differences on the tests of this board find what is there; "" for fewer than two rows."""
    if len(board.ranked) < 2:
        return ""
    sizes = sorted({count for count in board.counts if count})
    images = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
    seeds = sorted({len(row.finished) for row in board.ranked})
    trained = plural(seeds[0], "seed") if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
    found = board.standings
    among = listed(f"{_points(found[key].visible)} by the {key_title(key)}" for key in shown_keys(board))
    sentence = (
        f"With {images} images per class and {trained}, two rows are told apart half the time if they differ by "
        f"{among}, all pairs being corrected for"
    )
    against = {key: one.visible for key in shown_keys(board) if (one := found[key].against)}
    if not against:
        return f"{sentence}."
    those = listed(f"{_points(against[key])} by the {key_title(key)}" for key in ("worst", "average") if key in against)
    return f"{sentence}; from the baseline, which is compared with each row alone, by {those}."


def _points(difference: float) -> str:
    return f"{100 * difference:.1f} points" if math.isfinite(difference) else "more than there is"


def baseline_sentence(board: Board) -> str:
    """What the comparison with the baseline is; "" where there is none."""
    if board.baseline is None:
        name = board.baseline_name
        return (
            f"The suite’s baseline, {name}, is not ranked here, so no row is compared with it." if board.ranked else ""
        )
    if len(board.ranked) < 2:
        return ""
    return (
        f"{row_name(board.baseline)} is the baseline that the suite named in advance. “Better” and “worse” hold for "
        "all rows together at 95 % (Holm over these pairs alone, for each key by itself), and so do the intervals of "
        "the differences (Bonferroni)."
    )
