"""Training curves: how the validation accuracy of every class went, epoch by epoch, from the history of a run.

    curves(result, class_names=board.class_names)      # None if the history has no such values

Accuracies are those under the attack of the validation, by which the checkpoint is selected.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fairbench.boards.seed_result import SeedResult
from fairbench.outcomes.metrics import Vector
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
    found = result.validation.robust
    numbers = np.flatnonzero(np.isfinite(found).any(axis=1)) + 1
    if len(numbers) < 2:
        return None
    first, last = int(numbers[0]), int(numbers[-1])
    table = found[first - 1 : last]
    with warnings.catch_warnings(category=RuntimeWarning, action="ignore"):  # an epoch without accuracies has no mean
        series = [
            _series("average", "average", np.nanmean(table, axis=1)),
            _series("worst", "worst class", np.nanmin(table, axis=1)),
        ]
    if len(class_names) <= MANY_CLASSES:
        series += [_series("class", name, table[:, k]) for k, name in enumerate(class_names)]
    selected = result.provenance.selected_epoch + 1
    starts = range(first, last + 1, TOGETHER)
    return Curves(
        first=first,
        selected=selected if first <= selected <= last else None,
        spans=tuple(f"{start}–{min(start + TOGETHER - 1, last)}" for start in starts),
        series=tuple(series),
    )


def _series(kind: str, name: str, values: Vector) -> Series:
    """Classes are drawn thinly: a whole percent is finer than their lines."""
    texts = [whole_percent(value) if kind == "class" else percent(value) for value in values.tolist()]
    cells = (" ".join(texts[start : start + TOGETHER]) for start in range(0, len(texts), TOGETHER))
    return Series(kind=kind, name=name, cells=tuple(cells))
