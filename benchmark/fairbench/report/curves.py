"""Training curves: how the validation accuracy of every class went, epoch by epoch, from the history of a run.

    curves(run, class_names=board.class_names)      # None if the history has no such values

Accuracies are those under the attack of the validation, by which the checkpoint is selected. Results are not trusted:
epochs whose values are not one accuracy for each class are left out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairbench.metrics import Vector, average, worst, worst_class
from fairbench.report.axis import Axis, linear_axis
from fairbench.report.labels import shortened
from fairbench.row import Run

LEFT, RIGHT, TOP, BOTTOM = 40.0, 600.0, 12.0, 190.0
"""Of the plane, in the unit of the picture; class names stand to the right of it."""

MOST_CLASSES = 20
"""With more of them, a picture shows the average and the worst class alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """What one epoch reached, averaged and at the worst class."""

    number: int
    average: float
    worst: float
    worst_name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Curves:
    """A picture of one seed.

    Attributes:
        classes: name and path of every class; none if there are too many.
        average: path.
        worst: path of the worst class of each epoch.
        ends: name and height of the texts to the right: the lowest and the highest class of the last epoch.
        selected: position of the selected epoch; None if it is not in the picture.
        across: epochs.
        along: accuracies.
        epochs: the numbers.
    """

    classes: tuple[tuple[str, str], ...]
    average: str
    worst: str
    ends: tuple[tuple[str, float], ...]
    selected: float | None
    across: Axis
    along: Axis
    epochs: tuple[Epoch, ...]


def curves(run: Run, *, class_names: Sequence[str]) -> Curves | None:
    """Arrange the history of a run."""
    history = [
        (k, values)
        for k, entry in enumerate(run.provenance.history)
        if (values := _accuracies(entry.get("validation_robust"), classes=len(class_names))) is not None
    ]
    if len(history) < 2:
        return None
    numbers, table = [k for k, _ in history], np.stack([values for _, values in history])
    across = linear_axis([numbers[0] + 1, numbers[-1] + 1], start=LEFT, end=RIGHT, show=lambda epoch: f"{epoch:g}")
    along = linear_axis([0.0, 1.0], start=BOTTOM, end=TOP, show=lambda share: f"{round(100 * share)}")

    def path(values: Vector) -> str:
        return _path([(across.at(k + 1), along.at(value)) for k, value in zip(numbers, values, strict=True)])

    known = [k for k in range(len(class_names)) if np.isfinite(table[:, k]).all()]
    drawn = known if len(known) <= MOST_CLASSES else []
    last = table[-1]
    ends = []
    if drawn:
        low, high = min(drawn, key=lambda k: last[k]), max(drawn, key=lambda k: last[k])
        heights = along.at(last[low]), min(along.at(last[high]), along.at(last[low]) - 13)
        ends = [(shortened(class_names[k]), y + 4) for k, y in zip((low, high), heights, strict=True)]
    selected = run.provenance.selected_epoch
    return Curves(
        classes=tuple((class_names[k], path(table[:, k])) for k in drawn),
        average=path(np.array([average(values) for values in table])),
        worst=path(np.array([worst(values) for values in table])),
        ends=tuple(ends),
        selected=across.at(selected + 1) if numbers[0] <= selected <= numbers[-1] else None,
        across=across,
        along=along,
        epochs=tuple(
            Epoch(
                number=number + 1,
                average=average(values),
                worst=worst(values),
                worst_name=class_names[worst_class(values)],
            )
            for number, values in history
        ),
    )


def _path(points: Sequence[tuple[float, float]]) -> str:
    """Whole units relative to the point before: a page has many curves of many epochs. What is NaN is left out."""
    (x, y), *rest = ((round(x), round(y)) for x, y in points if math.isfinite(y))
    text = f"M{x} {y}l"
    for u, v in rest:
        text += f"{u - x} {v - y} "
        x, y = u, v
    return text.rstrip(" l")


def _accuracies(values: Any, *, classes: int) -> Vector | None:
    """A list from a file as accuracies per class, NaN where it has none; None if it is something else."""
    if not isinstance(values, list) or len(values) != classes:
        return None
    if not all(value is None or (type(value) in (int, float) and 0 <= value <= 1) for value in values):
        return None
    found: Vector = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    return found if np.isfinite(found).any() else None
