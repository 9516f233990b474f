"""The interval of a row on any key: images and seeds, from the row alone.

    row_intervals(found["worst-20"])                # (methods, 2)

v - h to v + b + h: the bound b of the downward bias is added above, where the truth may be, and the half-width h takes
both noises, sqrt(z^2 V + t^2 s^2 / S) with S - 1 degrees of freedom (see `fairbench.statistics.two_noises`). V is the
variance over test sets that the seeds share; what each seed has for itself is in s already. With one seed it is a
statement about that model alone.

A normal law is a poor one where hardly any image of the worst class is right, or hardly any wrong: there the worst
class has its guaranteed envelope instead. Coverage is tried by simulation in `tests/statistics/test_simulation.py`.
"""

from collections.abc import Sequence

import numpy as np

from fairbench.outcomes.metrics import ClassAccuracies, Vector
from fairbench.statistics.bootstrap import Resampled
from fairbench.statistics.envelope import envelope
from fairbench.statistics.two_noises import half_width

FEW = 5
"""Right or wrong images of the worst class, in any seed, below which the envelope is used."""


def row_intervals(resampled: Resampled, *, level: float = 0.95) -> Vector:
    """Both ends, (methods, 2), not cut off where no value can be."""
    seeds = np.array([len(values) for values in resampled.seeds])
    own = np.array([values.var(ddof=1) if len(values) > 1 else 0.0 for values in resampled.seeds])
    half = half_width(np.diag(resampled.shared), own / seeds, seeds - 1.0, level=level)
    values = resampled.values
    return np.stack([values - half, values + resampled.bias + half], axis=1)


def worst_class_interval(interval: Vector, seeds: Sequence[ClassAccuracies], *, level: float = 0.95) -> Vector:
    """The interval of one row's worst class, or the envelope where it is known to be better founded, (2,)."""
    edges = []
    for one in seeds:
        worst = int(np.nanargmin(one.values))
        edges.append(min(one.correct[worst], one.counts[worst] - one.correct[worst]))
    return np.array(envelope(seeds, level=level)) if min(edges) < FEW else interval
