"""A board in the terminal, worst class first: the end of `run-all`."""

import math

from rich.markup import escape
from rich.table import Table

from fairbench.board import Board, Row, Run
from fairbench.metrics import average, worst

NOTHING = "–"


def terminal_table(board: Board) -> Table:
    """Ranked rows with means over seeds, then the incomplete ones seed by seed; accuracies in percent."""
    table = Table(title=escape(board.title or board.suite), caption=_caption(board), title_justify="left")
    table.add_column("#", justify="right")
    table.add_column("method")
    names = {"autoattack": "AutoAttack", "pgd20": "PGD-20", "clean": "clean"}
    for attack in reversed(board.attacks):
        table.add_column(f"{names[attack]}\nworst", justify="right", style="bold" if attack == board.attack else "")
        table.add_column(f"{names[attack]}\naverage", justify="right")
    table.add_column("cost\n× PGD-AT", justify="right")
    table.add_column("seeds", justify="right")
    for rank, row in enumerate(board.ranked, start=1):
        cells = [
            f"{100 * row.summary(attack, metric).mean:.1f}"
            for attack in reversed(board.attacks)
            for metric in (worst, average)
        ]
        table.add_row(str(rank), escape(row.label), *cells, _cost(row.cost), str(len(row.runs)))
    for row in board.unranked:
        for run in row.runs:
            table.add_row(NOTHING, *_single(board, row, run), style="dim")
    return table


def _single(board: Board, row: Row, run: Run) -> list[str]:
    """One seed of an incomplete row."""
    name = escape(f"{row.label}, seed {run.provenance.seed}")
    columns = 2 * len(board.attacks)
    if not run.finished:
        return [f"{name}: failed", *[NOTHING] * columns, NOTHING, NOTHING]
    cells = [
        f"{100 * metric(run.accuracies[attack].values):.1f}"
        for attack in reversed(board.attacks)
        for metric in (worst, average)
    ]
    return [name, *cells, _cost(run.provenance.cost + run.provenance.prerequisite_cost), "1"]


def _caption(board: Board) -> str:
    reasons = [f"{row.label}: {row.reason}" for row in board.unranked]
    return escape("\n".join(["Percent, mean over seeds; upper bounds on true robustness.", *reasons]))


def _cost(cost: float) -> str:
    return f"{cost:.2f}" if math.isfinite(cost) else NOTHING
