"""What a board lends to the seed variance of its methods."""

import numpy as np
import pytest
from scipy import stats

from fairbench.outcomes.metrics import Vector
from fairbench.statistics import Resampled, class_spread, moderated
from fairbench.statistics.seed_variance import _prior_degrees
from scenes import EQUAL, FAAL, Scene


def key(seeds: list[Vector], *, luck: float = 0.0) -> Resampled:
    """A key with these seeds."""
    count = len(seeds)
    return Resampled(
        names=tuple(map(str, range(count))),
        seeds=tuple(seeds),
        shared=np.zeros((count, count)),
        luck=np.full(count, luck),
        both=np.zeros((1, count)),
        bias=np.zeros((count, 2)),
    )


def test_by_hand() -> None:
    """Ten variances of which nine are 1 and one is 4, in squared points: mean 1.3; (d0 1.3 + 2 s^2) / (d0 + 2)."""
    spread = np.sqrt(np.array([1.0] * 9 + [4.0]))
    found = moderated(key([0.5 + 0.01 * one * np.array([-1.0, 0.0, 1.0]) for one in spread]), spread=np.zeros(10))
    prior = found.prior_degrees
    assert prior > 4
    assert found.degrees.tolist() == [prior + 2] * 10
    assert found.variances[0] == pytest.approx((prior * 1.3e-4 + 2 * 1e-4) / (prior + 2))
    assert found.variances[9] == pytest.approx((prior * 1.3e-4 + 2 * 4e-4) / (prior + 2))


def test_two_methods_lend_each_other_nothing() -> None:
    found = moderated(key([np.array([0.1, 0.2, 0.3]), np.array([0.5, 0.5, 0.6])]), spread=np.ones(2))
    assert found.prior_degrees == 0
    assert found.degrees.tolist() == [2, 2]
    assert found.variances == pytest.approx([0.01, 1 / 300])


def test_one_seed_has_no_variance_and_lends_none() -> None:
    rng = np.random.default_rng(0)
    seeds = [rng.standard_normal(3) for _ in range(12)]
    alone = moderated(key([*seeds, np.array([9.0])]), spread=np.zeros(13))
    assert (alone.variances[-1], alone.degrees[-1]) == (0, 0)
    assert alone.prior_degrees == moderated(key(seeds), spread=np.zeros(12)).prior_degrees


def test_seeds_that_agree_exactly_are_no_evidence_of_agreement() -> None:
    """The network that nobody defends has 0 % in every seed."""
    rng = np.random.default_rng(0)
    seeds = [*(rng.standard_normal(3) for _ in range(12)), np.zeros(3)]
    found = moderated(key(seeds), spread=np.zeros(13))
    assert found.prior_degrees == moderated(key(seeds[:-1]), spread=np.zeros(12)).prior_degrees
    assert found.variances[-1] > 0


@pytest.mark.parametrize(("true", "low", "high"), [(2.0, 0.3, 3.0), (8.0, 1.5, 20.0), (np.inf, 3.0, 256.0)])
def test_the_prior_degrees_stay_below_the_truth(true: float, low: float, high: float) -> None:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(40):
        prior = rng.chisquare(true, 60) / true if np.isfinite(true) else np.ones(60)
        found.append(_prior_degrees(rng.chisquare(2, 60) / 2 / prior, np.full(60, 2.0)))
    assert low < np.median(found) < high
    assert np.mean(np.array(found) < true + 0.01) >= 0.85


def test_the_density_is_that_of_scipy() -> None:
    """The best d0 of a grid by scipy's F distribution, without doubt, lies above the one that is used."""
    ratios = stats.f.rvs(2, 6, size=200, random_state=3)
    grid = np.geomspace(0.5, 100, 40)
    likelihood = [max(stats.f.logpdf(ratios, 2, d, scale=c).sum() for c in np.geomspace(0.5, 2, 25)) for d in grid]
    best = grid[int(np.argmax(likelihood))]
    contradicted = grid[np.array(likelihood) < max(likelihood) - 1.5]
    found = _prior_degrees(ratios, np.full(200, 2.0))
    assert found <= best
    assert found > contradicted[contradicted < best].max()


def test_class_spread_is_the_movement_of_classes_against_each_other() -> None:
    """Two points each; what all classes do together, and the luck with images, are none of it."""
    rng = np.random.default_rng(0)
    own = Scene(profiles=(FAAL,) * 40, images=400, seeds=5, deviation=0.02)
    together = Scene(profiles=(EQUAL,) * 40, images=400, seeds=5, deviation=0.05, common=1)
    assert np.sqrt(class_spread(own.verdicts(rng)).mean()) == pytest.approx(0.02, rel=0.1)
    assert np.sqrt(class_spread(together.verdicts(rng)).mean()) < 0.012


def test_one_class_or_one_seed_moves_against_nothing() -> None:
    rng = np.random.default_rng(0)
    for scene in (Scene(profiles=(EQUAL[:1],), images=20), Scene(profiles=(EQUAL,), images=20, seeds=1)):
        assert class_spread(scene.verdicts(rng)).tolist() == [0]
