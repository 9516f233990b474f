"""Sentences and figures of a board, generated from its values and never written by hand."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from fairbench.board import Board, Row, Run
from fairbench.method import Card
from fairbench.metrics import Attack, Vector, wilson, worst

NOTHING = "–"

ATTACK_NAMES: Mapping[Attack, str] = {"clean": "Clean", "pgd20": "PGD-20", "autoattack": "AutoAttack"}


def percent(share: float) -> str:
    """One decimal; a dash where there is no data."""
    return f"{100 * share:.1f}" if math.isfinite(share) else NOTHING


def multiple(cost: float) -> str:
    """A training cost relative to PGD-10 adversarial training."""
    return f"{cost:.2f}×" if math.isfinite(cost) else NOTHING


def radius(epsilon: float) -> str:
    """A fraction of 255 if it is one, because 0.031 is another threat than 8/255."""
    levels = round(epsilon * 255)
    return f"{levels}/255" if 0 < levels < 255 and math.isclose(levels / 255, epsilon) else f"{epsilon:g}"


def listed(words: Iterable[object]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, last = map(str, words)
    return f"{', '.join(first)} and {last}" if first else last


def plural(number: int, noun: str) -> str:
    """`1 seed`, `2 seeds`, `3 classes`."""
    return f"{number:,} {noun}{'' if number == 1 else 'es' if noun.endswith('s') else 's'}"


def protocol_sentence(board: Board) -> str:
    """What the board shows: data, model, training, threat and attacks."""
    protocol = board.protocol
    threat, evaluation = protocol["threat"], protocol["evaluation"]
    dataset = protocol["dataset"].get("name", "a dataset of its own")
    seeds = sorted({run.provenance.seed for row in (*board.ranked, *board.unranked) for run in row.runs})
    ball = "L∞" if threat["norm"] == "Linf" else threat["norm"]
    engine = {"fairbench": "", "reference": " (by pyautoattack)"}[evaluation.get("engine", "reference")]
    attacks = [f"PGD-{evaluation['pgd_steps']}"] + [f"standard AutoAttack{engine}"] * (board.attack == "autoattack")
    tested = f" on {plural(sum(board.counts), 'test image')}" if board.counts else ""
    return (
        f"Every method trains {protocol['model']} on {dataset} ({plural(len(board.class_names), 'class')}) for "
        f"{plural(protocol['recipe']['epochs'], 'epoch')}"
        + (f" with {'seed' if len(seeds) == 1 else 'seeds'} {listed(seeds)}" if seeds else "")
        + f"; the checkpoint selected on validation data is attacked{tested} by {listed(attacks)} within an {ball} "
        f"ball of radius {radius(threat['epsilon'])}."
    )


def precision_sentence(board: Board) -> str:
    """How well a test set of this size knows one class."""
    smallest = min((count for count in board.counts if count), default=0)
    if not smallest:
        return ""
    low, high = wilson(smallest // 2, smallest - smallest % 2)
    return (
        f"The smallest class has {plural(smallest, 'test image')}: one seed knows a class accuracy of 50 % to "
        f"±{50 * (high - low):.0f} points (95 %, Wilson). Smaller differences are no evidence."
    )


def worst_classes(row: Row, attack: Attack) -> str:
    """Names of the worst class over seeds, the most frequent first: `cat ×2, deer`."""
    counted = Counter(run.worst_class(attack) for run in row.finished).most_common()
    if len(counted) == 1:
        return counted[0][0]
    return ", ".join(f"{name} ×{times}" if times > 1 else name for name, times in counted)


def raised(row: Row) -> list[str]:
    """What a reader must know before trusting the row: the warnings of its seeds, each once."""
    return list(dict.fromkeys(warning for run in row.runs for warning in run.provenance.warnings))


def card_of(row: Row) -> dict[str, Any]:
    """The method's card with every field, and with a link only if a browser may follow it."""
    card = {field.name: "" for field in fields(Card)} | row.provenance.card
    # Results are not trusted: `javascript:` is an address too.
    followed = str(card["link"]).startswith(("https://", "http://"))
    return card | {"title": card["title"] or row.label, "link": card["link"] if followed else ""}


def row_name(row: Row) -> str:
    """The method's title, with the hyper-parameters that were changed: `TRADES (beta = 3.0)`."""
    changed = ", ".join(settings(row.provenance.changed))
    return f"{card_of(row)['title']}{f' ({changed})' if changed else ''}"


def settings(parameters: Mapping[str, Any]) -> list[str]:
    """`name = value`, sorted by name."""
    return [f"{name} = {value}" for name, value in sorted(parameters.items())]


def axis_end(rows: Sequence[Row], attack: Attack) -> float:
    """Where a common axis for the seeds' worst classes ends: the next full 10 % above all of them."""
    highest = max((value for row in rows for value in row.summary(attack, worst).values), default=0.0)
    return min(1.0, (math.floor(highest * 10) + 1) / 10)


def class_means(runs: Sequence[Run], attack: Attack) -> Vector:
    """Accuracy per class, the mean over seeds, (classes,); for the eye, never for a minimum."""
    means: Vector = np.mean([run.accuracies[attack].values for run in runs], axis=0)
    return means
