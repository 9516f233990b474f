"""Half-widths of two noises, and the test that is their inversion."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fairbench.statistics.two_noises import half_width, p_value


def test_by_hand() -> None:
    """1.96^2 * 0.0004 + 4.303^2 * 0.0003 = 0.001537 + 0.005554 = 0.08421^2."""
    assert float(half_width(0.0004, 0.0003, 2.0)) == pytest.approx(0.08421, abs=1e-5)


def test_each_noise_alone_is_its_own_test() -> None:
    assert float(p_value(0.02, 0.0001, 0.0, 0.0)) == pytest.approx(2 * stats.norm.sf(2))
    assert float(p_value(0.02, 0.0, 0.0001, 2.0)) == pytest.approx(2 * stats.t.sf(2, 2))
    assert float(half_width(0.0, 0.0001, 3.0, level=0.9)) == pytest.approx(stats.t.ppf(0.95, 3) * 0.01)


def test_few_images_leave_everything_open() -> None:
    """As McNemar's test: of three images at most three differ, and 2 / 2^3 is no proof."""
    assert np.isinf(half_width(0.01, 0.0, 0.0, count=3))
    assert float(p_value(1.0, 0.0, 0.0, 0.0, count=3)) > 0.05


def test_around_zero_it_is_the_score_test_of_mcnemar() -> None:
    """40 against 20 of 1,000: z = 20 / sqrt(60)."""
    difference = 0.02
    variance = (0.06 - difference**2) / 1000
    found = float(p_value(difference, variance, 0.0, 0.0, count=1000))
    assert found == pytest.approx(2 * stats.norm.sf(20 / np.sqrt(60)))


@pytest.mark.parametrize("lead", [0.0, -0.1])
def test_without_a_lead_there_is_no_evidence(lead: float) -> None:
    assert float(p_value(lead, 0.01, 0.01, 2.0)) == 1


@pytest.mark.parametrize("unknown", [np.nan, np.inf])
def test_what_is_not_known_proves_nothing(unknown: float) -> None:
    assert float(p_value(0.1, unknown, 0.0, 2.0)) == float(p_value(0.1, 0.0, unknown, 2.0)) == 1


def test_what_never_varies_is_certain() -> None:
    assert float(p_value(0.1, 0.0, 0.0, 2.0)) < 1e-90
    assert float(half_width(0.0, 0.0, 0.0)) == 0


@given(st.floats(1e-4, 1), st.floats(0, 0.1), st.floats(0, 0.1), st.integers(0, 40), st.floats(0.5, 0.9999))
def test_a_test_and_its_interval_say_the_same(
    lead: float, images: float, training: float, degrees: int, level: float
) -> None:
    half = float(half_width(images, training, degrees, level=level, count=50))
    if abs(half - lead) > 1e-7:
        assert (float(p_value(lead, images, training, degrees, count=50)) <= 1 - level) == (half < lead)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_level_is_held_however_the_noise_is_divided(share: float, seeds: int) -> None:
    rng = np.random.default_rng(0)
    training = np.sqrt(1 - share) * np.sqrt(seeds) * rng.standard_normal((40_000, seeds))
    error = training.mean(axis=1) + np.sqrt(share) * rng.standard_normal(40_000)
    half = half_width(share, training.var(axis=1, ddof=1) / seeds, seeds - 1.0)
    assert (np.abs(error) <= half).mean() >= 0.947  # 0.95 less three standard errors
