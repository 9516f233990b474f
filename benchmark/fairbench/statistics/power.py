"""Before an experiment: how many images and seeds would a difference need to be seen?

    mcnemar_power(0.02, discordant=0.06, images=1000)                   # .70, two checkpoints
    images_needed(0.02, discordant=0.06)                                # 1244, for power 80 %
    seeds_needed(0.02, discordant=0.06, images=5000, seed_deviation=0.01)

A study of checkpoints has one source of noise, the images; a study of methods has the seeds too, and neither replaces
the other. `discordant` is the share of images on which two models differ, at least the difference itself. Where many
pairs are corrected for, pass alpha divided by their number.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy import special

from fairbench.statistics.seeds import welch_degrees

LIMIT = 1 << 24
"""Images or seeds that nobody has; what needs more is out of reach."""

TAIL = 9
"""Standard deviations of the discordant images that are summed over, and its square in images: by Bernstein's
inequality the rest weighs less than 1e-17."""


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


def unpaired_power(difference: float, *, accuracy: float, images: int, alpha: float = 0.05) -> float:
    """The same for the z-test that forgets the pairing, to show what pairing is worth.

    Args:
        difference: true difference of the accuracies.
        accuracy: mean of the two, in (0, 1).
        images: seen by each.
        alpha: level of the two-sided test.
    """
    score = difference / math.sqrt(2 * accuracy * (1 - accuracy) / images)
    critical = special.ndtri(1 - alpha / 2)
    return float(special.ndtr(score - critical) + special.ndtr(-score - critical))


def method_power(
    difference: float, *, discordant: float, images: int, seeds: int, seed_deviation: float, alpha: float = 0.05
) -> float:
    """Probability that `fairbench.statistics.paired` tells two methods apart, each trained with several seeds.

    The worst case for the images: all seeds of a method err on the same ones, so that more seeds do not average the
    luck of the test set away.

    Args:
        difference: true difference of the methods, in [-1, 1].
        discordant: share of images that exactly one of two models classifies correctly, in (0, 1].
        images: of the class, or of the test set.
        seeds: of each method, at least 2.
        seed_deviation: standard deviation of a method's accuracy over seeds, in the unit of the difference.
        alpha: level of the two-sided test.

    Raises:
        ValueError: if the difference is larger than the discordant share, or there are fewer than 2 seeds.
    """
    _check(difference, discordant)
    if seeds < 2:
        raise ValueError(f"Methods are compared over at least 2 seeds each, got {seeds}.")
    luck, training = discordant / images, seed_deviation**2 / seeds
    degrees = min(welch_degrees(luck, [(training, seeds - 1)] * 2), 1e9)  # the noncentral t wants a number
    score = difference / math.sqrt(luck + 2 * training)
    critical = special.stdtrit(degrees, 1 - alpha / 2)
    return float(1 - special.nctdtr(degrees, score, critical) + special.nctdtr(degrees, score, -critical))


def images_needed(difference: float, *, discordant: float, power: float = 0.8, alpha: float = 0.05) -> int | None:
    """Images for two checkpoints; None if out of reach. The power of an exact test is a saw: right to about a tooth."""
    return _smallest(
        lambda images: mcnemar_power(difference, discordant=discordant, images=images, alpha=alpha), power, 1
    )


def seeds_needed(
    difference: float,
    *,
    discordant: float,
    images: int,
    seed_deviation: float,
    power: float = 0.8,
    alpha: float = 0.05,
) -> int | None:
    """Seeds of each of two methods, 2 at least; None if the images alone are too few."""
    return _smallest(
        lambda seeds: method_power(
            difference, discordant=discordant, images=images, seeds=seeds, seed_deviation=seed_deviation, alpha=alpha
        ),
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
