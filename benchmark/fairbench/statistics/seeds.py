"""Training noise: what a few seeds say about a method.

    t_interval([0.30, 0.32, 0.31])              # of the mean over all possible seeds
    welch_degrees(variances, degrees)           # of differences between methods

Three seeds estimate a spread badly, and Student's t says so: its interval is 2.2 times as wide as the normal one.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from fairbench.outcomes.metrics import Interval, Vector


def t_interval(values: Sequence[float] | Vector, *, level: float = 0.95) -> Interval:
    """Interval of the mean over seeds with S - 1 degrees of freedom, in the unit of the values, not clipped.

    For two methods pass their differences seed by seed. It knows nothing of the test set: images that are easy by
    chance are so in every seed. One seed allows everything.
    """
    mean = float(np.mean(values))
    if len(values) == 1:
        return Interval(-math.inf, math.inf)
    half = special.stdtrit(len(values) - 1, (1 + level) / 2) * math.sqrt(mean_variance(values))
    return Interval(mean - half, mean + half)


def mean_variance(values: Sequence[float] | Vector) -> float:
    """Estimated variance of the mean over seeds; 0 for one seed, whose statements are about that seed alone."""
    return float(np.var(values, ddof=1)) / len(values) if len(values) > 1 else 0.0


def welch_degrees(variances: Vector, degrees: Vector) -> Vector:
    """Degrees of freedom of the sum of two estimated variances, of all pairs (Satterthwaite 1946, Welch 1947).

    Args:
        variances: of the parts, (parts,).
        degrees: of freedom of each, (parts,); a part with 0 is none.
    """
    squares = np.where(degrees > 0, variances**2 / np.maximum(1e-9, degrees), 0.0)
    total = variances[:, None] + variances
    below = squares[:, None] + squares
    most: Vector = np.maximum(degrees[:, None], degrees)
    return np.where(below > 0, total**2 / np.where(below > 0, below, 1), most)
