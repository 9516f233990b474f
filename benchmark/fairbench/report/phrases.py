"""Sentences and figures of a board, generated from its values and never written by hand."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any

from fairbench.boards.board import Board
from fairbench.boards.row import Row
from fairbench.method.contract import Card
from fairbench.outcomes.audit import Audit
from fairbench.outcomes.metrics import worst
from fairbench.protocol.attack_names import Attack

NOTHING = "–"

MANY_CLASSES = 20
"""More of them are shown in less detail: in whole percents, without a matrix, and without a curve for each."""

ATTACK_NAMES: Mapping[Attack, str] = {"clean": "Clean", "pgd20": "PGD-20", "autoattack": "AutoAttack"}


def attack_names(board: Board) -> Mapping[Attack, str]:
    """What the attacks of a board are called: AutoAttack is more than the two attacks of tier `fast`."""
    return {**ATTACK_NAMES, "autoattack": "APGD"} if board.tier == "fast" else ATTACK_NAMES


def percent(share: float) -> str:
    """One decimal; a dash where there is no data."""
    return f"{100 * share:.1f}" if math.isfinite(share) else NOTHING


@lru_cache(maxsize=2**16)  # validation accuracies are counts of few images; a large board has a million of them
def whole_percent(share: float) -> str:
    """Where a table is large and its numbers are drawn rather than read; a dash where there is no data."""
    return f"{100 * share:.0f}" if math.isfinite(share) else NOTHING


def sortable(value: float) -> str:
    """For the script, in so few digits that every machine writes the same; `nan` where there is no data."""
    return f"{value:.6f}"


def multiple(cost: float) -> str:
    """A training cost relative to PGD-10 adversarial training."""
    return f"{cost:.2f}×" if math.isfinite(cost) else NOTHING


def radius(epsilon: float) -> str:
    """A fraction of 255 if it is one, because 0.031 is another threat than 8/255."""
    levels = round(epsilon * 255)
    return f"{levels}/255" if 0 < levels < 255 and math.isclose(levels / 255, epsilon) else f"{epsilon:g}"


def half_phrase(half: float, *, largest: float) -> str:
    """Where half of a clean accuracy is left, in the unit of the radii: `5.3/255`, `more than 8/255`.

    Args:
        half: as `fairbench.outcomes.radii.half_radius` finds it.
        largest: radius of the curve.
    """
    if math.isnan(half):
        return NOTHING
    if math.isinf(half):
        return f"above {radius(largest)}"
    return f"{255 * half:.3g}/255" if "/" in radius(largest) else f"{half:.3g}"


def listed(words: Iterable[object]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, last = map(str, words)
    return f"{', '.join(first)} and {last}" if first else last


def plural(number: int, noun: str) -> str:
    """`1 seed`, `2 seeds`, `3 classes`."""
    return f"{number:,} {noun}{'' if number == 1 else 'es' if noun.endswith('s') else 's'}"


def ball(board: Board) -> str:
    """The threat in few signs: `L∞ 8/255`."""
    threat = board.protocol["threat"]
    return f"{'L∞' if threat['norm'] == 'Linf' else threat['norm']} {radius(threat['epsilon'])}"


def protocol_sentence(board: Board) -> str:
    """What the board shows: data, model, training, threat and attacks."""
    protocol = board.protocol
    dataset = protocol["dataset"].get("name", "a dataset of its own" if board.trains else board.suite)
    classes = plural(len(board.class_names), "class")
    tested = f" on {plural(sum(board.counts), 'test image')}" if board.counts else ""
    threat = f"by {listed(_attacks(board))} within an {ball(board).replace(' ', ' ball of radius ')}"
    if not board.trains:
        attacked = f"Models that were trained elsewhere are attacked{tested} of {dataset} ({classes}) {threat}."
        return " ".join([attacked, *_search(board)])
    seeds = sorted({result.provenance.seed for row in (*board.ranked, *board.unranked) for result in row.results})
    trained = (
        f"Every method trains {protocol['model']} on {dataset} ({classes}) for "
        f"{plural(protocol['recipe']['epochs'], 'epoch')}"
        + (f" with {'seed' if len(seeds) == 1 else 'seeds'} {listed(seeds)}" if seeds else "")
        + (", unless it fine-tunes a hot start" if _fine_tuned(board) else "")
        + f"; the checkpoint selected on validation data is attacked{tested} {threat}."
    )
    return " ".join([trained, *_search(board)])


def _fine_tuned(board: Board) -> bool:
    """Whether a method has another number of epochs than the recipe, as those that begin from a trained model have."""
    epochs = board.protocol["recipe"]["epochs"]
    results = (result for row in (*board.ranked, *board.unranked) for result in row.results if result.finished)
    return any(result.validation.epochs not in (0, epochs) for result in results)


def _attacks(board: Board) -> list[str]:
    evaluation = board.protocol["evaluation"]
    engine = " (by pyautoattack)" if evaluation.get("engine") == "reference" else ""
    tiers = {
        "screen": [],
        "fast": [f"the first two attacks of standard AutoAttack{engine}, APGD-CE and targeted APGD,"],
        "full": [f"standard AutoAttack{engine}"],
    }
    return [f"PGD-{evaluation['pgd_steps']}", *tiers[board.tier]]


def _search(board: Board) -> list[str]:
    """What else has to be known of the attacks, as sentences."""
    evaluation, sentences = board.protocol["evaluation"], []
    if board.tier == "fast":
        share = f"{100 * evaluation['audit']:g} %"
        sentences.append(
            f"FAB and Square were left out but for an audit: a random {share} of the survivors of every class faced "
            "them, and none broke."
        )
    if evaluation.get("search") == "bf16":
        sentences.append("Breaks were searched for in bf16, which can miss some, and verified in fp32.")
    return sentences


def separation_sentence(board: Board) -> str:
    """Behind which statements about the order of rows which statistics stand, and what they take for granted."""
    return (
        "Rows are separated by the difference of a key, with the luck of the test set from a bootstrap within classes "
        f"({board.draws:,} draws, seed {board.bootstrap_seed}), the variance over seeds moderated over the board, the "
        "lower of two rows given a bound of its bias, and Holm's correction over all pairs; taken for granted is that "
        "the variances over seeds of the board's rows follow the one law that is fitted to them."
    )


def audit_phrase(audit: Audit) -> str:
    """What an audit without a break saw and what it bounds, over all classes."""
    return f"{audit.breaks} of {sum(audit.audited):,} broken; at most {audit_bound(audit)} others could be (95 %)"


def audit_bound(audit: Audit) -> str:
    """How many of the survivors that were not audited could be broken: `26 of 306`."""
    return f"{audit.missed_at_most_in_all:,} of {sum(audit.survivors) - sum(audit.audited):,}"


def worst_classes(row: Row, attack: Attack) -> str:
    """Names of the worst class over seeds, the most frequent first: `cat ×2, deer`."""
    return most_frequent(result.worst_class(attack) for result in row.finished)


def most_frequent(names: Iterable[str]) -> str:
    """Names that repeat, the most frequent first: `cat ×2, deer`; one alone without its number."""
    counted = Counter(names).most_common()
    if len(counted) == 1:
        return counted[0][0]
    return ", ".join(f"{name} ×{times}" if times > 1 else name for name, times in counted)


def candidates(board: Board, row: Row) -> list[str]:
    """Names of the classes that may have the lowest accuracy on average over trainings (95 %), by label."""
    return [board.class_names[label] for label in sorted(row.candidates(board.attack))]


def raised(row: Row) -> list[str]:
    """What a reader must know before trusting the row: the warnings of its seeds, each once."""
    return list(dict.fromkeys(warning for result in row.results for warning in result.provenance.warnings))


def card_of(row: Row) -> dict[str, Any]:
    """The method's card with every field, and with a link only if a browser may follow it."""
    card = {field.name: "" for field in fields(Card)} | row.provenance.card
    # Results are not trusted: `javascript:` is an address too.
    followed = str(card["link"]).startswith(("https://", "http://"))
    name = row.provenance.description["external"]["name"] if row.results[0].external else row.label
    return card | {"title": card["title"] or name, "link": card["link"] if followed else ""}


def row_name(row: Row) -> str:
    """The method's title, with the hyper-parameters that were changed: `TRADES (beta = 3.0)`."""
    remarks = settings(row.provenance.changed) + (["trained elsewhere"] if row.results[0].external else [])
    title = str(card_of(row)["title"])
    return f"{title} ({', '.join(remarks)})" if remarks else title


def settings(parameters: Mapping[str, Any]) -> list[str]:
    """`name = value`, sorted by name."""
    return [f"{name} = {value}" for name, value in sorted(parameters.items())]


def axis_end(rows: Sequence[Row], attack: Attack) -> float:
    """Where a common axis for the seeds' worst classes ends: the next full 10 % above all of them."""
    highest = max((value for row in rows for value in row.summary(attack, worst).values), default=0.0)
    return min(1.0, (math.floor(highest * 10) + 1) / 10)


def privileges_phrase(row: Row) -> str:
    """What a row used beyond the training split, with the cost of a teacher: `teacher (2.9×), validation images`."""
    costs = [run.provenance.teacher_cost for run in row.results if run.provenance.teacher_cost]
    teacher = f"teacher ({multiple(costs[0])})" if costs else "teacher"
    return ", ".join(teacher if one == "teacher" else one for one in row.provenance.privileges)
