"""The metrics against the reference vectors of the evaluation specification, to the digits written there."""

import math
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fairbench.outcomes.metrics import (
    ClassAccuracies,
    Vector,
    average,
    class_accuracies,
    deviation,
    gini,
    minimum_envelope,
    normalised_deviation,
    spread,
    wilson,
    worst,
    worst_class,
    worst_share,
)

# Official FAAL AutoAttack log, PreActResNet-18 on CIFAR-10, 1,000 images per class.
REFERENCE = np.array([0.524, 0.678, 0.311, 0.318, 0.339, 0.369, 0.376, 0.468, 0.592, 0.576])
SECOND = np.array([0.60, 0.72, 0.38, 0.30, 0.40, 0.42, 0.50, 0.56, 0.64, 0.67])
ABSENT = np.full(3, np.nan)
METRICS: list[Callable[[Vector], float]] = [average, worst, deviation, spread, normalised_deviation, gini]


def counted(values: Vector, count: int) -> ClassAccuracies:
    return ClassAccuracies(
        counts=np.full(len(values), count, dtype=np.int64), correct=np.round(values * count).astype(np.int64)
    )


@pytest.mark.parametrize(
    ("metric", "expected", "digits"),
    [
        (average, 0.4551, 4),
        (worst, 0.311, 3),
        (deviation, 0.12437, 5),
        (normalised_deviation, 0.27327, 5),
        (spread, 0.367, 3),
        (gini, 0.15300, 5),
    ],
)
def test_reference_vector(metric: Callable[[Vector], float], expected: float, digits: int) -> None:
    assert round(metric(REFERENCE), digits) == expected


@pytest.mark.parametrize(("percent", "expected"), [(10, 0.311), (20, 0.3145), (30, 0.32267), (100, 0.4551)])
def test_worst_share_of_the_reference_vector(percent: int, expected: float) -> None:
    assert round(worst_share(REFERENCE, percent), 5) == expected


def test_second_vector_has_the_published_nsd() -> None:
    assert round(normalised_deviation(SECOND), 5) == 0.25684


def test_worst_share_rounds_up_in_integers() -> None:
    """7 % of 100 classes are 7; `ceil(0.07 * 100)` is 8."""
    assert worst_share(np.arange(100) / 100, 7) == pytest.approx(np.mean(np.arange(7)) / 100)


def test_worst_class_is_the_first_of_equals() -> None:
    assert worst_class(REFERENCE) == 2
    assert worst_class(np.array([0.5, np.nan, 0.2, 0.2])) == 2
    with pytest.raises(ValueError, match="All-NaN"):
        worst_class(ABSENT)


@pytest.mark.parametrize("metric", METRICS)
def test_an_absent_class_is_excluded_and_no_class_is_nan(metric: Callable[[Vector], float]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert metric(np.append(REFERENCE, np.nan)) == pytest.approx(metric(REFERENCE))
        assert math.isnan(metric(ABSENT))


def test_shares_of_a_zero_average_are_undefined() -> None:
    assert math.isnan(gini(np.zeros(4)))
    assert math.isnan(normalised_deviation(np.zeros(4)))
    assert math.isnan(worst_share(ABSENT, 20))


@pytest.mark.parametrize(
    ("correct", "count", "low", "high"),
    [(311, 1000, 0.28308, 0.34037), (22, 100, 0.15001, 0.31070), (0, 100, 0.0, 0.03699), (100, 100, 0.96301, 1.0)],
)
def test_wilson_interval(correct: int, count: int, low: float, high: float) -> None:
    interval = wilson(correct, count)
    assert (round(interval.low, 5), round(interval.high, 5)) == (low, high)


def test_wilson_without_data_allows_everything() -> None:
    assert wilson(0, 0) == (0, 1)


def test_envelope_of_the_reference_vector() -> None:
    """Ordinary level below, corrected for ten classes above (the second form of the specification)."""
    envelope = minimum_envelope(counted(REFERENCE, 1000))
    assert (round(envelope.low, 5), round(envelope.high, 5)) == (0.28308, 0.35343)


def test_envelope_counts_only_classes_with_data() -> None:
    full = counted(REFERENCE, 1000)
    padded = ClassAccuracies(counts=np.append(full.counts, 0), correct=np.append(full.correct, 0))
    assert minimum_envelope(padded) == minimum_envelope(full)
    empty = ClassAccuracies(counts=np.zeros(2, dtype=np.int64), correct=np.zeros(2, dtype=np.int64))
    assert minimum_envelope(empty) == (0, 1)


@pytest.mark.parametrize(
    "truth", [np.full(10, 0.5), np.linspace(0.25, 0.7, 10), np.array([0.22] + [0.6] * 9)], ids=["tied", "line", "clear"]
)
def test_envelope_covers_the_true_minimum(truth: Vector) -> None:
    """Simulated coverage of the nominal 95 %; ten tied classes defeat the bootstrap (0.7 %)."""
    generator = np.random.default_rng(7)
    covered = 0
    for correct in generator.binomial(200, truth, size=(1000, 10)):
        low, high = minimum_envelope(ClassAccuracies(counts=np.full(10, 200), correct=correct))
        covered += low <= truth.min() <= high
    assert covered >= 950


@given(
    arrays(np.float64, st.integers(1, 20), elements=st.floats(0, 1, allow_subnormal=False)),
    st.integers(1, 100),
)
def test_order_of_the_summaries(accuracies: Vector, percent: int) -> None:
    tolerance = 1e-12
    assert worst(accuracies) <= worst_share(accuracies, percent) + tolerance
    assert worst_share(accuracies, percent) <= average(accuracies) + tolerance
    assert deviation(accuracies) <= spread(accuracies) + tolerance
    assert not gini(accuracies) > (len(accuracies) - 1) / len(accuracies) + tolerance


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_contains_the_share_and_stays_inside(pair: tuple[int, int]) -> None:
    low, high = wilson(*pair)
    assert 0 <= low <= pair[0] / pair[1] <= high <= 1


def test_robust_needs_the_clean_prediction_too() -> None:
    """An image that is misclassified without an attack is not robust, even where the attack repairs it."""
    rows = pd.DataFrame(
        {"label": [0, 0, 1, 1], "clean": [0, 1, 1, 1], "pgd20": [0, 0, 0, 1], "autoattack": [1, 0, 0, 1]}
    ).astype("int16")
    assert class_accuracies(rows, 2, "clean").correct.tolist() == [1, 2]
    assert class_accuracies(rows, 2, "pgd20").correct.tolist() == [1, 1]
    assert class_accuracies(rows, 2, "autoattack").correct.tolist() == [0, 1]


def test_unbalanced_and_absent_classes_are_exact() -> None:
    rows = pd.DataFrame({"label": [0] * 8 + [2] * 2, "clean": [0] * 6 + [2] * 4}).astype("int16")
    accuracies = class_accuracies(rows, 3, "clean")
    assert accuracies.counts.tolist() == [8, 0, 2]
    np.testing.assert_array_equal(accuracies.values, [0.75, np.nan, 1.0])
    assert average(accuracies.values) == 0.875
    assert accuracies.overall == 0.8


def test_no_images_at_all() -> None:
    assert math.isnan(class_accuracies(pd.DataFrame({"label": [], "clean": []}, dtype="int16"), 2, "clean").overall)


def test_a_partial_attack_has_no_accuracy() -> None:
    rows = pd.DataFrame({"label": [0, 1], "clean": [0, 1], "autoattack": [0, -1]}).astype("int16")
    with pytest.raises(ValueError, match="autoattack has not judged every image"):
        class_accuracies(rows, 2, "autoattack")
