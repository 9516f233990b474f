"""How many images and seeds a difference needs."""

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairbench.statistics import (
    images_needed,
    mcnemar,
    mcnemar_power,
    method_power,
    paired,
    seeds_needed,
    unpaired_power,
)

REJECTED = mcnemar(*np.indices((26, 26))) <= 0.05


@pytest.mark.parametrize(("difference", "discordant", "expected"), [(0.02, 0.06, 0.70), (0.03, 0.09, 0.88)])
def test_reference_values(difference: float, discordant: float, expected: float) -> None:
    """They were simulated, so a point more or less is theirs."""
    assert mcnemar_power(difference, discordant=discordant, images=1000) == pytest.approx(expected, abs=0.01)


def test_the_unpaired_test_wastes_the_pairing() -> None:
    assert round(unpaired_power(0.02, accuracy=0.25, images=1000), 2) == 0.18


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
    assert seeds_needed(0.02, discordant=0.06, images=1000, seed_deviation=0.01) is None
    assert seeds_needed(0.02, discordant=0.06, images=5000, seed_deviation=0.01) == 6
    assert seeds_needed(0.02, discordant=0.06, images=10**9, seed_deviation=0.01) == 6
    assert images_needed(1e-4, discordant=1.0) is None


def test_power_grows_with_images_and_seeds_and_falls_with_noise() -> None:
    def power(images: int, seeds: int, deviation: float) -> float:
        return method_power(0.02, discordant=0.06, images=images, seeds=seeds, seed_deviation=deviation)

    assert power(1000, 3, 0.01) < power(2000, 3, 0.01) < power(2000, 5, 0.01) < power(2000, 5, 0.002)
    assert power(1000, 3, 0.0) == pytest.approx(mcnemar_power(0.02, discordant=0.06, images=1000), abs=0.04)


def test_the_power_of_methods_is_that_of_the_test() -> None:
    """Seeds that err on the same images, as the formula assumes, and 2 points of which 10 % are discordant."""
    rng = np.random.default_rng(0)
    rejected = 0
    for _ in range(400):
        kind = rng.choice(3, p=[0.06, 0.04, 0.9], size=2000)
        noise = rng.normal(scale=0.01, size=(2, 3))
        common = rng.random(2000) < 0.5
        # A seed that is better by one point gains one in fifty of the images that it has wrong, half of all.
        runs = [np.where(kind == 2, common, kind == method) for method in (0, 1)]
        first, second = (
            np.stack([run ^ ((rng.random(2000) < 2 * abs(shift)) & (run == (shift < 0))) for shift in shifts])
            for run, shifts in zip(runs, noise, strict=True)
        )
        rejected += paired(first, second).p_value < 0.05
    expected = method_power(0.02, discordant=0.1, images=2000, seeds=3, seed_deviation=0.01)
    assert rejected / 400 == pytest.approx(expected, abs=0.07)


@pytest.mark.parametrize("discordant", [0.0, 0.01, 1.1])
def test_impossible_shares_are_refused(discordant: float) -> None:
    with pytest.raises(ValueError, match=r"at least the difference 0\.02 and at most 1"):
        mcnemar_power(0.02, discordant=discordant, images=10)


def test_one_seed_is_no_method() -> None:
    with pytest.raises(ValueError, match="at least 2 seeds each, got 1"):
        method_power(0.02, discordant=0.1, images=10, seeds=1, seed_deviation=0.01)
