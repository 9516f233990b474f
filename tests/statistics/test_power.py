"""How many images and seeds a difference needs."""

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from fairbench.statistics import (
    images_needed,
    mcnemar,
    mcnemar_power,
    method_power,
    paired,
    seeds_needed,
)

REJECTED = mcnemar(*np.indices((26, 26))) <= 0.05


@pytest.mark.parametrize(("difference", "discordant", "expected"), [(0.02, 0.06, 0.70), (0.03, 0.09, 0.88)])
def test_reference_values(difference: float, discordant: float, expected: float) -> None:
    """They were simulated, so a point more or less is theirs."""
    assert mcnemar_power(difference, discordant=discordant, images=1000) == pytest.approx(expected, abs=0.01)


@given(st.integers(1, 25), st.floats(0.05, 1), st.floats(-1, 1))
def test_power_is_the_sum_over_all_outcomes(images: int, discordant: float, share: float) -> None:
    difference = share * discordant
    first, second, none = (discordant + difference) / 2, (discordant - difference) / 2, 1 - discordant
    expected = sum(
        comb(images, a) * comb(images - a, b) * first**a * second**b * none ** (images - a - b)
        for a in range(images + 1)
        for b in range(images + 1 - a)
        if REJECTED[a, b]
    )
    assert mcnemar_power(difference, discordant=discordant, images=images) == pytest.approx(expected, abs=1e-9)


def test_images_needed_are_enough_and_half_are_not() -> None:
    needed = images_needed(0.02, discordant=0.06)
    assert needed == 1244
    assert mcnemar_power(0.02, discordant=0.06, images=needed) >= 0.8 > mcnemar_power(0.02, discordant=0.06, images=622)
    assert images_needed(0.02, discordant=0.06, alpha=0.05 / 276) == pytest.approx(2.75 * needed, rel=0.1)


def test_seeds_and_images_do_not_replace_each_other() -> None:
    noise = {"shared": 0.02, "luck": 0.05, "seed_deviation": 0.01}
    assert seeds_needed(0.02, images=200, **noise) is None
    assert seeds_needed(0.02, images=5000, **noise) == 6
    assert seeds_needed(0.02, images=10**9, **noise) == 6
    assert images_needed(1e-4, discordant=1.0) is None


def test_power_grows_with_images_and_seeds_and_falls_with_noise() -> None:
    def power(images: int, seeds: int, deviation: float) -> float:
        return method_power(0.02, shared=0.02, luck=0.05, images=images, seeds=seeds, seed_deviation=deviation)

    assert power(1000, 3, 0.01) < power(2000, 3, 0.01) < power(2000, 5, 0.01) < power(2000, 5, 0.002)


def test_without_a_spread_of_seeds_the_power_is_that_of_a_normal_test() -> None:
    """Two standard errors and a bit: P(z > 1.96 / sqrt(1 - 1.96^2 / n) - 2.5)."""
    found = method_power(0.025, shared=0.1, luck=0.0, images=1000, seeds=3, seed_deviation=0.0)
    assert found == pytest.approx(stats.norm.sf(1.959964 / np.sqrt(1 - 1.959964**2 / 1000) - 2.5), abs=1e-3)


def test_a_difference_that_never_varies_is_found() -> None:
    assert method_power(0.02, shared=0, luck=0, images=100, seeds=3, seed_deviation=0) == 1
    assert method_power(0.0, shared=0, luck=0, images=100, seeds=3, seed_deviation=0) == 0


def test_fewer_than_two_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 seeds"):
        method_power(0.02, shared=0.1, luck=0.1, images=100, seeds=1, seed_deviation=0.01)


def test_the_power_of_methods_is_that_of_the_test() -> None:
    """Images on which seeds agree and images on which they do not, two points between the methods, one over seeds."""
    rng = np.random.default_rng(0)
    rejected, shared, luck = 0, [], []
    for _ in range(300):
        z, own = rng.normal(size=2000), 0.4 * rng.normal(size=(2, 1, 2000))
        level = special.ndtri(0.5 + np.array([0.01, -0.01])[:, None, None] + 0.01 * rng.normal(size=(2, 3, 1)))
        first, second = z + own + 0.6 * rng.normal(size=(2, 3, 2000)) < np.sqrt(1 + 0.16 + 0.36) * level
        found = paired(first, second)
        rejected += found.p_value < 0.05
        shared.append(found.shared)
        luck.append(found.luck)
    noise = {"shared": float(np.mean(shared)), "luck": float(np.mean(luck)), "seed_deviation": 0.01}
    assert rejected / 300 == pytest.approx(method_power(0.02, images=2000, seeds=3, **noise), abs=0.08)
