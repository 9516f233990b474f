"""Which class is the worst: the classes that may be it, and how often each one was.

The class with the lowest observed accuracy is the truly worst one in 62 % of test sets for a typical CIFAR-10 model
with 1,000 images per class, so the arg-min alone misleads.

Two questions can be asked. Which class is the worst of a method, on average over trainings? And which is the worst of
this one trained model? `candidate_set` answers the first: one set for a row. It is a one-sided comparison with the best
(Hsu, Annals of Statistics 1984): a class is left out if another one is certainly lower, and only the truly worst class
must not be left out by mistake, so that one has to be compared with each other one alone. Seeds are paired class by
class, and their variance is pooled over the classes of the row, which are taken to move against each other alike.
"""

from collections.abc import Iterable

import numpy as np

from fairbench.outcomes.metrics import ClassAccuracies, Counts, worst_class
from fairbench.statistics.bootstrap import missing_variance
from fairbench.statistics.two_noises import half_width
from fairbench.statistics.verdicts import Bits, Labels


def candidate_set(correct: Bits, labels: Labels, *, level: float = 0.95) -> frozenset[int]:
    """Classes that may have the lowest accuracy on average over trainings.

    Args:
        correct: verdicts of one method, (seeds, images).
        labels: true class per image, (images,).
        level: at which the truly worst class is among them.
    """
    present, places = np.unique(labels, return_inverse=True)
    if len(present) < 2:
        return frozenset(present.tolist())
    images, seeds = np.bincount(places), len(correct)
    accuracies = np.stack([np.bincount(places, weights=row, minlength=len(images)) for row in correct]) / images
    values = accuracies.mean(axis=0)
    variance, training, degrees = _noises(correct, places, accuracies)
    half = half_width(
        variance[:, None] + variance,
        2 * training / seeds,
        degrees,
        level=1 - 2 * (1 - level) / (len(present) - 1),
        count=2 * np.minimum(images[:, None], images),  # other images: half of what a paired difference gains
    )
    lower = values[:, None] - values > half
    return frozenset(present[~lower.any(axis=1)].tolist())


def _noises(correct: Bits, places: Labels, accuracies: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Variance over test sets that seeds share, (classes,); over seeds of a class against the others; its degrees."""
    (seeds, classes), images = accuracies.shape, np.bincount(places)
    missing = missing_variance(accuracies * images, images.astype(float)).mean(axis=0)
    whole = accuracies * (1 - accuracies) / np.maximum(1, images - 1)
    if seeds == 1:
        return whole[0] + missing, 0.0, 0.0
    mean = correct.mean(axis=0)
    luck = np.bincount(places, weights=mean * (1 - mean)) * seeds / (seeds - 1) / images**2
    moves = accuracies - accuracies.mean(axis=0)
    moves -= moves.mean(axis=1, keepdims=True)
    degrees = (seeds - 1.0) * (classes - 1)
    return np.maximum(0, whole.mean(axis=0) - luck) + missing, float((moves**2).sum() / degrees), degrees


def worst_class_counts(seeds: Iterable[ClassAccuracies]) -> Counts:
    """Number of seeds in which each class is the worst, (classes,); the first of equals, so the sum is that of seeds.

    Raises:
        ValueError: if there is no seed.
    """
    seeds = list(seeds)
    if not seeds:
        raise ValueError("Stability over seeds needs at least one seed.")
    found = [worst_class(accuracies.values) for accuracies in seeds]
    return np.bincount(found, minlength=len(seeds[0].counts)).astype(np.int64)
