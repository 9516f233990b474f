"""Everything about order at once."""

import numpy as np
import pytest

from fairbench.outcomes.metrics import Vector
from fairbench.statistics import KEYS, Verdicts, envelope, standings
from fixture_types import Simulate


@pytest.fixture(scope="module")
def verdicts(reference: Vector, simulate: Simulate) -> Verdicts:
    """Two good methods after a bad one; ten classes."""
    profiles = [reference - 0.15, reference + 0.1, reference + 0.1]
    return simulate(profiles, images=400, seeds=3, deviation=0.005, rng=np.random.default_rng(0))


@pytest.mark.parametrize("key", KEYS)
def test_every_key_has_standings(key: str, verdicts: Verdicts) -> None:
    found = standings(verdicts, seed=0, draws=200)[key]
    assert found.names == verdicts.names
    assert found.ranks.tolist() == [[3, 3], [1, 2], [1, 2]]
    assert [sorted(group) for group in found.groups] == [[1, 2], [0]]
    assert np.all((found.intervals[:, 0] < found.values) & (found.values < found.intervals[:, 1]))
    assert np.all((found.seed_intervals[:, 0] < found.values) & (found.values < found.seed_intervals[:, 1]))
    assert found.best[0] == 0
    assert found.best.sum() == pytest.approx(1)


def test_minima_have_the_envelope_and_others_do_not(verdicts: Verdicts) -> None:
    """The worst 10 % of ten classes are one class."""
    found = standings(verdicts, seed=0, draws=50)
    expected = np.array([envelope(verdicts.accuracies(name)) for name in verdicts.names])
    assert np.array_equal(found["worst"].intervals, expected)
    assert np.array_equal(found["worst-10"].intervals, expected)
    assert not np.array_equal(found["worst-20"].intervals, expected)


def test_the_order_of_the_methods_does_not_matter(verdicts: Verdicts) -> None:
    back = {name: verdicts.correct[name] for name in reversed(verdicts.names)}
    one = standings(verdicts, seed=0, draws=50)
    other = standings(Verdicts(labels=verdicts.labels, classes=10, correct=back), seed=0, draws=50)
    for key in KEYS:
        assert np.array_equal(one[key].intervals, other[key].intervals[::-1])
        assert np.array_equal(one[key].ranks, other[key].ranks[::-1])
