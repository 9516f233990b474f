"""FAWA, the weight averaging of CFA: an epoch enters the average only if its worst class is robust enough.

    average <- d average + (1 - d) weights    if min_c (PGD accuracy of class c on the validation split) >= delta

Wei et al., CVPR 2023. The average itself is the trainer's, the same that every method may have. Most of the gain on the
average class comes from averaging as such, so compare with a method that is averaged too. The hyper-parameters here are
those of both variants of CFA.
"""

from dataclasses import replace

from torch import Tensor

from fairbench import ClassMeans, Recipe, Setup, Validation, hyperparameter, measured_logits, pgd
from fairbench_methods.parts.rate_scaling import SCALINGS, scaled_decay

_WITH_FAWA = ("averaging", "fawa")

AVERAGING = hyperparameter("fawa", "average through the gate, or as the suite does it", choices=("fawa", "suite"))
"""`fawa`: through the gate, whatever the suite says; `suite`: as the suite does it for every method, if at all."""

GATE = hyperparameter(
    0.20,
    "delta, worst-class accuracy from which an epoch enters the average; 0 admits all (paper: 0.20; code: 0.24; ours "
    "for other data: 0.8 times the base method's worst class)",
    at_least=0,
    at_most=1,
    only_with=_WITH_FAWA,
)
DECAY = hyperparameter(
    0.85,
    "d, what the average keeps per epoch (paper: 0.85; code: 0.88)",
    at_least=0,
    at_most=0.999,
    only_with=_WITH_FAWA,
)
AVERAGING_START = hyperparameter(
    0.25,
    "fraction of the training at which averaging begins (paper: 0.25)",
    at_least=0,
    at_most=0.99,
    only_with=_WITH_FAWA,
)
RATE_SCALING = hyperparameter(
    "none", "whether d follows the number of epochs (ours)", choices=SCALINGS, only_with=_WITH_FAWA
)

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
