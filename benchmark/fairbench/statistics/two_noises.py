"""A number with two noises: the images of the test set, which are many, and the seeds of training, which are few.

    half_width(images, training, degrees)           # at 95 %
    p_value(lead, images, training, degrees)        # the level at which the half-width reaches the lead

The half-width is sqrt(z^2 V + t^2 W), each noise with its own quantile (Banerjee, Journal of the Indian Society of
Agricultural Statistics 1960): it never covers less than the level, however the noise is divided. Welch's degrees of
freedom, which take the images as exact, rise just where three seeds agree by luck, and 5 % become 10 to 30 % among the
pairs of a board.

For a difference of accuracies V is taken around the difference that is tested, as in McNemar's statistic: V + d^2 / n.
So a test and its interval say the same, and nothing is certain only because a class is all right or all wrong.
"""

import numpy as np
from scipy import special
from scipy.optimize import elementwise

from fairbench.outcomes.metrics import Vector


def half_width(
    images: Vector | float,
    training: Vector | float,
    degrees: Vector | float,
    *,
    level: Vector | float = 0.95,
    count: Vector | float = np.inf,
) -> Vector:
    """Half of an interval.

    Args:
        images: variance over test sets.
        training: variance over trainings, estimated.
        degrees: of freedom of that estimate; where they are 0 there is no such part.
        level: of the interval.
        count: images behind a difference of accuracies; infinite where the variance is what it is.
    """
    tail = np.log((1 - np.asarray(level)) / 2)
    return _half_width(tail, *np.broadcast_arrays(images, training, degrees, count))


def p_value(
    lead: Vector | float,
    images: Vector | float,
    training: Vector | float,
    degrees: Vector | float,
    *,
    count: Vector | float = np.inf,
) -> Vector:
    """Two-sided: the alpha at which the half-width is the lead; 1 for a lead of 0 or less."""
    lead, *parts = np.broadcast_arrays(lead, images, training, degrees, count)
    # Most pairs of a large board are not, once their doubt is taken off; and what is not known proves nothing.
    ahead = (lead > 0) & np.isfinite(parts[0] + parts[1])
    low, high = np.full(ahead.sum(), -230.0), np.full(ahead.sum(), np.log(0.5))  # logarithms: 1e-100 to 1
    ended = elementwise.find_root(_wider, (low, high), args=(lead[ahead], *(part[ahead] for part in parts)))
    found: Vector = np.ones(lead.shape)
    beyond = ended.status == -1  # no change of sign: it is smaller still
    found[ahead] = 2 * np.exp(np.where(beyond, low, ended.x))
    return found


def _wider(tail: Vector, lead: Vector, *parts: Vector) -> Vector:
    """How much wider the half-width is than the lead, from -1 to 1; finite where the half-width is not."""
    half = _half_width(tail, *parts)
    finite = np.isfinite(half)
    relative: Vector = np.where(finite, (np.where(finite, half, 0) - lead) / (np.where(finite, half, 0) + lead), 1.0)
    return relative


def _half_width(tail: Vector | float, images: Vector, training: Vector, degrees: Vector, count: Vector) -> Vector:
    """Of the logarithm of the probability beyond either end."""
    z = -special.ndtri_exp(tail)
    t = -special.stdtrit(np.maximum(degrees, 1), np.exp(np.maximum(tail, -230.0)))
    left = 1 - z**2 / count
    square = z**2 * images + np.where((degrees > 0) & (training > 0), t**2 * training, 0.0)
    found: Vector = np.sqrt(np.where(left > 0, square / np.where(left > 0, left, 1), np.inf))
    return found
