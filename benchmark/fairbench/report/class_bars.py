"""Accuracy of every class for every seed, with its Wilson interval: the table behind the bars.

class_lines(row, "autoattack", class_names=board.class_names)[3].bars[0].interval
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fairbench.metrics import Attack, Interval, wilson
from fairbench.row import Row


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A class in one seed: its accuracy, the Wilson interval of 95 %, and the accuracy without an attack."""

    value: float
    interval: Interval
    clean: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassLine:
    """A class: its name, how many test images it has, a bar for each seed; none without images."""

    name: str
    count: int
    bars: tuple[Bar, ...]


def class_lines(row: Row, attack: Attack, *, class_names: Sequence[str]) -> list[ClassLine]:
    """The finished seeds of a row, which were all judged on the same images."""
    counts = row.finished[0].accuracies[attack].counts
    return [
        ClassLine(name=name, count=int(counts[k]), bars=_bars(row, attack, k) if counts[k] else ())
        for k, name in enumerate(class_names)
    ]


def _bars(row: Row, attack: Attack, label: int) -> tuple[Bar, ...]:
    return tuple(
        Bar(
            value=float(found.values[label]),
            interval=wilson(int(found.correct[label]), int(found.counts[label])),
            clean=float(run.accuracies["clean"].values[label]),
        )
        for run in row.finished
        for found in [run.accuracies[attack]]
    )
