"""A board in the terminal, worst class first: the end of `run-all`."""

from rich.markup import escape
from rich.table import Table

from fairbench.boards.board import Board
from fairbench.boards.row import Row
from fairbench.boards.seed_result import SeedResult
from fairbench.outcomes.audit import Audit
from fairbench.outcomes.metrics import average, worst
from fairbench.report.evidence import against_baseline, leading_sentence, power_sentence
from fairbench.report.headings import heading
from fairbench.report.phrases import NOTHING, attack_names, audit_bound, multiple, percent, raised


def terminal_table(board: Board) -> Table:
    """Ranked rows with means over seeds, then incomplete ones and models trained elsewhere; accuracies in percent."""
    names = attack_names(board)
    places = board.standings["worst"].ranks if board.ranked else ()
    table = Table(title=escape(heading(board)), caption=_caption(board), title_justify="left", caption_justify="left")
    table.add_column("place", justify="right")
    table.add_column("method")
    for attack in reversed(board.attacks):
        style = "bold" if attack == board.attack else ""
        table.add_column(f"{names[attack]}\nworst", justify="right", style=style)
        table.add_column(f"{names[attack]}\naverage", justify="right")
    compared = [key for key in ("worst", "average") if board.baseline and len(board.ranked) > 1]
    for key in compared:
        table.add_column(f"{key}, against\n{escape(board.baseline_name)}")
    if board.tier == "fast":
        table.add_column("missed at\nmost (95 %)", justify="right")
    table.add_column("cost\n× PGD-AT", justify="right")
    table.add_column("seeds", justify="right")
    verdicts = {key: against_baseline(board, key) for key in compared}
    for number, (row, (first, last)) in enumerate(zip(board.ranked, places, strict=True)):
        accuracies = [
            percent(row.summary(attack, metric).mean)
            for attack in reversed(board.attacks)
            for metric in (worst, average)
        ]
        against = [verdict.text if verdict else NOTHING for verdict in (verdicts[key][number] for key in compared)]
        cells = [*accuracies, *against, *_bound(board, *row.audits.values()), multiple(row.cost), str(len(row.results))]
        rank = str(first) if first == last else f"{first}–{last}"
        table.add_row(rank, escape(row.label), *cells)
    for row in board.unranked:
        for result in row.results:
            table.add_row(NOTHING, *_single(board, row, result, compared=len(compared)), style="dim")
    if board.external:
        table.add_section()
    for row in board.external:
        for result in row.results:
            table.add_row(NOTHING, *_single(board, row, result, compared=len(compared)))
    return table


def _single(board: Board, row: Row, result: SeedResult, *, compared: int) -> list[str]:
    """One seed of a row without a mean; nothing is said of it against the baseline."""
    name = escape(f"{row.label}, seed {result.provenance.seed}")
    if not result.finished:
        return [f"{name}: failed", *[NOTHING] * (2 * len(board.attacks) + compared + 2), *_bound(board)]
    accuracies = [
        percent(metric(result.accuracies[attack].values))
        for attack in reversed(board.attacks)
        for metric in (worst, average)
    ]
    return [name, *accuracies, *[NOTHING] * compared, *_bound(board, result.audit), multiple(result.cost), "1"]


def _bound(board: Board, *audits: Audit | None) -> list[str]:
    """In tier `fast` a cell for what the weakest of these audits leaves open."""
    if board.tier != "fast":
        return []
    known = [audit for audit in audits if audit]
    return [audit_bound(max(known, key=lambda audit: audit.missed_at_most_in_all)) if known else NOTHING]


def _caption(board: Board) -> str:
    lines = ["Percent, mean over seeds; upper bounds on true robustness."]
    lines += filter(None, [leading_sentence(board), power_sentence(board)])
    if board.ranked:
        lines.append("Place: first and last that a row may have by its worst class; all of them together at 95 %.")
    if board.tier == "fast":
        lines.append("APGD: APGD-CE and targeted APGD alone. FAB and Square were left out but for an audit; what they")
        lines.append("could still break is bounded, in the seed where most is open.")
    if board.promoted:
        lines.append(f"Promoted to a higher tier, and on its board: {', '.join(board.promoted)}")
    labels: dict[str, list[str]] = {}
    for row in board.unranked:
        labels.setdefault(row.reason, []).append(row.label)
    lines += [f"{reason}: {', '.join(of)}" for reason, of in labels.items()]
    lines += [f"{row.label}: {warning}" for row in board.external for warning in raised(row)]
    return escape("\n".join(lines))
