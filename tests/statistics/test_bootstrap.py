"""The hierarchical bootstrap."""

import sys

import numpy as np
import pytest

from fairbench.outcomes.metrics import Vector
from fairbench.statistics import KEYS, Verdicts, bootstrap
from fairbench.statistics.seeds import mean_variance
from fixture_types import Simulate

STEEP = np.linspace(0.3, 0.7, 5)


@pytest.fixture(scope="module")
def verdicts(simulate: Simulate) -> Verdicts:
    """Four methods with three seeds."""
    rng = np.random.default_rng(0)
    return simulate([STEEP + 0.02 * number for number in range(4)], images=80, seeds=3, deviation=0.02, rng=rng)


def test_a_seed_fixes_every_draw(verdicts: Verdicts) -> None:
    one, same, other = (bootstrap(verdicts, KEYS, seed=seed, draws=50) for seed in (1, 1, 2))
    for key in KEYS:
        assert np.array_equal(one[key].both, same[key].both)
        assert not np.array_equal(one[key].both, other[key].both)


def test_neither_order_nor_company_matter(verdicts: Verdicts) -> None:
    names = verdicts.names[::-1][:2]
    part = Verdicts(labels=verdicts.labels, classes=5, correct={name: verdicts.correct[name] for name in names})
    whole, few = bootstrap(verdicts, KEYS, seed=1, draws=50), bootstrap(part, KEYS, seed=1, draws=50)
    columns = [verdicts.names.index(name) for name in names]
    for key in KEYS:
        assert np.array_equal(whole[key].both[:, columns], few[key].both)
        assert np.array_equal(whole[key].images[:, columns], few[key].images)
        assert whole[key].bias[columns] == pytest.approx(few[key].bias)


def test_blocks_do_not_matter(verdicts: Verdicts, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bootstrap(verdicts, KEYS, seed=1, draws=50)
    monkeypatch.setattr(sys.modules[bootstrap.__module__], "BLOCK", 7)
    blocks = bootstrap(verdicts, KEYS, seed=1, draws=50)
    assert np.array_equal(whole["worst-20"].both, blocks["worst-20"].both)


def test_the_values_are_those_of_the_seeds(verdicts: Verdicts) -> None:
    found = bootstrap(verdicts, KEYS, seed=0, draws=10)
    for name, seeds, value in zip(verdicts.names, found["worst"].seeds, found["worst"].values, strict=True):
        expected = [accuracies.values.min() for accuracies in verdicts.accuracies(name)]
        assert seeds.tolist() == expected
        assert value == pytest.approx(np.mean(expected))


def test_images_are_resampled_within_each_class_and_alike_for_all(verdicts: Verdicts) -> None:
    """The standard error of a difference of averages is known in closed form."""
    images = bootstrap(verdicts, KEYS, seed=0, draws=4000)["average"].images
    first, second = (verdicts.correct[name].mean(axis=0) for name in verdicts.names[:2])
    difference = first - second
    variance = sum(difference[verdicts.labels == k].var() / 80 for k in range(5)) / 25
    assert (images[:, 0] - images[:, 1]).std() == pytest.approx(np.sqrt(variance), rel=0.04)


def test_seeds_alone_understate_the_variance_by_one_part_in_as_many() -> None:
    """Classes that are all right or all wrong leave no noise but that of the seeds."""
    labels = np.repeat(np.arange(3), 10)
    correct = np.stack([labels < right for right in (1, 2, 3)])
    found = bootstrap(Verdicts(labels=labels, classes=3, correct={"a": correct}), KEYS, seed=0, draws=20000)["average"]
    assert not np.ptp(found.images)
    assert found.both.var() == pytest.approx(2 / 3 * mean_variance(found.seeds[0]), rel=0.03)


def test_methods_draw_their_own_seeds() -> None:
    labels = np.zeros(10, dtype=np.int64)
    runs = np.array([[True], [False]]).repeat(10, axis=1)
    found = bootstrap(Verdicts(labels=labels, classes=1, correct={"a": runs, "b": runs}), KEYS, seed=0)["average"]
    assert abs(np.corrcoef(found.both[:, 0], found.both[:, 1])).min() < 0.1


def test_numbers_of_seeds_may_differ_and_absent_classes_are_left_out(simulate: Simulate) -> None:
    full = simulate([STEEP, STEEP], images=20, seeds=3, rng=np.random.default_rng(0))
    first, second = full.names
    correct = {first: full.correct[first][:1], second: full.correct[second]}
    found = bootstrap(Verdicts(labels=full.labels + 2, classes=9, correct=correct), KEYS, seed=0, draws=20)["worst"]
    assert [len(seeds) for seeds in found.seeds] == [1, 3]
    assert np.array_equal(found.both[:, 0], found.images[:, 0])
    assert (found.values > 0).all()


def lost_and_allowed(profile: Vector, key: str, simulate: Simulate) -> tuple[float, float]:
    """By how much a key falls short of the truth over 150 test sets, and the mean of the bounds on that."""
    rng = np.random.default_rng(1)
    found = [
        bootstrap(simulate([profile], images=200, rng=rng), {key: KEYS[key]}, seed=0, draws=100)[key]
        for _ in range(150)
    ]
    truth = float(KEYS[key](np.sort(profile)))
    return truth - float(np.mean([one.values for one in found])), float(np.mean([one.bias for one in found]))


@pytest.mark.parametrize("key", ["worst", "worst-20", "average+worst"])
def test_the_bound_of_the_bias_is_right_where_all_classes_tie(key: str, simulate: Simulate) -> None:
    lost, allowed = lost_and_allowed(np.full(10, 0.5), key, simulate)
    assert lost > 0.035
    assert allowed == pytest.approx(lost, rel=0.1)


@pytest.mark.parametrize("key", ["worst", "worst-20", "average+worst"])
def test_the_bound_of_the_bias_holds_for_a_real_profile(key: str, reference: Vector, simulate: Simulate) -> None:
    lost, allowed = lost_and_allowed(reference, key, simulate)
    assert 0.01 < lost < allowed


def test_an_average_has_no_bias(verdicts: Verdicts) -> None:
    assert bootstrap(verdicts, KEYS, seed=0)["average"].bias.max() < 0.002


def test_the_interval_holds_the_level_asked_for(verdicts: Verdicts) -> None:
    found = bootstrap(verdicts, KEYS, seed=0, draws=1000)["average"]
    low, high = found.interval(level=0.8).T
    inside = (found.both >= low) & (found.both <= high)
    assert inside.mean(axis=0) == pytest.approx(0.8, abs=0.005)
