"""How much trainings differ from seed to seed, when three seeds alone can hardly say: the board lends its knowledge.

    found = moderated(resampled["average"], spread=class_spread(verdicts))
    found.variances, found.degrees          # of a single seed, (methods,), with degrees of freedom

With 24 methods, three seeds that agree by luck are certain to occur, and to be the ones that seem to be told apart. The
variance of every method is therefore shrunk towards what its board expects of it (Smyth, Statistical Applications
in Genetics and Molecular Biology 2004):

    s~^2 = (d0 e^2 + (S - 1) s^2) / (d0 + S - 1),    with d0 + S - 1 degrees of freedom.

e^2, the expectation, is the luck with the images that every seed has for itself, which the resampling knows, plus a
part of training. That is the same for all methods, or it is proportional to how much the method's classes move
against each other from seed to seed, which nine classes times two degrees of freedom know much better than the key
itself does; whichever explains the board's variances better. Movements against each other are free of what all
classes do together, so they are no echo of the key's own seeds.

d0 says how far the expectation can be trusted. It is fitted to the variances of the board (scaled F distributions), and
because a board of 24 methods knows it badly, what is used is not the best value but the lowest that the data do not
contradict (`DOUBT` in the logarithm of the likelihood). With two methods that is 0: nothing is lent.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from fairbench.outcomes.metrics import Vector
from fairbench.statistics.bootstrap import Resampled
from fairbench.statistics.verdicts import Verdicts

PRIOR_DEGREES = np.concatenate([[0.0], np.geomspace(0.25, 256, 31)])
"""Values of d0 that are tried."""

SCALES = np.geomspace(1 / 16, 4, 25)
"""Factors of the expectation that are tried."""

DOUBT = 1.35
"""Fall of the log-likelihood, from its maximum, of the lowest d0 that is not contradicted: one-sided 95 %."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SeedVariance:
    """Of one key over single seeds.

    Attributes:
        variances: moderated, (methods,); 0 for one seed, whose statements are about that model alone.
        degrees: of freedom, (methods,).
        prior_degrees: d0, how many the board lends.
    """

    variances: Vector
    degrees: Vector
    prior_degrees: float


def class_spread(verdicts: Verdicts) -> Vector:
    """How much the classes of a method move against each other from seed to seed, as a variance, (methods,).

    Class accuracies less what all classes do together, and less the luck with images. 0 for one seed or one class.
    """
    present, places = np.unique(verdicts.labels, return_inverse=True)
    images = np.bincount(places)
    found = []
    for correct in verdicts.correct.values():
        seeds, classes = len(correct), len(present)
        if seeds == 1 or classes == 1:
            found.append(0.0)
            continue
        accuracies = np.stack([np.bincount(places, weights=row, minlength=classes) for row in correct]) / images
        moves = accuracies - accuracies.mean(axis=0)
        moves -= moves.mean(axis=1, keepdims=True)
        mean = correct.mean(axis=0)
        luck = np.bincount(places, weights=mean * (1 - mean)) * seeds / (seeds - 1) / images**2
        found.append(float((moves**2).sum() / (seeds - 1) / (classes - 1) - luck.mean()))
    return np.maximum(0, found)


def moderated(resampled: Resampled, *, spread: Vector) -> SeedVariance:
    """Seed variances of a key, each with the board's help.

    Args:
        resampled: the key.
        spread: of the methods' classes, see `class_spread`.
    """
    own = np.array([values.var(ddof=1) if len(values) > 1 else 0.0 for values in resampled.seeds])
    degrees = np.array([len(values) - 1 for values in resampled.seeds], dtype=float)
    several = degrees > 0
    known = several & (own > 1e-24)
    best = (0.0, own)
    for follows in (np.ones(len(own)), spread):
        expected = _expected(own, resampled.luck, follows, known=known)
        if (expected[known] > 0).all() and known.sum() > 2:
            prior = _prior_degrees(own[known] / expected[known], degrees[known])
            best = max(best, (prior, expected), key=lambda found: found[0])
    prior, expected = best
    total = np.where(several, prior + degrees, 1)
    return SeedVariance(
        variances=np.where(several, (prior * expected + degrees * own) / total, 0.0),
        degrees=np.where(several, total, 0.0),
        prior_degrees=prior,
    )


def _expected(own: Vector, luck: Vector, follows: Vector, *, known: npt.NDArray[np.bool_]) -> Vector:
    """Luck with images, and a part of training that is proportional to something."""
    total = follows[known].sum()
    part = max(0.0, float((own - luck)[known].sum()) / total) if total > 0 else 0.0
    return luck + part * follows


def _prior_degrees(ratios: Vector, degrees: Vector) -> float:
    """The lowest d0 that the data do not contradict, whatever the factor between variances and expectation."""
    prior = PRIOR_DEGREES[1:, None, None]
    scaled = degrees / prior * ratios / SCALES[:, None]
    density = (
        degrees / 2 * np.log(scaled) - (degrees + prior) / 2 * np.log1p(scaled) - special.betaln(degrees / 2, prior / 2)
    )
    profile = density.sum(axis=-1).max(axis=1)
    best = int(np.argmax(profile >= profile.max() - DOUBT))
    return float(PRIOR_DEGREES[best + 1]) if best else 0.0
