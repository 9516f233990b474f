"""Flags: signs that a number deserves distrust, as data of the run and as sentences for people.

They are computed per model, on all images, by plain forward passes; pyautoattack's own checks are never called, since
they look at one batch, remember earlier models and remove the caller's tracer.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from fairbench.attacks import frozen
from fairbench.attacks.judging import Judged, exact_arithmetic, private_randomness, unit_images
from fairbench.evaluation.output_layer import squashed_by
from fairbench.protocol.thresholds import (
    NOTABLE_BATCH_DISTANCE,
    NOTABLE_PGD_AA_GAP_PP,
    NOTABLE_SQUARE_GAIN_PP,
    NOTABLE_ZERO_GRADIENT_SHARE,
)

PARTED = 8
"""Images, or a few more, in whose company each is asked a third time; batch norm in train mode takes none alone."""

NEARLY_EQUAL = 0.01
"""Median distance of an image's largest logit from its smallest below which the cross-entropy hardly tells classes
apart; networks that learned anything with it reach 1 and more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Behaviour:
    """How a model answers on clean images.

    Attributes:
        randomised: asked twice, it gives different logits.
        batch_dependent: asked for an image in other company, it gives different logits.
        probability_outputs: every output lies in [0, 1], whatever a row sums to: a softmax, or a sigmoid per class.
        grad_at_inference: it records gradients while it predicts, as defences that optimise at inference do.
        train_mode_modules: modules that are in train mode in spite of `eval()`.
        squashed_by: what it applies to its logits so that they lie in some other interval, in words; "" for nothing.
        nearly_equal: the logits of an image hardly differ.
    """

    randomised: bool
    batch_dependent: bool
    probability_outputs: bool
    grad_at_inference: bool
    train_mode_modules: list[str]
    squashed_by: str
    nearly_equal: bool

    def flags(self) -> dict[str, Any]:
        """Plain values by name; the last two only where they say something."""
        found = asdict(self)
        return {name: value for name, value in found.items() if value or name not in ("squashed_by", "nearly_equal")}


def behaviour(model: nn.Module, images: Tensor, *, classes: int, batch_size: int, seed: int) -> Behaviour:
    """Ask the model three times for every image; the model and the random state are left as they were.

    Args:
        model: images to logits.
        images: (n, channels, height, width), float32 in [0, 1] or uint8.
        classes: number of classes.
        batch_size: images at a time.
        seed: of the random state that a randomised model draws from.
    """
    judged = Judged(model, classes=classes)
    randomised, dependent, recorded, probabilities = False, False, False, True
    spreads = []

    def record(tensor: Tensor) -> Tensor:
        nonlocal recorded
        recorded = True  # under no_grad only a model that switches gradients on itself comes here
        return tensor

    with exact_arithmetic(images.device), frozen(judged), private_randomness(seed), torch.no_grad():
        for batch in map(unit_images, torch.split(images, batch_size)):
            with saved_tensors_hooks(record, lambda tensor: tensor):
                first, second = judged(batch), judged(batch)
                parted = torch.cat([judged(part) for part in batch.tensor_split(max(1, len(batch) // PARTED))])
            # As the reference: beyond what round-off of kernels can explain.
            randomised = randomised or bool((_distance(first, second) > 1e-4).any())
            dependent = dependent or bool(_distance(first, parted).median() > NOTABLE_BATCH_DISTANCE)
            probabilities = probabilities and bool((first > -1e-5).all() & (first < 1 + 1e-5).all())
            spreads.append(first.amax(dim=1) - first.amin(dim=1))
        squashed = squashed_by(model, unit_images(images[: min(PARTED, batch_size)]))
        training = [name or type(model).__name__ for name, module in model.named_modules() if module.training]
    return Behaviour(
        randomised=randomised,
        batch_dependent=dependent and not randomised,
        probability_outputs=probabilities,
        grad_at_inference=recorded,
        train_mode_modules=training,
        squashed_by="" if probabilities else squashed,
        nearly_equal=0 < float(torch.cat(spreads).nanmedian()) < NEARLY_EQUAL and not probabilities,
    )


def _distance(first: Tensor, second: Tensor) -> Tensor:
    """Between logits of length one, (n,)."""
    one, another = nn.functional.normalize(first), nn.functional.normalize(second)
    distance: Tensor = torch.linalg.vector_norm(one - another, dim=1)
    return distance


def warnings(flags: Mapping[str, Any]) -> list[str]:
    """The flags that a reader of the numbers must know, as sentences.

    Args:
        flags: as `fairbench.evaluation.judgement` collects them; those of attacks that did not run may be missing.
    """
    share, gain, gap = (flags.get(name, 0.0) for name in ("zero_gradient_share", "square_gain_pp", "pgd_aa_gap_pp"))
    classes = ", ".join(map(str, flags.get("order_violations", [])))
    sentences = {
        "The model gives different answers to the same image; AutoAttack standard does not fit randomised models.": (
            flags["randomised"]
        ),
        "The model's answer to an image depends on the other images of its batch; so do the verdicts.": (
            flags["batch_dependent"]
        ),
        "The model computes gradients while it predicts; AutoAttack standard does not fit defences that optimise at "
        "inference.": flags["grad_at_inference"],
        "The model returns probabilities, or other outputs that all lie in [0, 1]; attacks on them can fail where "
        "attacks on logits do not.": flags["probability_outputs"],
        f"The model applies {flags.get('squashed_by')} to its logits, which flattens their gradients; attacks on them "
        "can fail where attacks on logits do not.": flags.get("squashed_by"),
        "The logits of an image hardly differ from each other; attacks on the cross-entropy can fail where the same "
        "logits, multiplied by a number, break.": flags.get("nearly_equal"),
        f"In spite of eval() these modules are in train mode: {', '.join(flags['train_mode_modules'])}.": (
            flags["train_mode_modules"]
        ),
        f"Images with infinite or NaN logits, which count as broken: {flags['nonfinite']}.": flags["nonfinite"],
        f"The first gradient of PGD-20 is exactly zero for {share:.1%} of the correctly classified images; robustness "
        "may be an illusion of masked gradients.": share >= NOTABLE_ZERO_GRADIENT_SHARE,
        f"Square, which needs no gradient, broke {gain:.2f} % of the images after all other attacks; gradients may be "
        "masked.": gain > NOTABLE_SQUARE_GAIN_PP,
        f"AutoAttack is {gap:.1f} points below PGD-20; gradients may be masked.": gap > NOTABLE_PGD_AA_GAP_PP,
        f"A stronger judgement left more images of a class correct than a weaker one (class {classes}); read the "
        "weaker one there.": classes,
        f"Claimed breaks that failed the verification and were not counted: {flags.get('unverified_breaks', 0)}.": (
            flags.get("unverified_breaks", 0)
        ),
    }
    return [sentence for sentence, raised in sentences.items() if raised]
