"""Two methods on the same images."""

import numpy as np
import pytest

from fairbench.statistics import mcnemar, paired


def test_one_seed_each_is_the_exact_mcnemar_test() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 1, 200)) < np.array([0.6, 0.4])[:, None, None]
    found = paired(first, second)
    only = int((first & ~second).sum()), int((second & ~first).sum())
    assert (int(found.first_only[0]), int(found.second_only[0])) == only
    assert found.p_value == float(mcnemar(*only))
    assert found.checkpoints_p_value == pytest.approx(found.p_value)
    assert found.difference == pytest.approx((only[0] - only[1]) / 200)


def test_exchange_changes_the_sign_alone() -> None:
    first, second = np.random.default_rng(1).random((2, 3, 100)) < 0.5
    one, other = paired(first, second), paired(second, first)
    assert one.difference == -other.difference
    assert one.p_value == pytest.approx(other.p_value)
    assert one.checkpoints_p_value == pytest.approx(other.checkpoints_p_value)


def test_a_seed_that_fails_makes_the_methods_uncertain_but_not_the_checkpoints() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.random((3, 1000)) < 0.5, rng.random((3, 1000)) < np.array([[0.45], [0.45], [0.15]])
    found = paired(first, second)
    assert found.checkpoints_p_value < 1e-6
    assert found.p_value > 0.1


def test_methods_that_never_differ_are_equal() -> None:
    same = np.ones((3, 20), dtype=bool)
    found = paired(same, same)
    assert (found.difference, found.p_value, found.checkpoints_p_value) == (0, 1, 1)


def test_numbers_of_seeds_may_differ() -> None:
    rng = np.random.default_rng(3)
    found = paired(rng.random((2, 300)) < 0.9, rng.random((4, 300)) < 0.3)
    assert found.first_only.shape == (2,)
    assert found.p_value < 1e-3


@pytest.mark.parametrize("images", [(5, 6), (0, 0)])
def test_other_images_are_refused(images: tuple[int, int]) -> None:
    first, second = (np.ones((1, count), dtype=bool) for count in images)
    with pytest.raises(ValueError, match="same images"):
        paired(first, second)


@pytest.mark.parametrize("seeds", [1, 3])
def test_equal_checkpoints_are_rarely_told_apart(seeds: int) -> None:
    """Seeds share images and methods differ on them systematically, which naive Stouffer takes for evidence."""
    rng = np.random.default_rng(4)
    rejected = np.zeros(2)
    for _ in range(500):
        base, own = rng.normal(size=300), rng.normal(size=(2, 1, 300))
        first, second = base + own + 0.5 * rng.normal(size=(2, seeds, 300)) < 0
        found = paired(first, second)
        rejected += np.array([found.p_value < 0.05, found.checkpoints_p_value < 0.05])
    assert np.all(rejected <= 40)  # 25 expected; 40 is three standard deviations away
