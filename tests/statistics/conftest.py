"""Simulated verdicts with known truth."""

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import special

from fairbench.outcomes.metrics import ClassAccuracies, Vector
from fairbench.statistics import Verdicts
from fixture_types import Count, Simulate


@pytest.fixture(scope="session")
def reference() -> Vector:
    """Official FAAL AutoAttack log, PreActResNet-18 on CIFAR-10, 1,000 images per class."""
    return np.array([0.524, 0.678, 0.311, 0.318, 0.339, 0.369, 0.376, 0.468, 0.592, 0.576])


@pytest.fixture(scope="session")
def count() -> Count:
    """Class accuracies of a profile on a balanced test set."""

    def count(profile: Sequence[float] | Vector, *, images: int) -> ClassAccuracies:
        correct = np.round(np.asarray(profile) * images).astype(np.int64)
        return ClassAccuracies(counts=np.full(len(correct), images, dtype=np.int64), correct=correct)

    return count


@pytest.fixture(scope="session")
def simulate() -> Simulate:
    """Verdicts of methods with given class accuracies.

    An image is as hard for everyone (half of the variance of a latent difficulty), for all seeds of a method (a tenth),
    and for a single run (the rest). `deviation` is that of a class accuracy over seeds.
    """

    def simulate(
        profiles: Sequence[Vector], *, images: int, seeds: int = 1, deviation: float = 0.0, rng: np.random.Generator
    ) -> Verdicts:
        classes = len(profiles[0])
        labels = np.repeat(np.arange(classes), images)
        shared = np.sqrt(0.5) * rng.normal(size=labels.size)
        correct = {}
        for number, profile in enumerate(profiles):
            truth = np.clip(profile + deviation * rng.normal(size=(seeds, classes)), 1e-9, 1 - 1e-9)
            own = np.sqrt(0.1) * rng.normal(size=labels.size) + np.sqrt(0.4) * rng.normal(size=(seeds, labels.size))
            correct[f"method {number}"] = shared + own < special.ndtri(truth)[:, labels]
        return Verdicts(labels=labels, classes=classes, correct=correct)

    return simulate
