"""Simulated boards whose truth is known: what the statistics are tried on.

    scene = Scene(profiles=(FAAL,) * 24, images=54, seeds=3, deviation=0.02)
    verdicts = scene.verdicts(np.random.default_rng(0))
    scene.truth("worst")                # of every method, on average over trainings and test sets

An image is as hard for everyone (half of the variance of a latent difficulty), for all seeds of a method (a tenth), and
for a single run (the rest). Class accuracies move from seed to seed with a standard deviation, each class for itself,
or with a share of the variance that all classes have in common.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special

from fairbench.outcomes.metrics import Vector
from fairbench.statistics import KEYS, Verdicts

FAAL = np.array([0.524, 0.678, 0.311, 0.318, 0.339, 0.369, 0.376, 0.468, 0.592, 0.576])
"""Official FAAL AutoAttack log, PreActResNet-18 on CIFAR-10."""

CLEAR = np.array([0.22, 0.33, 0.40, 0.45, 0.50, 0.50, 0.55, 0.60, 0.65, 0.70])
"""One clear worst class."""

EQUAL = np.full(10, 0.5)
HUNDRED = np.clip(np.random.default_rng(0).beta(2.2, 5.5, 100), 0.02, 0.9)
"""As on CIFAR-100."""

TAIL = tuple(int(n) for n in np.round(np.geomspace(500, 2, 10)))
"""Images per class of a long tail."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """A board.

    Attributes:
        profiles: class accuracies of every method, on average over trainings.
        images: of every class, or class by class.
        seeds: of every method.
        deviation: of a class accuracy over seeds.
        unequal: methods differ in it by factors of e to the power of plus and minus this, in turn.
        common: share of the seed variance that all classes have in common.
        mixed: every other method has all of it in common, whatever `common` says.
    """

    profiles: Sequence[Vector]
    images: int | Sequence[int]
    seeds: int = 3
    deviation: float = 0.02
    unequal: float = 0.0
    common: float = 0.0
    mixed: bool = False

    @property
    def classes(self) -> int:
        """How many there are."""
        return len(self.profiles[0])

    @cached_property
    def deviations(self) -> Vector:
        """Of every method."""
        signs = np.resize([1, 1, -1, -1], len(self.profiles))
        found: Vector = self.deviation * np.exp(self.unequal * signs)
        return found

    @cached_property
    def labels(self) -> np.ndarray:
        """Of the images, ascending."""
        return np.repeat(np.arange(self.classes), self.images)

    def _accuracies(self, rng: np.random.Generator, *, seeds: int) -> Vector:
        """True ones of single trainings, (methods, seeds, classes)."""
        shares = np.full(len(self.profiles), self.common)
        if self.mixed:
            shares[::2] = 1
        shares = shares[:, None, None]
        own = rng.standard_normal((len(self.profiles), seeds, self.classes))
        together = rng.standard_normal((len(self.profiles), seeds, 1))
        moves = np.sqrt(1 - shares) * own + np.sqrt(shares) * together
        found: Vector = np.array(self.profiles)[:, None] + self.deviations[:, None, None] * moves
        return found.clip(0, 1)

    def truth(self, key: str) -> Vector:
        """The key of single trainings, averaged over trainings, (methods,)."""
        return np.array([mean for mean, _ in self._laws[key]])

    def spread(self, key: str) -> float:
        """Standard deviation of the key over trainings, of a typical method."""
        return float(np.sqrt(np.mean([variance for _, variance in self._laws[key]])))

    @cached_property
    def _laws(self) -> dict[str, list[tuple[float, float]]]:
        """By key, mean and variance over trainings of every method; equal methods have equal ones."""
        distinct: dict[tuple[bytes, float, float], dict[str, tuple[float, float]]] = {}
        found = []
        for number, (profile, deviation) in enumerate(zip(self.profiles, self.deviations.tolist(), strict=True)):
            share = 1.0 if self.mixed and number % 2 == 0 else self.common
            kind = (profile.tobytes(), deviation, share)
            if kind not in distinct:
                one = Scene(profiles=(profile,), images=1, deviation=deviation, common=share)
                sample = np.sort(one._accuracies(np.random.default_rng(0), seeds=2_000_000 // len(profile))[0])
                values = {name: key(sample) for name, key in KEYS.items()}
                distinct[kind] = {name: (float(each.mean()), float(each.var())) for name, each in values.items()}
            found.append(distinct[kind])
        return {name: [one[name] for one in found] for name in KEYS}

    def verdicts(self, rng: np.random.Generator) -> Verdicts:
        """One test set and one training of everything."""
        methods, labels = len(self.profiles), self.labels
        edges = special.ndtri(np.clip(self._accuracies(rng, seeds=self.seeds), 1e-9, 1 - 1e-9)).astype(np.float32)
        shared = np.sqrt(np.float32(0.5)) * rng.standard_normal(labels.size, dtype=np.float32)
        correct = {}
        for number in range(methods):
            own = shared + np.sqrt(np.float32(0.1)) * rng.standard_normal(labels.size, dtype=np.float32)
            run = np.sqrt(np.float32(0.4)) * rng.standard_normal((self.seeds, labels.size), dtype=np.float32)
            correct[f"method {number}"] = own + run < edges[number][:, labels]
        return Verdicts(labels=labels, classes=self.classes, correct=correct)
