"""The interval of a row on any key: images and seeds.

    row_intervals(found["worst-20"], noise=moderated(found["worst-20"], spread=class_spread(verdicts)))

v + a - h to v + b + h: the downward bias is at least a and at most b, and the half-width h takes both noises, sqrt(z^2
V + t^2 s^2 / S) (see `fairbench.statistics.two_noises`). V is the variance over test sets that the seeds share; what
each seed has for itself is in s already. s^2 is moderated by the board, with its degrees of freedom: t of three seeds
alone is 4.3, and where seeds are most of the noise the interval would be more than twice as wide as its noise asks for.
A board of one or two methods lends nothing. With one seed it is a statement about that model alone.

Where b - a is large beside the noise, the truth can lie beyond one end only, and each end may be missed twice as often
(Imbens and Manski, Econometrica 2004). A third of b - a counts for that: the bounds are estimates, and the truth may
lie between them.

A normal law is a poor one where hardly any image of the worst class is right, or hardly any wrong: there the worst
class has its guaranteed envelope instead. Coverage is tried by simulation in `tests/statistics/test_simulation.py`.
"""

from collections.abc import Sequence

import numpy as np
from scipy import special

from fairbench.outcomes.metrics import ClassAccuracies, Vector
from fairbench.statistics.bootstrap import Resampled
from fairbench.statistics.envelope import envelope
from fairbench.statistics.halving import halved
from fairbench.statistics.seed_variance import SeedVariance
from fairbench.statistics.two_noises import half_width

FEW = 5
"""Right or wrong images of the worst class, in any seed, below which the envelope is used."""


def row_intervals(resampled: Resampled, *, noise: SeedVariance, level: float = 0.95) -> Vector:
    """Both ends, (methods, 2), not cut off where no value can be.

    Args:
        resampled: the key.
        noise: of single seeds on that key.
        level: of every interval for itself.
    """
    training = noise.variances / np.array([len(values) for values in resampled.seeds])
    images = np.diag(resampled.shared)
    least, most = resampled.bias.T
    beyond = _beyond((most - least) / 3, np.sqrt(images + training), level=level)
    half = half_width(images, training, noise.degrees, level=1 - 2 * beyond)
    return np.stack([resampled.values + least - half, resampled.values + most + half], axis=1)


def _beyond(gap: Vector, deviation: Vector, *, level: float) -> Vector:
    """Probability beyond either end, from (1 - level) / 2 without a gap to 1 - level with a wide one.

    With Gaussian noise and the truth at one end of the gap, both ends together are missed with 1 - level.
    """
    wide = gap / np.maximum(deviation, 1e-12)
    ends = np.full(gap.shape, (1 - level) / 2), np.full(gap.shape, 1 - level)
    found, _ = halved(lambda beyond: special.ndtr(wide - special.ndtri(beyond)) - beyond >= level, *ends)
    return found


def worst_class_interval(interval: Vector, seeds: Sequence[ClassAccuracies], *, level: float = 0.95) -> Vector:
    """The interval of one row's worst class, or the envelope where it is known to be better founded, (2,)."""
    edges = []
    for one in seeds:
        worst = int(np.nanargmin(one.values))
        edges.append(min(one.correct[worst], one.counts[worst] - one.correct[worst]))
    return np.array(envelope(seeds, level=level)) if min(edges) < FEW else interval
