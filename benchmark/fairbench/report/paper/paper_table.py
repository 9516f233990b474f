"""What a table in a paper says about a board, before it is LaTeX or Markdown: headings, cells, and a caption."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from fairbench.boards.board import Board
from fairbench.boards.row import Row
from fairbench.outcomes.metrics import average, worst, worst_share
from fairbench.report.evidence import baseline_sentence, leading_sentence, power_sentence, row_against_baseline
from fairbench.report.headings import heading
from fairbench.report.phrases import (
    NOTHING,
    attack_names,
    multiple,
    plural,
    protocol_sentence,
    row_name,
    separation_sentence,
)

LEVEL = "95 %"


@dataclass(frozen=True, kw_only=True)
class PaperCell:
    """A text.

    Attributes:
        text: as it stands, not escaped.
        best: it may have the first place by the column's key.
    """

    text: str
    best: bool = False


@dataclass(frozen=True, kw_only=True)
class PaperLine:
    """A row of the table.

    Attributes:
        row: what it is about.
        cells: as many as there are headings; the second one is the name.
    """

    row: Row
    cells: tuple[PaperCell, ...]


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """A table with its caption.

    Attributes:
        headings: of the columns.
        blocks: ranked lines, and those of models that were trained elsewhere; none is empty.
        caption: a heading, then sentences.
    """

    headings: tuple[str, ...]
    blocks: tuple[tuple[PaperLine, ...], ...]
    caption: str


def paper_table(board: Board, *, top: int | None = None) -> PaperTable:
    """Ranked rows in their order, then models that were trained elsewhere; incomplete rows are named in the caption.

    Args:
        board: what it is about.
        top: so many ranked rows and no others, with their places and intervals among all of them; None for every row.
    """
    names = attack_names(board)
    weaker = () if board.attack == "pgd20" else (names["pgd20"],)
    compared = () if board.baseline is None else ("Worst, vs baseline", "Average, vs baseline")
    headings = ("Rank", "Method", "Worst class", "Worst 20 %", "Average", *compared, *weaker, names["clean"], "Cost")
    ranked = tuple(_line(board, row, index) for index, row in enumerate(board.ranked[:top]))
    external = tuple(_line(board, row, None) for row in board.external if top is None)
    return PaperTable(
        headings=headings, blocks=tuple(block for block in (ranked, external) if block), caption=_caption(board, top)
    )


def points(share: float) -> str:
    """Percent with two decimals, from which the count can be recovered."""
    return f"{100 * share:.2f}"


def _line(board: Board, row: Row, index: int | None) -> PaperLine:
    attack = board.attack
    low, high = row.envelope(attack) if index is None else board.standings["worst"].intervals[index]
    cells = [
        PaperCell(text=NOTHING if index is None else _places(board, index)),
        PaperCell(text=row_name(row)),
        _key(board, "worst", index, f"{points(row.summary(attack, worst).mean)} [{100 * low:.1f}, {100 * high:.1f}]"),
        _key(board, "worst-20", index, points(row.summary(attack, partial(worst_share, percent=20)).mean)),
        _key(board, "average", index, points(row.summary(attack, average).mean)),
    ]
    cells += _against(board, index)
    if attack != "pgd20":
        cells.append(PaperCell(text=points(row.summary("pgd20", average).mean)))
    cells += [PaperCell(text=points(row.summary("clean", average).mean)), PaperCell(text=multiple(row.cost))]
    return PaperLine(row=row, cells=tuple(cells))


def _key(board: Board, key: str, index: int | None, text: str) -> PaperCell:
    return PaperCell(text=text, best=index is not None and int(board.standings[key].ranks[index, 0]) == 1)


def _against(board: Board, index: int | None) -> list[PaperCell]:
    """Better, worse or not known, and by how many points; nothing on a board without its baseline."""
    if board.baseline is None:
        return []
    verdicts = [None if index is None else row_against_baseline(board, key, index) for key in ("worst", "average")]
    return [PaperCell(text=verdict.text if verdict else NOTHING) for verdict in verdicts]


def _places(board: Board, index: int) -> str:
    first, last = board.standings["worst"].ranks[index]
    return str(first) if first == last else f"{first}–{last}"


def _caption(board: Board, top: int | None) -> str:
    sentences = [f"{heading(board)}.", protocol_sentence(board)]
    if top is not None and top < len(board.ranked):
        sentences.append(f"The first {top} of {len(board.ranked)} rows, by the worst class.")
    if board.ranked:
        seeds = sorted({len(row.finished) for row in board.ranked})
        many = plural(seeds[0], "seed") if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
        sentences.append(
            f"Percent, means over {many}; worst classes are taken per seed, with {LEVEL} intervals over images and "
            "seeds in brackets. Rank: first and last place that a row may have by its worst class, all of them "
            f"together at {LEVEL}; bold: may have the first place of the column. {separation_sentence(board)}"
        )
        sentences += filter(None, [leading_sentence(board), power_sentence(board), baseline_sentence(board)])
    sentences.append(
        "Cost: of training, as a multiple of PGD-10 adversarial training. Upper bounds on true robustness."
    )
    sentences += [f"Not ranked: {_reasons(board.unranked)}."] if board.unranked and top is None else []
    return " ".join(sentences)


def _reasons(rows: Sequence[Row]) -> str:
    return "; ".join(f"{row_name(row)} ({row.reason})" for row in rows)
