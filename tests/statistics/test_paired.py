"""Two methods on the same images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fairbench.statistics import mcnemar, paired


def test_one_seed_each_is_the_exact_mcnemar_test() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 1, 200)) < np.array([0.6, 0.4])[:, None, None]
    found = paired(first, second)
    only = int((first & ~second).sum()), int((second & ~first).sum())
    assert (int(found.first_only[0]), int(found.second_only[0])) == only
    assert found.p_value == float(mcnemar(*only))
    assert found.difference == pytest.approx((only[0] - only[1]) / 200)


def test_exchange_changes_the_sign_alone() -> None:
    first, second = np.random.default_rng(1).random((2, 3, 100)) < 0.5
    one, other = paired(first, second), paired(second, first)
    assert one.difference == -other.difference
    assert one.p_value == pytest.approx(other.p_value)
    assert one.interval == pytest.approx((-other.interval.high, -other.interval.low))


def test_a_seed_that_fails_makes_the_methods_uncertain() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.random((3, 1000)) < 0.5, rng.random((3, 1000)) < np.array([[0.45], [0.45], [0.15]])
    assert paired(first, second).p_value > 0.1
    assert paired(first[:2], second[:2]).p_value < paired(first, second).p_value


def test_methods_that_never_differ_are_equal() -> None:
    same = np.ones((3, 20), dtype=bool)
    found = paired(same, same)
    assert (found.difference, found.p_value, found.interval) == (0, 1, (0, 0))
    assert (found.shared, found.luck, found.seed_deviation) == (0, 0, 0)


def test_the_interval_is_the_exact_test_turned_round() -> None:
    """40 against 20 of 100: Clopper and Pearson for 40 of 60 is 53.3 to 78.3 %, so 60 images are won by 4 to 34."""
    first = np.arange(100) < 40
    second = (np.arange(100) >= 40) & (np.arange(100) < 60)
    found = paired(first[None], second[None])
    expected = stats.binomtest(40, 60).proportion_ci(method="exact")
    assert found.interval == pytest.approx((0.6 * (2 * expected.low - 1), 0.6 * (2 * expected.high - 1)))
    assert [round(end, 3) for end in found.interval] == [0.04, 0.34]


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 3))
def test_p_is_below_the_level_where_the_interval_leaves_out_zero(first_only: int, second_only: int, seeds: int) -> None:
    place = np.arange(100)
    first = (place < first_only)[None].repeat(seeds, axis=0)
    second = ((place >= first_only) & (place < first_only + second_only))[None].repeat(seeds, axis=0)
    found = paired(first, second)
    assert (found.p_value <= 0.05) == (found.interval.low > 0 or found.interval.high < 0)


def test_the_spread_of_seeds_is_without_their_luck_with_images() -> None:
    """Five seeds of one accuracy differ on 200 images by 3.5 points; five that differ by three points keep those."""
    rng = np.random.default_rng(0)
    alike = [paired(*(rng.random((2, 5, 200)) < 0.5)).seed_deviation for _ in range(100)]
    moved = [
        paired(*(rng.random((2, 5, 200)) < 0.5 + 0.03 * rng.normal(size=(2, 5, 1)))).seed_deviation for _ in range(100)
    ]
    assert np.sqrt(np.mean(np.square(alike))) < 0.02
    assert np.sqrt(np.mean(np.square(moved))) == pytest.approx(0.03, abs=0.005)


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
def test_equal_methods_are_rarely_told_apart(seeds: int) -> None:
    rng = np.random.default_rng(4)
    rejected = 0
    for _ in range(500):
        base, own = rng.normal(size=300), rng.normal(size=(2, 1, 300))
        first, second = base + own + 0.5 * rng.normal(size=(2, seeds, 300)) < 0
        rejected += paired(first, second).p_value < 0.05
    assert rejected <= 40  # 25 expected; 40 is three standard deviations away
