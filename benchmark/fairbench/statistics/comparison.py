"""Numbers made of two vectors of class accuracies: clean and robust, two attacks, a method and its baseline.

Accuracies per class are (classes,), NaN for a class without images; what is per class is so in the result too.
"""

import math

import numpy as np

from fairbench.outcomes.metrics import Vector

SMALLEST_BASELINE = 0.05
"""Worst class of a baseline below which rho explodes: 1.33 % to 2.33 % would be +.75."""


def rho_of(worst: float, average: float, baseline: tuple[float, float]) -> float:
    """(A_w - A_w(b)) / A_w(b) - (A(b) - A) / A(b), accuracies in [0, 1].

    NaN if the baseline's worst class is below `SMALLEST_BASELINE`.

    Args:
        worst: A_w, accuracy of the worst class; for a row, the mean over its seeds.
        average: A, average over classes.
        baseline: A_w(b) and A(b).
    """
    base_worst, base_average = baseline
    if not base_worst >= SMALLEST_BASELINE:
        return math.nan
    return (worst - base_worst) / base_worst - (base_average - average) / base_average


def class_gain(accuracies: Vector, baseline: Vector) -> Vector:
    """Per class, accuracy minus that of the baseline: who paid for the worst class's gain."""
    return accuracies - baseline


def boundary_error(clean: Vector, robust: Vector) -> Vector:
    """Per class, clean minus robust accuracy: correct images that the attack breaks.

    Its maximum need not lie in the class of the largest natural error, nor of the largest robust error.
    """
    return clean - robust


def attack_gap(weaker: Vector, stronger: Vector) -> Vector:
    """Per class, accuracy under the weaker attack minus that under the stronger, as PGD-20 minus AutoAttack.

    A large gap says that the defence hides its gradients from the weaker attack.
    """
    return weaker - stronger


def largest(per_class: Vector) -> tuple[int, float]:
    """The class with the largest value, and the value.

    Raises:
        ValueError: if no class has data.
    """
    k = int(np.nanargmax(per_class))
    return k, float(per_class[k])
