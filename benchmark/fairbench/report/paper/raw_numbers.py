"""A board as comma-separated values: one line per row, numbers unrounded, counts from which they can be recomputed.

    pandas.read_csv(io.StringIO(to_csv(board)))

Accuracies are shares in [0, 1], means over seeds. Rows that are not ranked have counts seed by seed, and no means.
"""

import csv
import io
import json
import math
from collections.abc import Iterator
from statistics import fmean

from fairbench.boards.board import Board
from fairbench.boards.row import Row
from fairbench.boards.seed_result import SeedResult
from fairbench.outcomes.metrics import average, deviation, gini, normalised_deviation, spread, worst, worst_class
from fairbench.report.evidence import WORDS
from fairbench.report.phrases import card_of
from fairbench.statistics import KEYS, largest

Value = str | int | float


def to_csv(board: Board, *, top: int | None = None) -> str:
    """Ranked rows in their order, then incomplete ones, then models that were trained elsewhere."""
    lines = [_line(board, row, kind="ranked", index=index) for index, row in enumerate(board.ranked[:top])]
    if top is None:
        lines += [_line(board, row, kind="incomplete") for row in board.unranked]
        lines += [_line(board, row, kind="external") for row in board.external]
    columns = list(dict.fromkeys(name for line in lines for name in line))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _safe(value) for name, value in line.items()} for line in lines)
    return text.getvalue()


def _line(board: Board, row: Row, *, kind: str, index: int | None = None) -> dict[str, Value]:
    card = card_of(row)
    line: dict[str, Value] = {"suite": board.suite, "tier": board.tier, "kind": kind, "label": row.label}
    line |= {"title": str(card["title"]), "venue": str(card["venue"]), "year": str(card["year"])}
    line |= {"parameters": json.dumps(dict(row.parameters), sort_keys=True), "reason": row.reason}
    line |= {
        "seeds": len(row.finished),
        "worst_by_seed": " ".join(_worst_count(board, result) for result in row.finished),
    }
    line |= {"verified_seeds": sum(result.verified for result in row.finished)}
    if kind == "incomplete":
        return line
    line |= dict(_keys(board, index)) if index is not None else {}
    return line | dict(_numbers(board, row)) | dict(_counts(board, row))


def _keys(board: Board, index: int) -> Iterator[tuple[str, Value]]:
    """What the row stands at by every key."""
    for key in KEYS:
        found = board.standings[key]
        yield key, float(found.values[index])
        for name, pair in (("", found.intervals), ("seeds_", found.seed_intervals)):
            yield f"{key}_{name}low", float(pair[index, 0])
            yield f"{key}_{name}high", float(pair[index, 1])
        yield f"{key}_first_place", int(found.ranks[index, 0])
        yield f"{key}_last_place", int(found.ranks[index, 1])
        yield f"{key}_group", next(place for place, group in enumerate(found.groups, start=1) if index in group)
        yield f"{key}_best_share", float(found.best[index])
        yield f"{key}_visible_difference", found.visible
        if found.against:
            yield f"{key}_minus_baseline", float(found.against.differences[index])
            yield f"{key}_minus_baseline_low", float(found.against.intervals[index, 0])
            yield f"{key}_minus_baseline_high", float(found.against.intervals[index, 1])
            yield f"{key}_against_baseline", WORDS[int(found.against.decisions[index])]


def _numbers(board: Board, row: Row) -> Iterator[tuple[str, Value]]:
    attack = board.attack
    yield "worst_envelope_low", row.envelope(attack).low
    yield "worst_envelope_high", row.envelope(attack).high
    for each in board.attacks:
        yield f"{each}_average", row.summary(each, average).mean
        yield f"{each}_worst", row.summary(each, worst).mean
    spreads = {"deviation": deviation, "normalised_deviation": normalised_deviation, "gini": gini, "range": spread}
    for name, metric in spreads.items():
        yield name, row.summary(attack, metric).mean
    yield "rho", row.rho(board.baseline, attack) if board.baseline else math.nan
    errors = [result.boundary_error(attack) for result in row.finished]
    yield "mean_boundary_error", fmean(average(seed) for seed in errors)
    yield "largest_boundary_error", fmean(largest(seed)[1] for seed in errors)
    if attack == "autoattack":
        yield "largest_pgd20_gap", fmean(largest(result.attack_gap)[1] for result in row.finished)
    yield "worst_candidates", " ".join(map(str, sorted(row.candidates(attack))))
    if not row.results[0].external:
        yield "selected_to_last_worst_pgd20", row.selected_to_last("pgd20", worst).mean
    yield "cost", row.cost


def _counts(board: Board, row: Row) -> Iterator[tuple[str, Value]]:
    """Per class, the test images and how many of them are correct, summed over seeds."""
    for k, name in enumerate(board.class_names):
        yield f"images {name}", len(row.finished) * board.counts[k]
        for attack in board.attacks:
            yield f"{attack} {name}", sum(int(result.accuracies[attack].correct[k]) for result in row.finished)


def _worst_count(board: Board, result: SeedResult) -> str:
    """`17/54`: correct images of the worst class."""
    found = result.accuracies[board.attack]
    k = worst_class(found.values)
    return f"{found.correct[k]}/{found.counts[k]}"


def _safe(value: Value) -> Value:
    """No text that a spreadsheet takes for a formula, and nothing where there is no number."""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
    return value if math.isfinite(value) else ""
