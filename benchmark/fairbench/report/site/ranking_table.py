"""The ranking of a board as a table: which columns it has, how sure a place is, and by what its rows can be found.

    [column.title for column in columns(board)]         # ["Rank", "Method", "Worst class", "Average", ...]
    place(board, "worst", 0)                            # RankSpan(first=1, last=4, group=1, best=0.34)
    traits(row)["family"]                               # "fairness"

The names of columns and traits are what a link to a view holds, so they stay as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fairbench.boards.board import Board
from fairbench.boards.row import Row
from fairbench.report.phrases import attack_names, card_of
from fairbench.report.site.sentences import few_images
from fairbench.statistics.keys import SHARES, share_size


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of the ranking.

    Attributes:
        name: in links.
        title: its heading.
        above: what the heading stands under, such as the attack; "" if nothing.
        kind: style class of heading and cells.
        first: direction in which a first click sorts.
        help: what a heading of few words cannot say; "" if it can.
    """

    name: str
    title: str
    above: str = ""
    kind: str = "number"
    first: str = "descending"
    help: str = ""


@dataclass(frozen=True, kw_only=True)
class RankSpan:
    """What the data say about the rank of a row.

    Attributes:
        first: rank that it may have, from 1.
        last: rank that it may have.
        group: of rows that cannot be told from the best of them, from 1.
        best: share of resamples in which it comes first.
    """

    first: int
    last: int
    group: int
    best: float

    @property
    def span(self) -> str:
        """`3` or `1–19`."""
        return f"{self.first}–{self.last}" if self.first < self.last else str(self.first)


def columns(board: Board) -> list[Column]:
    """In the order of the cells; the attack that ranks comes first."""
    names = attack_names(board)
    ranking, *others = board.attacks[::-1]
    above = names[ranking]
    return [
        Column(name="rank", title="Rank", kind="rank", first="ascending"),
        Column(name="method", title="Method", kind="method", first="ascending"),
        Column(name="worst", title="Worst class", above=above, kind="number headline"),
        Column(name="average", title="Average", above=above),
        Column(
            name="tail",
            title=f"Worst {SHARES[tail_key(board)]} %",
            above=above,
            kind="number headline" if few_images(board) else "number",
            help="mean of the worst classes",
        ),
        *_baseline_column(board),
        *_hardest_column(board),
        *(
            Column(name=f"{attack}-{name}", title=title, above=names[attack])
            for attack in others
            for name, title in (("worst", "Worst class"), ("average", "Average"))
        ),
        Column(name="cost", title="Cost", above="× PGD-AT", first="ascending", help="image passes in training"),
        Column(
            name="privileges",
            title="training split",
            above="used beyond the",
            kind="beyond",
            first="ascending",
            help="networks, averaged weights, or the validation split, by which a method steers",
        ),
        Column(
            name="seeds",
            title="By seed",
            above=above,
            kind="seeds",
            first="ascending",
            help="the worst class of every seed; sorts by the range",
        ),
        Column(name="flags", title="Flags", kind="flags", first="ascending"),
    ]


def _baseline_column(board: Board) -> list[Column]:
    if board.baseline is None or len(board.ranked) < 2:
        return []
    return [
        Column(
            name="baseline",
            title=str(card_of(board.baseline)["title"]),
            above="against the baseline",
            kind="against",
            help="better, worse or not known; difference in points, with an interval; sorts by the average",
        )
    ]


def _hardest_column(board: Board) -> list[Column]:
    if not board.tries:
        return []
    return [
        Column(
            name="hardest",
            title="Worst class",
            above=f"{attack_names(board)[board.attack]} and what else was tried",
            help="correct under every attack in the ball of the threat, which are named; ranks nobody",
        )
    ]


def compared_keys(board: Board) -> list[str]:
    """By which every row is compared with the baseline in the ranking; none without one."""
    if not _baseline_column(board):
        return []
    return list(dict.fromkeys(["worst", *([tail_key(board)] if few_images(board) else []), "average"]))


def tail_key(board: Board) -> str:
    """The smallest share of the worst classes that is more than the worst one; the largest share if none is."""
    present = sum(count > 0 for count in board.counts)
    wide = [key for key, percent in SHARES.items() if share_size(present, percent=percent) > 1]
    return wide[0] if wide else list(SHARES)[-1]


def place(board: Board, key: str, number: int) -> RankSpan:
    """Of a ranked row, given by its number from 0, by a key of `fairbench.statistics`."""
    found = board.standings[key]
    first, last = found.ranks[number]
    return RankSpan(
        first=int(first),
        last=int(last),
        group=next(place for place, group in enumerate(found.groups, start=1) if number in group),
        best=round(float(found.best[number]), 9),  # so that every machine shows the same decimals
    )


def traits(row: Row) -> dict[str, str]:
    """By what a row can be searched and filtered."""
    card = card_of(row)
    words = (row.label, card["title"], card["authors"], card["venue"], card["year"], card["family"])
    return {
        "words": " ".join(map(str, words)).lower(),
        "family": str(card["family"]),
        "teacher": "yes" if needs_teacher(row) else "no",
        "trained": "elsewhere" if row.results[0].external else "here",
        "verified": "yes" if row.verified else "no",
    }


def needs_teacher(row: Row) -> bool:
    """Whether a larger model had to be trained first."""
    prerequisites = row.provenance.description.get("prerequisites")
    return isinstance(prerequisites, Mapping) and "teacher" in prerequisites


def choices(board: Board) -> dict[str, list[str]]:
    """By trait, the values to filter by, where rows differ."""
    found = [traits(row) for row in (*board.ranked, *board.unranked, *board.external)]
    values = {name: sorted({one[name] for one in found}) for name in ("family", "teacher", "trained", "verified")}
    return {name: several for name, several in values.items() if len(several) > 1}
