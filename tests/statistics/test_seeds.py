"""Student's t and Welch's degrees of freedom."""

import math

import numpy as np
import pytest
from scipy import stats

from fairbench.statistics import t_interval
from fairbench.statistics.seeds import mean_variance, welch_degrees


def test_the_t_interval_of_three_seeds() -> None:
    assert np.round(t_interval([1.0, 2.0, 3.0]), 4).tolist() == [-0.4841, 4.4841]


def test_one_seed_allows_everything() -> None:
    assert t_interval([0.3]) == (-math.inf, math.inf)
    assert not mean_variance([0.3])


def test_welch_agrees_with_scipy() -> None:
    first, second = np.array([0.1, 0.4, 0.2, 0.9]), np.array([0.5, 0.55, 0.6])
    found = welch_degrees(np.array([mean_variance(first), mean_variance(second)]), np.array([3.0, 2.0]))
    assert found[0, 1] == found[1, 0] == pytest.approx(stats.ttest_ind(first, second, equal_var=False).df)


def test_a_method_with_one_seed_adds_no_degrees() -> None:
    """Its statements are about that model alone."""
    assert welch_degrees(np.array([2.0, 0.0, 0.0]), np.array([2.0, 0.0, 0.0]))[:, 2].tolist() == [2, 0, 0]
