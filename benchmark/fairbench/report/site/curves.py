"""Training curves: how the validation accuracy of every class went, epoch by epoch, from the history of a run.

    curves(result, class_names=board.class_names)      # None if the history has no such values

Accuracies are those under the attack of the validation, by which the checkpoint is selected. Results are not trusted:
epochs whose values are not one accuracy for each class are left out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairbench.boards.seed_result import SeedResult
from fairbench.outcomes.metrics import Vector, average, worst
from fairbench.report.phrases import MANY_CLASSES, percent, whole_percent

TOGETHER = 10
"""Epochs that share a cell: one for each would be the larger part of the site."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """A curve: what it is, `average`, `worst` or `class`; its name; percent by epoch, several epochs in a cell."""

    kind: str
    name: str
    cells: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Curves:
    """A picture of one seed.

    Attributes:
        first: epoch of the first value, from 1.
        selected: epoch of the checkpoint; None if it is not in the picture.
        spans: epochs of every cell, such as `1–10`.
        series: average, worst class of each epoch, then every class unless there are too many.
    """

    first: int
    selected: int | None
    spans: tuple[str, ...]
    series: tuple[Series, ...]


def curves(result: SeedResult, *, class_names: Sequence[str]) -> Curves | None:
    """Arrange the history of a run."""
    found = [
        _accuracies(entry.get("validation_robust"), classes=len(class_names)) for entry in result.provenance.history
    ]
    numbers = [epoch for epoch, values in enumerate(found, start=1) if values is not None]
    if len(numbers) < 2:
        return None
    first, last = numbers[0], numbers[-1]
    missing = np.full(len(class_names), math.nan)
    table = np.stack([missing if values is None else values for values in found[first - 1 : last]])
    known = np.isfinite(table).any(axis=1)
    series = [
        _series(
            "average", "average", [average(line) if ok else math.nan for line, ok in zip(table, known, strict=True)]
        ),
        _series(
            "worst", "worst class", [worst(line) if ok else math.nan for line, ok in zip(table, known, strict=True)]
        ),
    ]
    if len(class_names) <= MANY_CLASSES:
        series += [_series("class", name, table[:, k].tolist()) for k, name in enumerate(class_names)]
    selected = result.provenance.selected_epoch + 1
    starts = range(first, last + 1, TOGETHER)
    return Curves(
        first=first,
        selected=selected if first <= selected <= last else None,
        spans=tuple(f"{start}–{min(start + TOGETHER - 1, last)}" for start in starts),
        series=tuple(series),
    )


def _series(kind: str, name: str, values: Sequence[float]) -> Series:
    """Classes are drawn thinly: a whole percent is finer than their lines."""
    texts = [whole_percent(value) if kind == "class" else percent(value) for value in values]
    cells = (" ".join(texts[start : start + TOGETHER]) for start in range(0, len(texts), TOGETHER))
    return Series(kind=kind, name=name, cells=tuple(cells))


def _accuracies(values: Any, *, classes: int) -> Vector | None:
    """A list from a file as accuracies per class, NaN where it has none; None if it is something else."""
    if not isinstance(values, list) or len(values) != classes:
        return None
    if not all(value is None or (type(value) in (int, float) and 0 <= value <= 1) for value in values):
        return None
    found: Vector = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    return found if np.isfinite(found).any() else None
