"""Accuracy of every class for every seed under every attack, with its Wilson interval: the table behind the bars.

class_lines(row, board.attacks, class_names=board.class_names)[3].bars[0].accuracies["autoattack"].interval
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fairbench.boards.row import Row
from fairbench.boards.seed_result import SeedResult
from fairbench.outcomes.metrics import Interval, wilson
from fairbench.protocol.attack_names import Attack


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracy:
    """What was counted, and its Wilson interval of 95 %."""

    value: float
    interval: Interval


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A class in one seed.

    Attributes:
        accuracies: by attack.
        gap: accuracy under PGD-20 minus that under AutoAttack; NaN where AutoAttack did not judge.
    """

    accuracies: Mapping[Attack, Accuracy]
    gap: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassLine:
    """A class: its name, how many test images it has, a bar for each seed; none without images."""

    name: str
    count: int
    bars: tuple[Bar, ...]


def class_lines(row: Row, attacks: Sequence[Attack], *, class_names: Sequence[str]) -> list[ClassLine]:
    """The finished seeds of a row, which were all judged on the same images."""
    counts = row.finished[0].accuracies["clean"].counts
    gaps = [
        result.attack_gap.tolist() if "autoattack" in attacks else [math.nan] * len(counts) for result in row.finished
    ]
    return [
        ClassLine(
            name=name,
            count=int(counts[k]),
            bars=tuple(
                Bar(accuracies={attack: _accuracy(result, attack, k) for attack in attacks}, gap=gap[k])
                for result, gap in zip(row.finished, gaps, strict=True)
                if counts[k]
            ),
        )
        for k, name in enumerate(class_names)
    ]


def _accuracy(result: SeedResult, attack: Attack, label: int) -> Accuracy:
    found = result.accuracies[attack]
    correct, count = int(found.correct[label]), int(found.counts[label])
    return Accuracy(value=float(found.values[label]), interval=wilson(correct, count))
