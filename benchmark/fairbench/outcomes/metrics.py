"""What the verdicts of one run say: accuracy per class, its average, its minimum, its spread, and how sure that is.

    robust = class_accuracies(outcomes.rows, 10, "autoattack")
    robust.values                       # (classes,) float64; NaN for a class without test images
    worst(robust.values)                # the headline
    minimum_envelope(robust)            # its 95 % interval, valid although the minimum was picked

Everything is a pure function of counts. A class without test images has no accuracy: it is excluded and
never counted as 0. The vector functions take accuracies per class and return NaN if no class has data.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from fairbench.outcomes.store import NOT_RUN
from fairbench.protocol.attack_names import Attack, Checkpoint

Vector = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Columns = pd.DataFrame | Mapping[str, npt.NDArray[Any]]
"""Of a table of verdicts, by name; whoever takes thousands of them apart has them as arrays."""


class Interval(NamedTuple):
    """Both ends."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassAccuracies:
    """Correctly classified images per class.

    Attributes:
        counts: test images per class, (classes,).
        correct: how many of them are classified correctly, clean and under the attack, (classes,).
    """

    counts: Counts
    correct: Counts

    @cached_property
    def values(self) -> Vector:
        """Accuracy per class, (classes,) in [0, 1]; NaN for a class without test images. Not to be written into."""
        values: Vector = np.full(len(self.counts), np.nan)
        np.divide(self.correct, self.counts, out=values, where=self.counts > 0)
        values.flags.writeable = False
        return values

    @property
    def overall(self) -> float:
        """Share of all images; equals the average over classes on balanced data only."""
        total = int(self.counts.sum())
        return int(self.correct.sum()) / total if total else math.nan


def class_accuracies(
    rows: Columns, classes: int, attack: Attack, *, checkpoint: Checkpoint = "selected"
) -> ClassAccuracies:
    """Per class, the images whose clean prediction is right and stays right under the attack.

    Args:
        rows: verdicts of one run, the columns of `fairbench.outcomes.store.SCHEMA`.
        classes: number of classes, absent ones included.
        attack: a column of predictions; `clean` is no attack at all.
        checkpoint: AutoAttack judges the selected one alone.

    Raises:
        ValueError: if the attack has not judged every image; there are no partial numbers.
    """
    labels = np.asarray(rows["label"])
    correct = attacked_predictions(rows, attack, checkpoint=checkpoint) == labels
    return count_correct(labels, correct, classes=classes)


def count_correct(labels: npt.NDArray[np.integer], correct: npt.NDArray[np.bool_], *, classes: int) -> ClassAccuracies:
    """Per class, the images and those of them that are classified correctly.

    Args:
        labels: true class per image, (images,).
        correct: (images,).
        classes: number of classes, absent ones included.
    """
    split = np.bincount(2 * labels.astype(np.int64) + correct, minlength=2 * classes).reshape(-1, 2)
    return ClassAccuracies(counts=split.sum(axis=1), correct=split[:, 1].copy())


def attacked_predictions(
    rows: Columns, attack: Attack, *, checkpoint: Checkpoint = "selected"
) -> npt.NDArray[np.int16]:
    """What every image is taken for under an attack, (images,): the clean prediction where the attack finds no error.

    An image that is wrong without an attack stays wrong, even where PGD happens to repair it.

    Raises:
        ValueError: if the attack has not judged every image.
    """
    prefix = "last_" if checkpoint == "last" else ""
    labels, clean, found = (np.asarray(rows[name]) for name in ("label", f"{prefix}clean", f"{prefix}{attack}"))
    if (found == NOT_RUN).any():
        raise ValueError(f"{attack} has not judged every image.")
    predictions: npt.NDArray[np.int16] = np.where(found == labels, clean, found)
    return predictions


def steps_survived(rows: Columns, classes: int) -> Vector:
    """Iterates of PGD-20 classified correctly, mean per class, (classes,): how near the boundary its images lie."""
    labels = np.asarray(rows["label"])
    total = np.bincount(labels, weights=np.asarray(rows["pgd20_survived"]), minlength=classes)
    counts = np.bincount(labels, minlength=classes)
    means: Vector = np.full(classes, np.nan)
    np.divide(total, counts, out=means, where=counts > 0)
    return means


def average(accuracies: Vector) -> float:
    """Mean over the classes with data."""
    present = _present(accuracies)
    return float(np.add.reduce(present) / present.size) if present.size else math.nan  # as `mean`, in half the time


def worst(accuracies: Vector) -> float:
    """Accuracy of the worst class."""
    present = _present(accuracies)
    return float(present.min()) if present.size else math.nan


def worst_class(accuracies: Vector) -> int:
    """Which class is the worst; the first of equals.

    Raises:
        ValueError: if no class has data.
    """
    return int(np.nanargmin(accuracies))


def worst_share(accuracies: Vector, percent: int) -> float:
    """Mean of the worst `percent` % of the classes, rounded up to whole classes in integer arithmetic."""
    present = np.sort(_present(accuracies))
    number = -(-percent * present.size // 100)
    return float(present[:number].mean()) if number else math.nan


def deviation(accuracies: Vector) -> float:
    """Population standard deviation over the classes."""
    present = _present(accuracies)
    return float(present.std()) if present.size else math.nan


def spread(accuracies: Vector) -> float:
    """Range: best class minus worst class."""
    present = _present(accuracies)
    return float(np.ptp(present)) if present.size else math.nan


def normalised_deviation(accuracies: Vector) -> float:
    """NSD: population standard deviation divided by the average; NaN if the average is 0."""
    mean = average(accuracies)
    return deviation(accuracies) / mean if mean else math.nan


def gini(accuracies: Vector) -> float:
    """Gini coefficient, from 0 to (C - 1) / C for C classes with data; NaN if the average is 0."""
    present, mean = _present(accuracies), average(accuracies)
    if not mean or not present.size:
        return math.nan
    return float(np.abs(np.subtract.outer(present, present)).sum() / (2 * present.size**2 * mean))


@lru_cache(maxsize=2**16)  # classes of some hundred images have few different counts, and a page asks for thousands
def wilson(correct: int, count: int, *, level: float = 0.95) -> Interval:
    """Wilson score interval of one accuracy; no data allows everything."""
    if count == 0:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, scale = correct / count, 1 + z * z / count
    centre = (share + z * z / (2 * count)) / scale
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / scale
    # Round-off must not put 0 or 1 outside its own interval.
    return Interval(0.0 if correct == 0 else centre - half, 1.0 if correct == count else centre + half)


def minimum_envelope(accuracies: ClassAccuracies, *, level: float = 0.95) -> Interval:
    """Bonferroni-Wilson interval of the worst class's true accuracy.

    The truly worst class alone has to be covered from below, so the lower end takes the ordinary level; from above
    every class could undercut the others by chance, so the upper end is corrected for their number. The percentile
    bootstrap of a minimum covers nothing where classes tie.
    """
    present = [
        (int(correct), int(count))
        for correct, count in zip(accuracies.correct, accuracies.counts, strict=True)
        if count
    ]
    if not present:
        return Interval(0.0, 1.0)
    corrected = 1 - (1 - level) / len(present)
    return Interval(
        min(wilson(correct, count, level=level).low for correct, count in present),
        min(wilson(correct, count, level=corrected).high for correct, count in present),
    )


def _present(accuracies: Vector) -> Vector:
    return accuracies[~np.isnan(accuracies)]
