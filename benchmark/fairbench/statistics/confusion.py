"""What errors turn into: confusion under attack, and numbers made of it.

    found = confusion(labels, predictions, classes=10)
    error_shares(found)                 # CFPS: which class attracts the errors
    spectral_norm(found)

AutoAttack's predictions name the class in which its first successful attack ended; those of PGD-20 are of one attack.
"""

import math

import numpy as np

from fairbench.outcomes.metrics import Counts, Vector
from fairbench.statistics.verdicts import Labels


def confusion(labels: Labels, predictions: Labels, *, classes: int) -> Counts:
    """Counts of (label, prediction), (classes, classes); the sums of rows are the images per class.

    Raises:
        ValueError: if a label or a prediction is not a class.
    """
    for name, values in (("label", labels), ("prediction", predictions)):
        if values.size and not 0 <= values.min() <= values.max() < classes:
            raise ValueError(f"Every {name} is from 0 to {classes - 1}, got {values.min()} to {values.max()}.")
    cells = np.bincount(labels.astype(np.int64) * classes + predictions, minlength=classes**2)
    return cells.reshape(classes, classes).astype(np.int64)


def error_shares(confusion: Counts) -> Vector:
    """CFPS: share of all errors that are predicted as each class, (classes,), sums to 1; NaN without an error."""
    errors = confusion.sum(axis=0) - np.diag(confusion)
    total = int(errors.sum())
    return errors / total if total else np.full(len(errors), np.nan)


def spectral_norm(confusion: Counts) -> float:
    """Largest singular value of the off-diagonal part of the row-normalised matrix, over the classes with images."""
    present = confusion.sum(axis=1) > 0
    if not present.any():
        return math.nan
    rates = confusion[present] / confusion[present].sum(axis=1, keepdims=True)
    rates[np.arange(len(rates)), np.flatnonzero(present)] = 0
    return float(np.linalg.norm(rates, ord=2))
