"""A board in the terminal, worst class first: the end of `run-all`."""

from rich.markup import escape
from rich.table import Table

from fairbench.board import Board, Row, Run
from fairbench.metrics import average, worst
from fairbench.report.phrases import ATTACK_NAMES, NOTHING, multiple, percent


def terminal_table(board: Board) -> Table:
    """Ranked rows with means over seeds, then the incomplete ones seed by seed; accuracies in percent."""
    title = escape(board.title or board.suite)
    table = Table(title=title, caption=_caption(board), title_justify="left", caption_justify="left")
    table.add_column("#", justify="right")
    table.add_column("method")
    for attack in reversed(board.attacks):
        style = "bold" if attack == board.attack else ""
        table.add_column(f"{ATTACK_NAMES[attack]}\nworst", justify="right", style=style)
        table.add_column(f"{ATTACK_NAMES[attack]}\naverage", justify="right")
    table.add_column("cost\n× PGD-AT", justify="right")
    table.add_column("seeds", justify="right")
    for rank, row in enumerate(board.ranked, start=1):
        accuracies = [
            percent(row.summary(attack, metric).mean)
            for attack in reversed(board.attacks)
            for metric in (worst, average)
        ]
        table.add_row(str(rank), escape(row.label), *accuracies, multiple(row.cost), str(len(row.runs)))
    for row in board.unranked:
        for run in row.runs:
            table.add_row(NOTHING, *_single(board, row, run), style="dim")
    return table


def _single(board: Board, row: Row, run: Run) -> list[str]:
    """One seed of an incomplete row."""
    name = escape(f"{row.label}, seed {run.provenance.seed}")
    if not run.finished:
        return [f"{name}: failed", *[NOTHING] * (2 * len(board.attacks) + 2)]
    accuracies = [
        percent(metric(run.accuracies[attack].values))
        for attack in reversed(board.attacks)
        for metric in (worst, average)
    ]
    return [name, *accuracies, multiple(run.cost), "1"]


def _caption(board: Board) -> str:
    labels: dict[str, list[str]] = {}
    for row in board.unranked:
        labels.setdefault(row.reason, []).append(row.label)
    reasons = [f"{reason}: {', '.join(of)}" for reason, of in labels.items()]
    return escape("\n".join(["Percent, mean over seeds; upper bounds on true robustness.", *reasons]))
