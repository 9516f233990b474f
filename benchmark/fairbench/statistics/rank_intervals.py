"""How far the place of a row can be trusted.

    rank_intervals(better)                          # (methods, 2): first and last place it may have
    best_probability(found["average"].both)         # share of resamples in which it wins

A rank interval counts who is certainly better and who is certainly worse (Mogstad, Romano, Shaikh and Wilhelm, Review
of Economic Studies 2024), so all intervals together hold wherever the separations do, ties included. Percentiles of
resampled ranks do not: each resample starts from the order observed, and among equal methods, each of which may have
any rank, they cover that in 50 to 75 % of cases only.
"""

import numpy as np
import numpy.typing as npt

from fairbench.outcomes.metrics import Counts, Vector


def rank_intervals(better: npt.NDArray[np.bool_]) -> Counts:
    """First and last rank that each method may have, (methods, 2) from 1, of a matrix of separations."""
    return np.stack([1 + better.sum(axis=0), len(better) - better.sum(axis=1)], axis=1).astype(np.int64)


def best_probability(draws: Vector) -> Vector:
    """Share of resamples in which each method has the highest value, (methods,) from (draws, methods); ties are shared.

    A description: it sums to 1, but equal methods need not have equal shares.
    """
    best = draws == draws.max(axis=1, keepdims=True)
    share: Vector = (best / best.sum(axis=1, keepdims=True)).mean(axis=0)
    return share
