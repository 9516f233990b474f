"""The heat map as tables: accuracy per class under every attack, and what each class gained or paid.

    for view in heat_views(board):
        view.title                      # "Clean", "PGD-20", "AutoAttack", "AutoAttack − PGD-AT"
        view.lines[0].cells             # per class: value, share of the scale, sign

The difference to the baseline answers who paid for the gain of the worst class.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from fairbench.boards.board import Board
from fairbench.boards.row import Row
from fairbench.outcomes.metrics import Vector, deviation, worst_class
from fairbench.protocol.attack_names import Attack
from fairbench.report.phrases import attack_names, row_name
from fairbench.statistics import class_gain

FULL_DIFFERENCE = 0.4
"""A gain or loss that has the full colour; all larger ones look alike."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeatCell:
    """One class of one row.

    Attributes:
        value: accuracy or difference, in [-1, 1]; NaN without test images.
        share: of the view's scale, in [0, 1]; NaN as the value.
        lowest: whether this is the row's lowest class, or its largest loss.
    """

    value: float
    share: float
    lowest: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class HeatLine:
    """A row: its cells, one for each class, and the standard deviation over them."""

    name: str
    cells: tuple[HeatCell, ...]
    deviation: float


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """A table.

    Attributes:
        key: of its button: an attack, or `difference`.
        title: of its button.
        caption: what the values are.
        signed: whether they are differences.
        lines: rows.
    """

    key: str
    title: str
    caption: str
    signed: bool
    lines: tuple[HeatLine, ...]


def heat_views(board: Board) -> list[View]:
    """One view for every attack, weakest first, then the difference to the baseline if it is ranked."""
    if not any(row.finished for row in (*board.ranked, *board.unranked, *board.external)):
        return []
    titles = attack_names(board)
    views = [
        View(
            key=attack,
            title=titles[attack],
            caption=f"Accuracy by class, {titles[attack]}, percent",
            signed=False,
            lines=tuple(_line(name, values, signed=False) for name, values in _accuracies(board, attack)),
        )
        for attack in board.attacks
    ]
    return views + ([_difference(board, board.baseline)] if board.baseline and len(board.ranked) > 1 else [])


def points(difference: float) -> str:
    """A difference of accuracies in percentage points, with its sign: `+1.2`, `−0.3`."""
    return f"{100 * difference:+.1f}".replace("-", "−")


def _accuracies(board: Board, attack: Attack) -> Iterator[tuple[str, Vector]]:
    """Names and class accuracies: means over seeds of ranked rows, the seeds of all others."""
    for row in board.ranked:
        yield row_name(row), row.class_means(attack)
    for row in (*board.unranked, *board.external):
        for result in row.finished:
            yield f"{row_name(row)}, seed {result.provenance.seed}", result.accuracies[attack].values


def _difference(board: Board, base: Row) -> View:
    reference = base.class_means(board.attack)
    gains = [(row_name(row), class_gain(row.class_means(board.attack), reference)) for row in board.ranked]
    name, title = row_name(base), attack_names(board)[board.attack]
    return View(
        key="difference",
        title=f"{title} − {name}",
        caption=f"Accuracy by class, {title}, points more or less than {name}",
        signed=True,
        lines=tuple(_line(row, gain, signed=True) for row, gain in gains),
    )


def _line(name: str, values: Vector, *, signed: bool) -> HeatLine:
    """Cells of a row; a row without a loss has no largest one."""
    lowest, scale = worst_class(values), FULL_DIFFERENCE if signed else 1.0
    cells = tuple(
        HeatCell(value=value, share=min(1.0, abs(value) / scale), lowest=k == lowest and not (signed and value >= 0))
        for k, value in enumerate(values.tolist())
    )
    return HeatLine(name=name, cells=cells, deviation=deviation(values))
