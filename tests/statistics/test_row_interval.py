"""The interval of a row, by hand."""

import numpy as np
import pytest

from fairbench.statistics import Resampled
from fairbench.statistics.row_interval import row_intervals
from fairbench.statistics.seed_variance import SeedVariance


def test_by_hand() -> None:
    """Images 4 points; seeds 2 points with 12 degrees of freedom, so 2 / sqrt(3) for three; a bias of 1 point.

    1.960^2 x 16 + 2.179^2 x 4 / 3 = 61.47 + 6.33, whose root is 8.23.
    """
    key = Resampled(
        names=("three seeds", "one seed"),
        seeds=(np.array([0.29, 0.30, 0.31]), np.array([0.5])),
        shared=np.diag([0.04**2, 0.04**2]),
        luck=np.zeros(2),
        both=np.zeros((1, 2)),
        bias=np.array([(0.01, 0.01), (0.0, 0.0)]),
    )
    noise = SeedVariance(variances=np.array([0.02**2, 0.0]), degrees=np.array([12.0, 0.0]), prior_degrees=10.0)
    found = row_intervals(key, noise=noise)
    assert found[0] == pytest.approx([0.30 + 0.01 - 0.0823, 0.30 + 0.01 + 0.0823], abs=1e-4)
    assert found[1] == pytest.approx([0.5 - 0.0784, 0.5 + 0.0784], abs=1e-4)


@pytest.mark.parametrize(("gap", "z"), [(0.0, 1.960), (0.12, 1.681), (1.2, 1.645)])
def test_a_bias_that_is_not_known_well_leaves_one_end_to_be_missed(gap: float, z: float) -> None:
    """A third of a gap of 12 points is one standard error: Phi(1.681 + 1) - Phi(-1.681) = .9963 - .0464."""
    key = Resampled(
        names=("one",),
        seeds=(np.array([0.3]),),
        shared=np.array([[0.04**2]]),
        luck=np.zeros(1),
        both=np.zeros((1, 1)),
        bias=np.array([(0.0, gap)]),
    )
    noise = SeedVariance(variances=np.zeros(1), degrees=np.zeros(1), prior_degrees=0.0)
    assert row_intervals(key, noise=noise)[0] == pytest.approx([0.3 - 0.04 * z, 0.3 + gap + 0.04 * z], abs=4e-4)
