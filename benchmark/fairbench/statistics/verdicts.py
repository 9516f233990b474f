"""What every test image says about every method: the one input of everything that is paired or resampled.

    verdicts = Verdicts(labels=labels, classes=10, correct={"trades": trades, "pgd-at": pgd_at})
    verdicts.accuracies("trades")       # per seed, the class accuracies of `fairbench.outcomes.metrics`

All methods were judged on the same images in the same order; they may differ in their number of seeds.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fairbench.outcomes.metrics import ClassAccuracies

Bits = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.integer]


@dataclass(frozen=True, kw_only=True, eq=False)
class Verdicts:
    """Which images each run classifies correctly, clean and under the attack.

    Attributes:
        labels: true class per image, (images,) in [0, classes).
        classes: number of classes, absent ones included.
        correct: by name of the method, (seeds, images).

    Raises:
        ValueError: if there is nothing to judge or the shapes do not fit.
    """

    labels: Labels
    classes: int
    correct: Mapping[str, Bits]

    def __post_init__(self) -> None:
        if not self.correct or not len(self.labels):
            raise ValueError("Verdicts need at least one method and one image.")
        if self.labels.min() < 0 or self.labels.max() >= self.classes:
            raise ValueError(f"Labels run from {self.labels.min()} to {self.labels.max()}, of {self.classes} classes.")
        for name, correct in self.correct.items():
            if correct.dtype != np.bool_ or correct.ndim != 2 or not len(correct):
                raise ValueError(f"{name}: verdicts are (seeds, images) bool, got {correct.shape} {correct.dtype}.")
            if correct.shape[1] != len(self.labels):
                raise ValueError(f"{name} was judged on {correct.shape[1]} images, the others on {len(self.labels)}.")

    @property
    def names(self) -> tuple[str, ...]:
        """The methods, in the order given."""
        return tuple(self.correct)

    def accuracies(self, name: str) -> list[ClassAccuracies]:
        """Class accuracies of one method, seed by seed."""
        counts = np.bincount(self.labels, minlength=self.classes).astype(np.int64)
        return [
            ClassAccuracies(
                counts=counts, correct=np.bincount(self.labels[row], minlength=self.classes).astype(np.int64)
            )
            for row in self.correct[name]
        ]
