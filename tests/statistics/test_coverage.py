"""The envelope holds in at least 95 % of simulated test sets, with ties and without.

The number of repetitions and all seeds are fixed, so a failure is a change of the code and not bad luck.
"""

import numpy as np
import pytest

from fairbench.outcomes.metrics import Vector
from fairbench.statistics import KEYS, bootstrap, envelope
from fixture_types import Simulate

REFERENCE = np.array([0.524, 0.678, 0.311, 0.318, 0.339, 0.369, 0.376, 0.468, 0.592, 0.576])
CLEAR = np.array([0.22, 0.33, 0.40, 0.45, 0.50, 0.50, 0.55, 0.60, 0.65, 0.70])
NEAR = np.array([0.25, 0.26, 0.27, 0.28, 0.40, 0.45, 0.50, 0.55, 0.60, 0.65])
FLAT = np.full(10, 0.5)


@pytest.mark.parametrize("profile", [REFERENCE, CLEAR, NEAR, FLAT], ids=["reference", "clear", "near ties", "equal"])
@pytest.mark.parametrize(("seeds", "deviation"), [(1, 0.0), (3, 0.0), (3, 0.015), (5, 0.05)])
def test_the_envelope_covers_the_worst_class(profile: Vector, seeds: int, deviation: float, simulate: Simulate) -> None:
    rng = np.random.default_rng(0)
    truth = np.clip(profile + deviation * rng.normal(size=(100000, 10)), 0, 1).min(axis=1).mean()
    covered = 0
    for _ in range(150):
        verdicts = simulate([profile], images=300, seeds=seeds, deviation=deviation, rng=rng)
        low, high = envelope(verdicts.accuracies("method 0"))
        covered += low <= truth <= high
    assert covered >= 0.95 * 150


def test_percentiles_of_resampled_ranks_do_not_hold(simulate: Simulate) -> None:
    """The reason for the construction above: six equal methods, each of which may have any rank."""
    rng = np.random.default_rng(0)
    held = 0
    for repetition in range(30):
        verdicts = simulate([CLEAR] * 6, images=100, seeds=3, deviation=0.015, rng=rng)
        draws = bootstrap(verdicts, KEYS, seed=repetition, draws=200)["average"].both
        ranks = 1 + (draws[:, :, None] < draws[:, None, :]).sum(axis=2)
        low, high = np.quantile(ranks, [0.025, 0.975], axis=0)
        held += bool(np.all((low == 1) & (high == 6)))
    assert held < 10
