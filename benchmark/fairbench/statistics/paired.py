"""Two methods on the same images of one class, or of all: the McNemar test with several seeds, and its interval.

    found = paired(first, second)                   # verdicts, (seeds, images) each
    found.difference, found.interval, found.p_value

With one seed each it is the exact McNemar test of the two checkpoints, and the interval is that test turned round: the
differences that it does not reject, given the images on which the two differ (Clopper and Pearson, Biometrika 1934).
With more seeds, the luck with images that the seeds of a method share and the spread over seeds each have their own
quantile (`fairbench.statistics.two_noises`). p is at most 5 % exactly where the interval leaves out 0.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

from fairbench.outcomes.metrics import Interval, Vector
from fairbench.statistics.mcnemar import mcnemar
from fairbench.statistics.seeds import mean_variance, welch_degrees
from fairbench.statistics.two_noises import half_width, p_value
from fairbench.statistics.verdicts import Bits


@dataclass(frozen=True, kw_only=True, eq=False)
class Paired:
    """A difference of two methods.

    Attributes:
        difference: first minus second, mean over seeds, in [-1, 1].
        interval: of the difference, 95 %, over images and seeds.
        p_value: two-sided, about the methods; of the exact McNemar test if both have one seed.
        first_only: per common seed, images that only the first classifies correctly, (seeds,).
        second_only: the same for the second.
        shared: variance of the difference of a single image that all seeds have in common.
        luck: variance of a single image that every seed has for itself, mean of both methods; NaN for one seed.
        seed_deviation: of a method's accuracy over seeds without that luck, mean of both; NaN for one seed.
    """

    difference: float
    interval: Interval
    p_value: float
    first_only: Vector
    second_only: Vector
    shared: float
    luck: float
    seed_deviation: float


def paired(first: Bits, second: Bits) -> Paired:
    """Compare two methods on the same images.

    Args:
        first: verdicts, (seeds, images).
        second: verdicts, (seeds, images); the number of seeds may differ, then the first ones are paired.

    Raises:
        ValueError: if the images differ in number or there are none.
    """
    if first.shape[1] != second.shape[1] or not first.shape[1]:
        raise ValueError(f"Paired verdicts need the same images, got {first.shape[1]} and {second.shape[1]}.")
    seeds, images = min(len(first), len(second)), first.shape[1]
    first_only = (first[:seeds] & ~second[:seeds]).sum(axis=1)
    second_only = (second[:seeds] & ~first[:seeds]).sum(axis=1)
    per_image = first.mean(axis=0) - second.mean(axis=0)
    difference = float(per_image.mean())
    lucks = [_luck(runs) for runs in (first, second)]
    own = sum(luck / len(runs) for luck, runs in zip(lucks, (first, second), strict=True))
    shared = max(0.0, float(per_image.var()) - own)
    if len(first) == len(second) == 1:
        interval, p = _exact(int(first_only[0]), int(second_only[0]), images=images)
    else:
        training = np.array([mean_variance(runs.mean(axis=1)) for runs in (first, second)])
        degrees = float(welch_degrees(training, np.array([len(first) - 1.0, len(second) - 1.0]))[0, 1])
        parts = (shared / images, float(training.sum()), degrees)
        half = float(half_width(*parts, count=images))
        interval = Interval(max(-1.0, difference - half), min(1.0, difference + half))
        p = float(p_value(abs(difference), *parts, count=images))
    several = [(runs, luck) for runs, luck in zip((first, second), lucks, strict=True) if len(runs) > 1]
    spreads = [max(0.0, float(runs.mean(axis=1).var(ddof=1)) - luck / images) for runs, luck in several]
    return Paired(
        difference=difference,
        interval=interval,
        p_value=p,
        first_only=first_only,
        second_only=second_only,
        shared=shared,
        luck=float(np.mean([luck for _, luck in several])) if several else np.nan,
        seed_deviation=float(np.sqrt(np.mean(spreads))) if spreads else np.nan,
    )


def _luck(runs: Bits) -> float:
    """Variance of a verdict from seed to seed on one image, mean over images; 0 for one seed."""
    mean = runs.mean(axis=0)
    return float((mean * (1 - mean)).mean()) * len(runs) / (len(runs) - 1) if len(runs) > 1 else 0.0


def _exact(first_only: int, second_only: int, *, images: int) -> tuple[Interval, float]:
    """McNemar's test and the differences that it does not reject."""
    both = first_only + second_only
    low = float(special.betaincinv(first_only, second_only + 1, 0.025)) if first_only else 0.0
    high = float(special.betaincinv(first_only + 1, second_only, 0.975)) if second_only else 1.0
    scale = both / images
    return Interval(scale * (2 * low - 1), scale * (2 * high - 1)), float(mcnemar(first_only, second_only))
