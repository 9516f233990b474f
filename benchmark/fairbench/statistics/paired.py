"""Two methods on the same images of one class, or of all: the McNemar test with several seeds.

With one seed each it is the exact McNemar test of the two checkpoints. With more, the mean difference per image carries
the noise of the test set, the spread over seeds that of training; Student's t with Welch's degrees of freedom takes
both. Every image's own luck with every seed is counted in both parts, so the test errs to the careful side.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from fairbench.outcomes.metrics import Vector
from fairbench.statistics.mcnemar import mcnemar
from fairbench.statistics.seeds import mean_variance, stouffer, welch_degrees
from fairbench.statistics.verdicts import Bits


@dataclass(frozen=True, kw_only=True, eq=False)
class Paired:
    """A difference of two methods.

    Attributes:
        difference: first minus second, mean over seeds, in [-1, 1].
        p_value: two-sided, about the methods; of the exact McNemar test if both have one seed.
        first_only: per common seed, images that only the first classifies correctly, (seeds,).
        second_only: the same for the second.
        checkpoints_p_value: of the per-seed McNemar tests combined, about these checkpoints and not the methods.
    """

    difference: float
    p_value: float
    first_only: Vector
    second_only: Vector
    checkpoints_p_value: float


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
    seeds = min(len(first), len(second))
    first_only = (first[:seeds] & ~second[:seeds]).sum(axis=1)
    second_only = (second[:seeds] & ~first[:seeds]).sum(axis=1)
    per_seed = mcnemar(first_only, second_only)
    differences = first[:seeds].astype(np.float64) - second[:seeds]
    return Paired(
        difference=float(first.mean() - second.mean()),
        p_value=float(per_seed[0]) if len(first) == len(second) == 1 else _p_value(first, second),
        first_only=first_only,
        second_only=second_only,
        checkpoints_p_value=stouffer(
            per_seed, np.sign(first_only - second_only), correlation=_correlation(differences)
        ),
    )


def _p_value(first: Bits, second: Bits) -> float:
    per_image = first.mean(axis=0) - second.mean(axis=0)
    # Around zero, as in McNemar's statistic: under the null hypothesis the mean is known.
    images = float(np.square(per_image).sum()) / per_image.size**2
    training = [(mean_variance(runs.mean(axis=1)), len(runs) - 1) for runs in (first, second)]
    total = images + math.fsum(variance for variance, _ in training)
    if not total:
        return 1.0
    statistic = abs(float(per_image.mean())) / math.sqrt(total)
    return float(2 * special.stdtr(welch_degrees(images, training), -statistic))


def _correlation(differences: Vector) -> Vector:
    """Of McNemar's scores under the null hypothesis, (seeds, seeds); seeds without a discordant image stand alone."""
    products = differences @ differences.T
    scale = np.sqrt(np.maximum(1, np.diag(products)))
    correlation: Vector = products / np.outer(scale, scale)
    np.fill_diagonal(correlation, 1)
    return correlation
