"""A guaranteed interval of the worst class: per seed, averaged over seeds.

    envelope(row_accuracies)                # one ClassAccuracies per seed

Images: every seed has its Bonferroni-Wilson envelope, and the row has the mean of their ends; the seeds share their
images, so their errors may not be assumed to cancel. Seeds: Student's t on the variance of the mean. Both are added in
squares around the point (MOVER; Zou and Donner, Statistics in Medicine 2008).

It holds whatever the classes do and however few are right, and is wide for it. `fairbench.statistics.row_interval` is
narrower, and falls back on it where next to none or nearly all images of the worst class are right.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from fairbench.outcomes.metrics import ClassAccuracies, Interval, minimum_envelope, worst
from fairbench.statistics.seeds import mean_variance


def envelope(seeds: Sequence[ClassAccuracies], *, level: float = 0.95) -> Interval:
    """Interval of the mean over trainings of the worst class's true accuracy.

    With one seed it is the envelope of that seed, and a statement about that model alone.

    Raises:
        ValueError: if there is no seed or a seed has no data.
    """
    values = [worst(accuracies.values) for accuracies in seeds]
    if not values or any(math.isnan(value) for value in values):
        raise ValueError("An envelope needs at least one seed, and test images in every seed.")
    low, high = np.mean([minimum_envelope(accuracies, level=level) for accuracies in seeds], axis=0)
    point, training = float(np.mean(values)), mean_variance(values)
    return Interval(
        max(0.0, point - _half(point - low, training, seeds=len(seeds), level=level)),
        min(1.0, point + _half(high - point, training, seeds=len(seeds), level=level)),
    )


def _half(images: float, training: float, *, seeds: int, level: float) -> float:
    """One side: the half width from images alone, and that from seeds alone."""
    if not training:
        return images
    return math.hypot(images, float(special.stdtrit(seeds - 1, (1 + level) / 2)) * math.sqrt(training))
