"""Who is better than whom, and what follows: ranks and groups. Error rates are measured in `test_simulation.py`."""

from itertools import chain

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from fairbench.outcomes.metrics import Vector
from fairbench.statistics import (
    KEYS,
    Pairs,
    Resampled,
    Verdicts,
    against,
    best_probability,
    moderated,
    pairs,
    rank_intervals,
    separated,
    standings,
    tie_groups,
)
from fairbench.statistics.separation import visible_difference
from fixture_types import Simulate

Matrix = npt.NDArray[np.bool_]
CLEAR = np.array([0.3, 0.5, 0.6, 0.6, 0.7])


@pytest.fixture(scope="module")
def far(simulate: Simulate) -> Verdicts:
    """The second method is the best, the last is as bad as the first."""
    profiles = [CLEAR, CLEAR + 0.25, CLEAR]
    return simulate(profiles, images=500, seeds=3, deviation=0.005, rng=np.random.default_rng(0))


@pytest.mark.parametrize("key", KEYS)
def test_far_methods_are_separated_and_equal_ones_are_not(key: str, far: Verdicts) -> None:
    found = standings(far, baseline="method 2", seed=0, draws=300)[key]
    assert np.argwhere(found.better).tolist() == [[1, 0], [1, 2]]
    assert found.against is not None
    assert found.against.decisions.tolist() == [0, 1, 0]


def duels(
    first: list[float], second: list[float], *, images: float = 0.0, bias: float = 0.0, least: float = 0.0
) -> Pairs:
    """Two methods with the seeds given, whose difference has that standard error over images.

    Args:
        first: the key by seed.
        second: the same.
        images: the standard error.
        bias: of the first, at most; it may have none.
        least: of the second, exactly.
    """
    found = Resampled(
        names=("first", "second"),
        seeds=(np.array(first), np.array(second)),
        shared=np.diag([images**2, 0.0]),
        luck=np.zeros(2),
        both=np.zeros((1, 2)),
        bias=np.array([(0.0, bias), (least, least)]),
    )
    return pairs(found, noise=moderated(found, spread=np.zeros(2)))


def test_noise_of_seeds_alone_is_compared_by_welch() -> None:
    first, second = [0.5, 0.55, 0.62], [0.2, 0.4, 0.35, 0.3]
    expected = stats.ttest_ind(first, second, equal_var=False)
    found = duels(first, second)
    assert found.p_values[0, 1] == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval(0.95)
    assert found.half_widths(level=0.95)[0, 1] == pytest.approx((high - low) / 2)


def test_noise_of_images_alone_is_normal() -> None:
    assert duels([0.5], [0.3], images=0.1).p_values[1, 0] == pytest.approx(0.0455, abs=1e-4)


def test_the_lower_of_a_pair_has_the_benefit_of_its_bias() -> None:
    assert duels([0.3], [0.5], images=0.1, bias=0.5).p_values[0, 1] == 1
    assert duels([0.5], [0.3], images=0.1, bias=0.5).p_values[0, 1] == pytest.approx(0.0455, abs=1e-4)


def test_the_higher_of_a_pair_has_the_bias_that_it_certainly_has() -> None:
    """It leads by 19 points, has 2 of them less than it should, and the other may lack 1: 2 standard errors of 10."""
    found = duels([0.3], [0.49], images=0.1, bias=0.01, least=0.02)
    assert found.p_values[0, 1] == pytest.approx(0.0455, abs=1e-4)
    assert against(found, 0).intervals[1] == pytest.approx([0.004, 0.406], abs=1e-3)


def test_a_pair_is_seen_half_the_time_from_what_it_needs_on() -> None:
    """One pair: 1.96 standard errors, and the bias of whichever may be the lower."""
    found = duels([0.5], [0.3], images=0.1, bias=0.02)
    assert visible_difference(found) == pytest.approx(0.02 + 0.196, abs=1e-4)
    lead = visible_difference(found)
    assert duels([0.3], [0.3 + lead + 1e-4], images=0.1, bias=0.02).p_values[0, 1] < 0.05
    assert duels([0.3], [0.3 + lead - 1e-4], images=0.1, bias=0.02).p_values[0, 1] > 0.05


