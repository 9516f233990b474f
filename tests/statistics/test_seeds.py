"""Student's t, Welch's degrees of freedom, Stouffer's combination."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fairbench.statistics import stouffer, t_interval
from fairbench.statistics.seeds import mean_variance, welch_degrees


def test_the_t_interval_of_three_seeds() -> None:
    assert np.round(t_interval([1.0, 2.0, 3.0]), 4).tolist() == [-0.4841, 4.4841]


def test_one_seed_allows_everything() -> None:
    assert t_interval([0.3]) == (-math.inf, math.inf)
    assert not mean_variance([0.3])


def test_welch_agrees_with_scipy() -> None:
    first, second = np.array([0.1, 0.4, 0.2, 0.9]), np.array([0.5, 0.55, 0.6])
    degrees = welch_degrees(0, [(mean_variance(values), len(values) - 1) for values in (first, second)])
    assert degrees == pytest.approx(stats.ttest_ind(first, second, equal_var=False).df)


def test_images_add_certainty_about_the_width() -> None:
    assert welch_degrees(0.0, [(2.0, 2)]) == 2
    assert welch_degrees(2.0, [(2.0, 2)]) == 8
    assert welch_degrees(2.0, [(0.0, 0)]) == math.inf


@given(st.floats(1e-6, 1), st.sampled_from([-1.0, 1.0]), st.integers(1, 6))
def test_seeds_that_are_copies_say_no_more_than_one(p_value: float, sign: float, seeds: int) -> None:
    found = stouffer(np.full(seeds, p_value), np.full(seeds, sign), correlation=np.ones((seeds, seeds)))
    assert found == pytest.approx(p_value)


def test_independent_seeds_add_up_and_opposite_ones_cancel() -> None:
    p_values, identity = np.array([0.05, 0.05]), np.eye(2)
    assert stouffer(p_values, np.array([1.0, 1.0]), correlation=identity) == pytest.approx(0.005574, abs=1e-6)
    assert stouffer(p_values, np.array([1.0, -1.0]), correlation=identity) == pytest.approx(1)
