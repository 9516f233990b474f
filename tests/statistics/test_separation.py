"""Who is better than whom, and what follows: ranks and groups. Error rates are measured in `test_coverage.py`."""

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
    Resampled,
    Verdicts,
    best_probability,
    bootstrap,
    envelope,
    rank_intervals,
    separated,
    separated_by_worst_class,
    tie_groups,
)
from fairbench.statistics.separation import pair_p_values
from fixture_types import Simulate

Matrix = npt.NDArray[np.bool_]
CLEAR = np.array([0.3, 0.5, 0.6, 0.6, 0.7])


@pytest.fixture(scope="module")
def far(simulate: Simulate) -> Verdicts:
    """The second method is the best, the last is as bad as the first."""
    profiles = [CLEAR, CLEAR + 0.25, CLEAR]
    return simulate(profiles, images=500, seeds=3, deviation=0.005, rng=np.random.default_rng(0))


@pytest.mark.parametrize("key", [key for key in KEYS if key not in {"worst", "worst-10", "worst-20"}])
def test_far_methods_are_separated_and_equal_ones_are_not(key: str, far: Verdicts) -> None:
    better = separated(bootstrap(far, KEYS, seed=0, draws=300)[key])
    assert np.argwhere(better).tolist() == [[1, 0], [1, 2]]


def test_disjoint_envelopes_separate(far: Verdicts) -> None:
    low, high = np.array([envelope(far.accuracies(name), level=1 - 0.05 / 3) for name in far.names]).T
    assert low[1] > max(high[0], high[2])
    assert np.argwhere(separated_by_worst_class(far)).tolist() == [[1, 0], [1, 2]]


@pytest.mark.parametrize("seeds", [1, 3])
def test_one_common_worst_class_is_compared_image_by_image(seeds: int, simulate: Simulate) -> None:
    rng = np.random.default_rng(1)
    verdicts = simulate([CLEAR, CLEAR], images=500, rng=rng)
    better = verdicts.correct["method 0"][0] | ((verdicts.labels == 0) & (rng.random(2500) < 0.05))
    correct = {"base": verdicts.correct["method 0"].repeat(seeds, axis=0), "better": better[None].repeat(seeds, axis=0)}
    pair = Verdicts(labels=verdicts.labels, classes=5, correct=correct)
    ends = [envelope(pair.accuracies(name), level=0.975) for name in pair.names]
    assert ends[1].low < ends[0].high  # the envelopes alone could not tell
    assert np.argwhere(separated_by_worst_class(pair)).tolist() == [[1, 0]]


def test_different_worst_classes_are_not_compared_image_by_image(simulate: Simulate) -> None:
    verdicts = simulate([CLEAR, CLEAR[::-1] + 0.03], images=500, rng=np.random.default_rng(1))
    assert not separated_by_worst_class(verdicts).any()


def test_disjoint_envelopes_of_a_pair_may_overlap_on_a_large_board() -> None:
    """The more envelopes have to hold together, the wider they are."""
    labels, position = np.repeat([0, 1], 1000), np.tile(np.arange(1000), 2)
    low = position < np.where(labels == 0, 300, 900)
    high = position < np.where(labels == 0, 900, 385)  # another worst class, so there is nothing to pair
    pair = {"low": low[None], "high": high[None]}
    board = pair | {f"low {number}": low[None] for number in range(30)}
    assert separated_by_worst_class(Verdicts(labels=labels, classes=2, correct=pair)).sum() == 1
    assert separated_by_worst_class(Verdicts(labels=labels, classes=2, correct=board)).sum() == 0


def resampled(first: list[float], second: list[float], *, images: float) -> Resampled:
    """Two methods with the seeds given, whose difference has that standard error over images."""
    draws = np.zeros((200, 2))
    draws[:, 0] = images * np.sqrt(199 / 200) * np.resize([1, -1], 200)
    return Resampled(
        names=("first", "second"),
        seeds=(np.array(first), np.array(second)),
        images=draws,
        both=draws,
        bias=np.array([0.5, 0.0]),
    )


def test_noise_of_seeds_alone_is_compared_by_welch() -> None:
    first, second = [0.5, 0.55, 0.62], [0.2, 0.4, 0.35, 0.3]
    expected = stats.ttest_ind(first, second, equal_var=False).pvalue
    assert pair_p_values(resampled(first, second, images=0))[0, 1] == pytest.approx(expected)


def test_noise_of_images_alone_is_normal() -> None:
    assert pair_p_values(resampled([0.5], [0.3], images=0.1))[1, 0] == pytest.approx(0.0455, abs=1e-4)


def test_both_noises_add_up() -> None:
    """Equal parts: Welch gives the 6 degrees of the seeds four times over, as the total is twice their part."""
    first = [0.5 + shift for shift in (-0.02, -0.02, 0.02, 0.02)]
    second = [0.4 + shift for shift in (-0.02, -0.02, 0.02, 0.02)]
    seeds = 2 * np.var(first, ddof=1) / 4
    expected = 2 * stats.t.sf(0.1 / np.sqrt(2 * seeds), 24)
    assert pair_p_values(resampled(first, second, images=np.sqrt(seeds)))[0, 1] == pytest.approx(expected)


def test_the_lower_of_a_pair_has_the_benefit_of_its_bias() -> None:
    assert pair_p_values(resampled([0.3], [0.5], images=0.1))[0, 1] == 1


def test_one_method_alone_is_better_than_nobody(simulate: Simulate) -> None:
    verdicts = simulate([CLEAR], images=20, rng=np.random.default_rng(0))
    assert separated(bootstrap(verdicts, KEYS, seed=0, draws=20)["average"]).tolist() == [[False]]
    assert separated_by_worst_class(verdicts).tolist() == [[False]]


def test_models_that_no_resample_changes() -> None:
    labels = np.repeat([0, 1], 20)
    correct = {"all": np.ones((1, 40), dtype=bool), "none": np.zeros((1, 40), dtype=bool)}
    found = bootstrap(Verdicts(labels=labels, classes=2, correct=correct), KEYS, seed=0, draws=20)
    assert separated(found["average"]).tolist() == [[False, True], [False, False]]


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
