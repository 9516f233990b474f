"""Keys on many vectors say what `fairbench.outcomes.metrics` says on one."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from fairbench.outcomes import metrics
from fairbench.outcomes.metrics import Vector
from fairbench.statistics import KEYS
from fairbench.statistics.keys import deviation, distinct_keys, share_size

SINGLE: dict[str, Callable[[Vector], float]] = {
    "worst": metrics.worst,
    "worst-10": lambda vector: metrics.worst_share(vector, 10),
    "worst-20": lambda vector: metrics.worst_share(vector, 20),
    "worst-30": lambda vector: metrics.worst_share(vector, 30),
    "average": metrics.average,
    "average+worst": lambda vector: metrics.average(vector) + metrics.worst(vector),
}


def test_every_key_is_compared() -> None:
    assert SINGLE.keys() == KEYS.keys()


@pytest.mark.parametrize("name", SINGLE)
@given(arrays(np.float64, array_shapes(min_dims=2, max_dims=3, max_side=12), elements=st.floats(0, 1)))
def test_keys_agree_with_the_metrics(name: str, accuracies: Vector) -> None:
    found = KEYS[name](np.sort(accuracies))
    assert found == pytest.approx(np.apply_along_axis(SINGLE[name], -1, accuracies), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("worst", 0.311), ("worst-20", 0.3145), ("worst-30", 0.32267), ("average", 0.4551), ("average+worst", 0.7661)],
)
def test_reference_vector(name: str, expected: float, reference: Vector) -> None:
    assert round(float(KEYS[name](np.sort(reference))), 5) == expected


def test_deviation_of_the_reference_vector(reference: Vector) -> None:
    assert round(float(deviation(np.sort(reference))), 5) == 0.12437


def test_minima_are_averaged_over_seeds_and_not_taken_of_the_average(reference: Vector) -> None:
    """Five seeds with 1.5 points of training noise and that of 1,000 images: 30.1 and 30.8 where the truth is 31.1."""
    noise = np.random.default_rng(0).normal(scale=np.hypot(0.015, 0.0146), size=(20000, 5, 10))
    per_seed = KEYS["worst"](np.sort(reference + noise)).mean()
    of_average = KEYS["worst"](np.sort((reference + noise).mean(axis=1))).mean()
    assert (per_seed, of_average) == pytest.approx((0.301, 0.308), abs=1e-3)


def test_shares_are_counted_in_integers() -> None:
    assert share_size(100, percent=7) == 7


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (1, ["worst", "average+worst"]),
        (3, ["worst", "average", "average+worst"]),
        (6, ["worst", "worst-20", "average", "average+worst"]),
        (10, ["worst", "worst-20", "worst-30", "average", "average+worst"]),
        (100, list(KEYS)),
    ],
)
def test_a_key_that_is_another_one_on_few_classes_is_left_out(classes: int, expected: list[str]) -> None:
    keys = distinct_keys(classes)
    assert keys == expected
    accuracies = np.sort(np.random.default_rng(0).random((5, classes)))
    values = [KEYS[key](accuracies) for key in keys]
    assert len({value.tobytes() for value in values}) == len(keys), "what is left differs"
