"""The hierarchical bootstrap."""

import sys

import numpy as np
import pytest

from fairbench.outcomes.metrics import Vector
from fairbench.statistics import KEYS, Verdicts, bootstrap
from fairbench.statistics.bootstrap import missing_variance
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
        assert whole[key].shared[np.ix_(columns, columns)] == pytest.approx(few[key].shared)
        assert whole[key].luck[columns] == pytest.approx(few[key].luck)
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
    """The variance of a difference of averages is known in closed form; of what seeds share, the part beyond luck."""
    found = bootstrap(verdicts, KEYS, seed=0, draws=4000)["average"]
    runs = [verdicts.correct[name] for name in verdicts.names[:2]]
    difference = runs[0].mean(axis=0) - runs[1].mean(axis=0)
    whole = sum(difference[verdicts.labels == k].var(ddof=1) / 80 for k in range(5)) / 25
    resampled = found.shared[0, 0] + found.shared[1, 1] - 2 * found.shared[0, 1] + (found.luck[0] + found.luck[1]) / 3
    assert resampled == pytest.approx(whole, rel=0.08)


def test_luck_is_what_seeds_do_not_share(simulate: Simulate) -> None:
    """The latent difficulty is the image's for six tenths and the run's for four."""
    verdicts = simulate([np.full(4, 0.5)], images=2000, seeds=4, rng=np.random.default_rng(0))
    found = bootstrap(verdicts, KEYS, seed=0, draws=2000)["average"]
    runs = verdicts.correct["method 0"]
    luck = np.mean(runs.var(axis=0, ddof=1)) / 8000
    assert found.luck[0] == pytest.approx(luck, rel=0.1)
    assert found.luck[0] + found.shared[0, 0] == pytest.approx(0.25 / 8000, rel=0.1)


def test_seeds_that_are_copies_have_no_luck_of_their_own(verdicts: Verdicts) -> None:
    same = verdicts.correct["method 0"][:1].repeat(3, axis=0)
    found = bootstrap(Verdicts(labels=verdicts.labels, classes=5, correct={"a": same}), KEYS, seed=0, draws=100)
    for one in found.values():
        assert one.luck[0] == pytest.approx(0, abs=1e-12)
        assert one.shared[0, 0] > 0


@pytest.mark.parametrize(("right", "images", "expected"), [(5, 9, 0.0), (0, 4, 5 / 36 / 4), (1, 1, 2 / 9), (1, 2, 0.0)])
def test_small_classes_have_the_variance_of_their_shrunken_accuracy(right: int, images: int, expected: float) -> None:
    """All wrong of four: q = 1/6. One of two: 1/4 / 1 is more than q (1 - q) / 2."""
    assert missing_variance(np.array([float(right)]), np.array([float(images)])) == pytest.approx([expected])


def test_one_image_of_each_class_is_not_certain() -> None:
    """Six right of ten: q is 1/3 or 2/3, so the variance is 10 * 2/9 / 100."""
    labels = np.arange(10)
    correct = {"six": (labels < 6)[None], "five": (labels < 5)[None]}
    found = bootstrap(Verdicts(labels=labels, classes=10, correct=correct), KEYS, seed=0, draws=4000)["average"]
    assert np.diag(found.shared) == pytest.approx([2 / 90, 2 / 90], rel=0.08)


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
    assert found.luck[0] == 0 < found.luck[1]
    assert (found.values > 0).all()


def lost_and_bounds(profile: Vector, key: str, simulate: Simulate) -> tuple[float, float, float]:
    """By how much a key falls short of the truth over 150 test sets, and the means of the bounds on that."""
    rng = np.random.default_rng(1)
    found = [
        bootstrap(simulate([profile], images=200, rng=rng), {key: KEYS[key]}, seed=0, draws=100)[key]
        for _ in range(150)
    ]
    truth = float(KEYS[key](np.sort(profile)))
    least, most = np.mean([one.bias for one in found], axis=(0, 1)).tolist()
    return truth - float(np.mean([one.values for one in found])), least, most


@pytest.mark.parametrize("key", ["worst", "worst-20", "average+worst"])
def test_the_bias_is_its_upper_bound_where_all_classes_tie(key: str, simulate: Simulate) -> None:
    lost, least, most = lost_and_bounds(np.full(10, 0.5), key, simulate)
    assert lost > 0.035
    assert most == pytest.approx(lost, rel=0.1)
    assert least == pytest.approx((2**0.5 - 1) / 2 * lost, rel=0.15)


@pytest.mark.parametrize("key", ["worst", "worst-20", "average+worst"])
def test_the_bias_lies_between_its_bounds_for_a_real_profile(key: str, reference: Vector, simulate: Simulate) -> None:
    lost, least, most = lost_and_bounds(reference, key, simulate)
    assert lost > 0.01
    assert least < lost < most


def test_no_class_right_leaves_no_room_for_a_bias() -> None:
    verdicts = Verdicts(
        labels=np.repeat(np.arange(10), 54), classes=10, correct={"all wrong": np.zeros((3, 540), bool)}
    )
    assert not bootstrap(verdicts, KEYS, seed=0, draws=100)["worst"].bias.any()


def test_an_average_has_no_bias(verdicts: Verdicts) -> None:
    assert bootstrap(verdicts, KEYS, seed=0)["average"].bias.max() < 0.002