def test_the_family_against_the_baseline_is_corrected_for_itself_alone() -> None:
    """Four methods, a standard error of 10 points: three tests need 2.39 of them, six pairs 2.64."""
    found = Resampled(
        names=("a", "b", "c", "d"),
        seeds=tuple(np.array([value]) for value in (0.54, 0.3, 0.3, 0.06)),
        shared=np.diag(np.full(4, 0.005)),
        luck=np.zeros(4),
        both=np.zeros((1, 4)),
        bias=np.zeros((4, 2)),
    )
    board = pairs(found, noise=moderated(found, spread=np.zeros(4)))
    against_b = against(board, 1)
    assert against_b.decisions.tolist() == [1, 0, 0, -1]
    assert against_b.differences == pytest.approx([0.24, 0, 0, -0.24])
    assert against_b.intervals[0] == pytest.approx([0.0006, 0.4794], abs=1e-4)
    assert against_b.intervals[1].tolist() == [0, 0]
    assert against_b.visible == pytest.approx(0.2394, abs=1e-4)
    assert np.argwhere(separated(board)).tolist() == [[0, 3]]


def test_of_a_difference_the_interval_has_the_bias_of_either_on_its_side() -> None:
    found = against(duels([0.3], [0.5], images=0.1, bias=0.05), 1)
    assert found.intervals[0] == pytest.approx([-0.396, 0.046], abs=1e-3)
    back = against(duels([0.3], [0.5], images=0.1, bias=0.05), 0)
    assert back.intervals[1] == pytest.approx([-0.046, 0.396], abs=1e-3)


def test_one_method_alone_is_better_than_nobody(simulate: Simulate) -> None:
    verdicts = simulate([CLEAR], images=20, rng=np.random.default_rng(0))
    for found in standings(verdicts, baseline="method 0", seed=0, draws=20).values():
        assert found.better.tolist() == [[False]]
        assert np.isnan(found.visible)
        assert found.against is not None
        assert found.against.decisions.tolist() == [0]


def test_models_that_no_resample_changes() -> None:
    labels = np.repeat([0, 1], 20)
    correct = {"all": np.ones((1, 40), dtype=bool), "none": np.zeros((1, 40), dtype=bool)}
    found = standings(Verdicts(labels=labels, classes=2, correct=correct), seed=0, draws=50)
    assert found["average"].better.tolist() == [[False, True], [False, False]]
    assert found["average"].intervals[0, 0] < 1
    assert found["average"].intervals[1, 1] > 0


def test_one_image_of_each_class_separates_nobody() -> None:
    """Six right against five of ten was once certain, with an interval of no width."""
    labels = np.arange(10)
    correct = {"six": (labels < 6)[None], "five": (labels < 5)[None]}
    for found in standings(Verdicts(labels=labels, classes=10, correct=correct), seed=0, draws=50).values():
        assert not found.better.any()
        assert np.all(found.intervals[:, 1] - found.intervals[:, 0] > 0.3)


@given(arrays(np.float64, st.integers(1, 8), elements=st.floats(0, 1)))
def test_without_doubt_ranks_are_points_and_with_nothing_but_doubt_they_are_everything(values: Vector) -> None:
    better = values[:, None] > values
    ranks = rank_intervals(better)
    assert ranks[:, 0].tolist() == [1 + int((values > value).sum()) for value in values]
    assert ranks[:, 1].tolist() == [int((values >= value).sum()) for value in values]
    assert rank_intervals(np.zeros_like(better)).tolist() == [[1, len(values)]] * len(values)


def test_a_group_is_a_statement_about_its_anchor() -> None:
    """0 beats 2 but not 1, 1 does not beat 2: 2 leaves the group of 0 and opens its own."""
    better = np.zeros((4, 4), dtype=bool)
    better[0, 2] = better[0, 3] = better[1, 3] = True
    assert tie_groups([0.4, 0.3, 0.2, 0.1], [0.5, 0.6, 0.4, 0.7], better=better) == [[1, 0], [3, 2]]


def test_equal_values_fall_back_to_the_average() -> None:
    better = ~np.eye(3, dtype=bool)
    better[0] = False
    assert tie_groups([0.4, 0.4, 0.4], [0.5, 0.7, 0.6], better=better)[0] == [1]


@given(arrays(np.float64, 6, elements=st.floats(0, 1)), arrays(np.bool_, (6, 6)))
def test_groups_hold_everyone_once(values: Vector, better: Matrix) -> None:
    better &= values[:, None] > values
    groups = tie_groups(values, values, better=better)
    assert sorted(chain.from_iterable(groups)) == list(range(6))
    for group in groups:
        anchor = max(group, key=lambda i: (values[i], -i))
        assert not better[anchor, group].any()


def test_the_chance_to_be_best_is_shared_by_ties() -> None:
    draws = np.array([[0.1, 0.3, 0.3], [0.5, 0.2, 0.1], [0.4, 0.4, 0.4], [0.0, 0.0, 0.1]])
    found = best_probability(draws)
    assert found == pytest.approx([(1 + 1 / 3) / 4, (0.5 + 1 / 3) / 4, (0.5 + 1 / 3 + 1) / 4])
