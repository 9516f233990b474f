"""FAWA, the weight averaging of CFA: an epoch enters the average only if its worst class is robust enough.

    average <- d average + (1 - d) weights    if min_c (PGD accuracy of class c on the validation split) >= delta

Wei et al., CVPR 2023. The average itself is the trainer's, the same that every method may have. Most of the gain on the
average class comes from averaging as such, so compare with a method that is averaged too.
"""

from dataclasses import replace

from torch import Tensor

from fairbench import ClassMeans, Recipe, Setup, Validation, measured_logits, pgd
from fairbench_methods.rate_scaling import scaled_decay

AVERAGINGS = ("fawa", "suite")
"""`fawa`: through the gate, whatever the suite says; `suite`: as the suite does it for every method, if at all."""

REFERENCE_EPOCHS = 200
"""Length of the authors' training, for `rate_scaling` of the decay."""


def fawa_recipe(recipe: Recipe, *, start: float, decay: float, rate_scaling: str) -> Recipe:
    """The suite's recipe with averaging.

    Args:
        recipe: the suite's.
        start: fraction of the training at which averaging begins.
        decay: d as published.
        rate_scaling: whether d follows the number of epochs.
    """
    decay = scaled_decay(decay, scaling=rate_scaling, reference_epochs=REFERENCE_EPOCHS, epochs=recipe.epochs)
    return replace(recipe, averaging="ema", averaging_start=start, averaging_decay=decay)


class Gate:
    """Judges the weights of every epoch, and tells the history of it.

    Args:
        delta: worst-class accuracy from which weights are admitted.
        setup: the method's.
    """

    def __init__(self, delta: float, *, setup: Setup) -> None:
        self._delta = delta
        self._setup = setup
        self._seen: dict[str, float] = {}

    def admits(self, validation: Validation) -> bool:
        """Attack the validation split, and compare the worst class with delta."""
        worst = float(worst_class_accuracy(self._setup, validation))
        self._seen = {"gate_worst": worst, "gate_admitted": float(worst >= self._delta)}
        return worst >= self._delta

    def end_epoch(self) -> dict[str, float]:
        """The epoch's worst class and the decision, once; empty if the gate was not asked."""
        seen, self._seen = self._seen, {}
        return seen


def worst_class_accuracy(setup: Setup, validation: Validation) -> Tensor:
    """Lowest accuracy of a class under the training's PGD on the cross-entropy, a float64 scalar.

    A class without validation images has no say. Noise comes from the method's own generator, so that the gate changes
    nothing in the training itself.
    """
    correct = ClassMeans(setup.classes, device=setup.device)
    for batch in validation.batches():
        attacked = pgd(setup.model, batch.images, batch.labels, threat=setup.threat, generator=setup.generator)
        logits = measured_logits(setup.model, attacked.images, threat=setup.threat)
        correct.add(batch.labels, (logits.argmax(dim=1) == batch.labels).double())
    return correct.mean().nan_to_num(1.0).min()
