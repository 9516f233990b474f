"""Before an experiment: how many images and seeds would a difference need to be seen?

    mcnemar_power(0.02, discordant=0.06, images=1000)                   # .70, two checkpoints
    images_needed(0.02, discordant=0.06)                                # 1244, for power 80 %
    seeds_needed(0.02, shared=0.02, luck=0.05, images=5000, seed_deviation=0.01)

A study of checkpoints has one source of noise, the images; a study of methods has the seeds too, and neither replaces
the other. `discordant` is the share of images on which two models differ, at least the difference itself. Where many
pairs are corrected for, pass alpha divided by their number.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy import special

from fairbench.statistics.seeds import welch_degrees
from fairbench.statistics.two_noises import half_width

LIMIT = 1 << 24
"""Images or seeds that nobody has; what needs more is out of reach."""

TAIL = 9
"""Standard deviations of the discordant images that are summed over, and its square in images: by Bernstein's
inequality the rest weighs less than 1e-17."""

_MIDDLES = (np.arange(40) + 0.5) / 40
"""Of equally likely parts of a distribution."""


def mcnemar_power(difference: float, *, discordant: float, images: int, alpha: float = 0.05) -> float:
    """Probability that the exact McNemar test of two checkpoints rejects.

    Args:
        difference: true difference of the accuracies, in [-1, 1].
        discordant: share of images that exactly one of them classifies correctly, in (0, 1].
        images: of the class, or of the test set.
        alpha: level of the two-sided test.

    Raises:
        ValueError: if the difference is larger than the discordant share.
    """
    _check(difference, discordant)
    spread = TAIL * math.sqrt(images * discordant * (1 - discordant)) + TAIL**2
    both = np.arange(max(0, int(images * discordant - spread)), min(images, int(images * discordant + spread)) + 1)
    probability = special.bdtr(both, images, discordant) - np.where(
        both > 0, special.bdtr(np.maximum(both - 1, 0), images, discordant), 0
    )
    # The largest count of the rarer kind that rejects, -1 if none does.
    fewer = np.floor(np.nan_to_num(special.bdtrik(alpha / 2, both, 0.5)))
    fewer -= special.bdtr(fewer, both, 0.5) > alpha / 2
    first = (discordant + difference) / (2 * discordant)
    rejects = special.bdtr(np.maximum(fewer, 0), both, first) + special.bdtr(np.maximum(fewer, 0), both, 1 - first)
    return float(probability @ np.where(fewer < 0, 0, rejects))


def method_power(
    difference: float,
    *,
    shared: float,
    luck: float,
    images: int,
    seeds: int,
    seed_deviation: float,
    alpha: float = 0.05,
) -> float:
    """Probability that `fairbench.statistics.paired` tells two methods apart, each trained with several seeds.

    More seeds average the spread of training away and the luck that every seed has for itself, but not the luck that
    the seeds of a method share.

    Args:
        difference: true difference of the methods, in [-1, 1].
        shared: variance of the difference on one image that all seeds have in common, as `Paired.shared`.
        luck: variance on one image that every seed has for itself, as `Paired.luck`.
        images: of the class, or of the test set.
        seeds: of each method, at least 2.
        seed_deviation: standard deviation of a method's accuracy over seeds without that luck.
        alpha: level of the two-sided test.

    Raises:
        ValueError: if there are fewer than 2 seeds.
    """
    if seeds < 2:
        raise ValueError(f"Methods are compared over at least 2 seeds each, got {seeds}.")
    fixed, training = shared / images, (seed_deviation**2 + luck / images) / seeds
    # Both variances over seeds are estimated: the mean over what they may come out as.
    found = training * special.chdtri(seeds - 1, _MIDDLES) / (seeds - 1)
    both = (found[:, None] + found).ravel()
    degrees = welch_degrees(found, np.full(len(found), seeds - 1.0)).ravel()
    needed = half_width(fixed, both, degrees, level=1 - alpha, count=images)
    spread = math.sqrt(fixed + 2 * training)
    if not spread:
        return float(abs(difference) > needed[0])
    return float(np.mean(special.ndtr((difference - needed) / spread) + special.ndtr((-difference - needed) / spread)))


def images_needed(difference: float, *, discordant: float, power: float = 0.8, alpha: float = 0.05) -> int | None:
    """Images for two checkpoints; None if out of reach. The power of an exact test is a saw: right to about a tooth."""
    return _smallest(
        lambda images: mcnemar_power(difference, discordant=discordant, images=images, alpha=alpha), power, 1
    )


def seeds_needed(
    difference: float,
    *,
    shared: float,
    luck: float,
    images: int,
    seed_deviation: float,
    power: float = 0.8,
    alpha: float = 0.05,
) -> int | None:
    """Seeds of each of two methods, 2 at least; None if the images alone are too few."""
    noise = {"shared": shared, "luck": luck, "seed_deviation": seed_deviation}
    return _smallest(
        lambda seeds: method_power(difference, images=images, seeds=seeds, alpha=alpha, **noise),
        power,
        2,
    )


def _check(difference: float, discordant: float) -> None:
    if not abs(difference) <= discordant <= 1 or not discordant:
        raise ValueError(
            f"The discordant share is at least the difference {difference} and at most 1, got {discordant}."
        )


def _smallest(power: Callable[[int], float], target: float, start: int) -> int | None:
    """Smallest number from start with the power wanted: doubling, then halving the interval."""
    high = start
    while power(high) < target:
        if high >= LIMIT:
            return None
        high *= 2
    low = max(start, high // 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle) >= target else (middle + 1, high)
    return high
