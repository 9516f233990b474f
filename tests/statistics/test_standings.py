"""Everything about order at once."""

import numpy as np
import pytest

from fairbench.outcomes.metrics import Vector
from fairbench.statistics import KEYS, Verdicts, envelope, standings
from fairbench.statistics.verdicts import Bits
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


@pytest.mark.parametrize("few", [3, 5])
def test_the_worst_class_has_its_envelope_where_hardly_any_image_is_right(few: int) -> None:
    """The worst 10 % of ten classes are one class."""
    place = np.tile(np.arange(50), 10)
    correct = (place < 20)[None].repeat(3, axis=0)
    correct[1, :50] = place[:50] < few
    verdicts = Verdicts(labels=np.repeat(np.arange(10), 50), classes=10, correct={"a": correct})
    found = standings(verdicts, seed=0, draws=50)
    for key in ("worst", "worst-10"):
        assert (found[key].intervals[0] == envelope(verdicts.accuracies("a"))).all() == (few == 3)
    assert found["worst-20"].intervals[0, 1] < envelope(verdicts.accuracies("a")).high


def test_places_are_decided_by_counts_and_not_by_round_off() -> None:
    """Worst counts (9, 9, 15) and (8, 9, 16) of 54 have the same mean; the average decides."""
    place = np.tile(np.arange(54), 2)

    def runs(worst: list[int], other: int) -> Bits:
        return np.stack([place < np.repeat([count, other], 54) for count in worst])

    verdicts = Verdicts(
        labels=np.repeat([0, 1], 54), classes=2, correct={"low": runs([9, 9, 15], 30), "high": runs([8, 9, 16], 50)}
    )
    assert standings(verdicts, seed=0, draws=20)["worst"].groups == [[1, 0]]


def test_the_order_of_the_methods_does_not_matter(verdicts: Verdicts) -> None:
    back = {name: verdicts.correct[name] for name in reversed(verdicts.names)}
    one = standings(verdicts, seed=0, draws=50)
    other = standings(Verdicts(labels=verdicts.labels, classes=10, correct=back), seed=0, draws=50)
    for key in KEYS:
        assert np.array_equal(one[key].intervals, other[key].intervals[::-1])
        assert np.array_equal(one[key].ranks, other[key].ranks[::-1])
