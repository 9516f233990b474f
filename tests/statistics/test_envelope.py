"""The interval of the worst class over seeds; its coverage is measured in `test_coverage.py`."""

import numpy as np
import pytest

from fairbench.outcomes.metrics import ClassAccuracies, Interval, Vector, minimum_envelope
from fairbench.statistics import envelope, t_interval
from fixture_types import Count


def test_one_seed_has_the_envelope_of_its_model(reference: Vector, count: Count) -> None:
    found = envelope([count(reference, images=1000)])
    assert np.round(found, 5).tolist() == [0.28308, 0.35343]
    assert found == pytest.approx(minimum_envelope(count(reference, images=1000)))


def test_seeds_that_agree_add_nothing(reference: Vector, count: Count) -> None:
    one = count(reference, images=1000)
    assert envelope([one] * 5) == pytest.approx(minimum_envelope(one))


def test_seeds_that_differ_widen_the_interval_beyond_both_parts(reference: Vector, count: Count) -> None:
    seeds = [count(reference + shift, images=1000) for shift in (-0.05, 0.0, 0.05)]
    found = envelope(seeds)
    images = Interval(*np.mean([minimum_envelope(seed) for seed in seeds], axis=0))
    training = t_interval([0.261, 0.311, 0.361])
    assert found.high - found.low > images.high - images.low
    assert found.low < images.low < 0.311 < images.high < found.high
    assert found.low < training.low  # what images allow comes on top
    assert envelope(seeds, level=0.99).low < found.low


def test_with_countless_images_only_the_seeds_matter(count: Count) -> None:
    values = [0.30, 0.32, 0.37]
    found = envelope([count([value, 0.9], images=10**9) for value in values])
    assert found == pytest.approx(t_interval(values), abs=1e-4)


def test_the_ends_stay_within_zero_and_one(count: Count) -> None:
    found = envelope([count([value, 1.0], images=20) for value in (0.0, 0.5, 1.0)])
    assert found == (0.0, 1.0)


def test_no_data_is_refused() -> None:
    empty = ClassAccuracies(counts=np.zeros(2, dtype=np.int64), correct=np.zeros(2, dtype=np.int64))
    for seeds in ([], [empty]):
        with pytest.raises(ValueError, match="at least one seed"):
            envelope(seeds)
