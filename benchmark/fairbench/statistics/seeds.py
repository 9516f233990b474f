"""Training noise: what a few seeds say about a method.

    t_interval([0.30, 0.32, 0.31])              # of the mean over all possible seeds
    welch_degrees(0.8, [(0.2, 2)])              # of an error made of images and seeds

Three seeds estimate a spread badly, and Student's t says so: its interval is 2.2 times as wide as the normal one.
"""

import math
from collections.abc import Iterable, Sequence

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


def welch_degrees(exact: float, estimated: Iterable[tuple[float, int]]) -> float:
    """Degrees of freedom of a sum of variances (Satterthwaite 1946, Welch 1947).

    Args:
        exact: the part from many images, taken as known.
        estimated: parts from few seeds, each with its degrees of freedom (seeds - 1).
    """
    parts = [(variance, degrees) for variance, degrees in estimated if variance > 0]
    if not parts:
        return math.inf
    total = exact + math.fsum(variance for variance, _ in parts)
    return total**2 / math.fsum(variance**2 / degrees for variance, degrees in parts)


def stouffer(p_values: Vector, signs: Vector, *, correlation: Vector) -> float:
    """Two-sided p of per-seed tests combined (Stouffer 1949, Strube 1985).

    The tests see the same images, so their scores are correlated; to call them independent rejects far too often.

    Args:
        p_values: two-sided, (seeds,).
        signs: directions, (seeds,), in {-1, 0, 1}.
        correlation: of the scores, (seeds, seeds).
    """
    scores = -signs * special.ndtri(np.maximum(p_values, np.finfo(float).tiny) / 2)
    return float(2 * special.ndtr(-abs(scores.sum()) / math.sqrt(correlation.sum())))
