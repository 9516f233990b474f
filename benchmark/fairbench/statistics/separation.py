"""Who is better than whom beyond doubt: a matrix from which rank intervals and tie groups follow.

    better = separated(found["average"])            # better[i, j]: i is better than j
    better = separated_by_worst_class(verdicts)

Over all pairs together, the probability of any false statement is at most alpha.

Means over the worst classes are biased down, and most for the fairest method. The lower one of a pair is given the
bound of `Resampled.bias`, the higher one nothing.
"""

from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy import special

from fairbench.outcomes.metrics import Vector
from fairbench.statistics.bootstrap import Resampled
from fairbench.statistics.envelope import envelope
from fairbench.statistics.holm import holm_pairs
from fairbench.statistics.paired import paired
from fairbench.statistics.seeds import mean_variance, welch_degrees
from fairbench.statistics.verdicts import Verdicts
from fairbench.statistics.worst_class import candidate_set

Better = npt.NDArray[np.bool_]
"""(methods, methods): row is better than column; both ways false for a tie."""


def pair_p_values(resampled: Resampled) -> Vector:
    """Two-sided p-values of all pairs on a key that is higher for the better, (methods, methods), not yet adjusted.

    Images through the paired bootstrap, seeds through their spread, Student's t with Welch's degrees of freedom.
    """
    values = resampled.values
    covariance = np.atleast_2d(np.cov(resampled.images, rowvar=False))
    training = [(mean_variance(seeds), len(seeds) - 1) for seeds in resampled.seeds]
    p_values = np.ones((len(values), len(values)))
    for i, j in combinations(range(len(values)), 2):
        winner, loser = (i, j) if values[i] >= values[j] else (j, i)
        lead = values[winner] - values[loser] - resampled.bias[loser]
        images = max(0.0, covariance[i, i] + covariance[j, j] - 2 * covariance[i, j])
        total = images + training[i][0] + training[j][0]
        if lead > 0:
            degrees = welch_degrees(images, (training[i], training[j]))
            statistic = lead / np.sqrt(total) if total else np.inf
            p_values[i, j] = p_values[j, i] = 2 * special.stdtr(degrees, -statistic)
    return p_values


def separated(resampled: Resampled, *, alpha: float = 0.05) -> Better:
    """Separation on a smooth key: average, or a mean of at least two worst classes. Holm over all pairs.

    A mean over a single class is the minimum; it has `separated_by_worst_class`.
    """
    significant = holm_pairs(pair_p_values(resampled)) <= alpha
    return significant & (resampled.values[:, None] > resampled.values)


def separated_by_worst_class(verdicts: Verdicts, *, alpha: float = 0.05) -> Better:
    """Separation on the worst class, of which there is no paired quantity: each model has its own.

    Two methods are separated if their envelopes are disjoint, each at level 1 - alpha / methods, so that all of them
    hold together; for two methods that is 1 - alpha / 2. Or if one and the same class is the only candidate of both, in
    every seed, and the paired test on it rejects after Holm over all pairs.
    """
    names = verdicts.names
    seeds = {name: verdicts.accuracies(name) for name in names}
    envelopes = [envelope(seeds[name], level=1 - alpha / max(2, len(names))) for name in names]
    low, high = np.array(envelopes).T
    candidates = [frozenset[int]().union(*(candidate_set(found) for found in seeds[name])) for name in names]
    p_values, differences = np.ones((2, len(names), len(names)))
    for i, j in combinations(range(len(names)), 2):
        if len(candidates[i]) == 1 and candidates[i] == candidates[j]:
            images = verdicts.labels == next(iter(candidates[i]))
            found = paired(verdicts.correct[names[i]][:, images], verdicts.correct[names[j]][:, images])
            p_values[i, j] = p_values[j, i] = found.p_value
            differences[i, j], differences[j, i] = found.difference, -found.difference
    better: Better = (low[:, None] > high) | ((holm_pairs(p_values) <= alpha) & (differences > 0))
    return better
