"""Screening: clean and PGD-20 verdicts on a tensor of images; it selects checkpoints and opens every evaluation.

    statistics = class_statistics(model, images, labels, classes=10, threat=threat, evaluation=evaluation)
    statistics.robust.nan_to_num(1).min()            # of the worst class

PGD-20 as pinned by the protocol: cross-entropy, one uniform start, `pgd_steps` steps of `pgd_step`, fp32, eval mode.
The start belongs to the image, so two epochs of a training are attacked from the same points.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from fairbench.attacks import Ball, frozen, pgd
from fairbench.attacks.image_noise import uniform_start
from fairbench.attacks.judging import Judged, exact_arithmetic, predictions, private_randomness, unit_images
from fairbench.errors import UserError
from fairbench.method.class_means import ClassMeans
from fairbench.method.contract import ClassStatistics
from fairbench.progress import Progress, silent
from fairbench.protocol.evaluation import Evaluation
from fairbench.protocol.threat import Threat
from fairbench.seeding import derived_seed

NEAR = 0.25
"""How far outside of [0, 1] interpolation takes a pixel, at most: bicubic overshoots at an edge by an eighth."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Screened:
    """What screening found, in input order.

    Attributes:
        clean: predictions on the clean images, (n,) int64.
        pgd20: predictions at the final iterate x_K.
        survived: iterates x_0 .. x_{K-1} that were classified correctly.
        robust: whether the clean image and every iterate, x_K included, were classified correctly.
        zero_gradient: whether the first gradient of the attack was exactly zero.
        nonfinite: whether a logit was infinite or NaN anywhere.
    """

    clean: Tensor
    pgd20: Tensor
    survived: Tensor
    robust: Tensor
    zero_gradient: Tensor
    nonfinite: Tensor


def screen(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    classes: int,
    threat: Threat,
    evaluation: Evaluation,
    indices: Tensor | None = None,
    batch_size: int | None = None,
    progress: Progress = silent,
    stage: str = "pgd20",
) -> Screened:
    """Judge every image clean and under PGD-20; the model, its modes and the random state are left as they were.

    Args:
        model: images in [0, 1] to logits, on the device of the images.
        images: (n, channels, height, width), float32 in [0, 1] or uint8.
        labels: (n,), 0 to classes - 1.
        classes: number of classes.
        threat: norm and radius; step and steps are those of the evaluation.
        evaluation: steps, step size and seed of the attack.
        indices: positions in the test set, which key the noise; 0 to n - 1 by default.
        batch_size: images at a time; the evaluation's by default. Verdicts do not depend on it.
        progress: told after every step, with the images that this is worth.
        stage: the name it is told.

    Raises:
        UserError: if images, labels or logits are not what they must be.
    """
    check_images(images, labels, classes=classes)
    labels = labels.long()
    positions = range(len(images)) if indices is None else indices.tolist()
    attack = replace(threat, step=evaluation.pgd_step, steps=evaluation.pgd_steps, attack_precision="fp32")
    judged, size = Judged(model, classes=classes), batch_size or evaluation.batch_size
    parts = []
    with exact_arithmetic(images.device), frozen(judged), private_randomness(derived_seed(evaluation.seed, stage)):
        for first in range(0, len(images), size):
            rows = slice(first, first + size)
            batch = unit_images(images[rows])
            ball = Ball(threat.norm, batch, threat.epsilon)
            start = uniform_start(ball, positions[rows], seed=evaluation.seed, attack="pgd20")
            told = partial(_tell, progress, stage, first, len(images))
            parts.append(_screen_batch(judged, batch, labels[rows], threat=attack, start=start, progress=told))
    return Screened(**{name: torch.cat([getattr(part, name) for part in parts]) for name in Screened.__slots__})


def class_statistics(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    classes: int,
    threat: Threat,
    evaluation: Evaluation,
    batch_size: int | None = None,
) -> ClassStatistics:
    """Clean and PGD-20 accuracy (clean image and final iterate correct) per class; for the validation split."""
    screened = screen(
        model, images, labels, classes=classes, threat=threat, evaluation=evaluation, batch_size=batch_size
    )
    clean, robust = (ClassMeans(classes, device=labels.device) for _ in range(2))
    clean.add(labels.long(), (screened.clean == labels).double())
    robust.add(labels.long(), ((screened.clean == labels) & (screened.pgd20 == labels)).double())
    return ClassStatistics(counts=clean.counts, clean=clean.mean(), robust=robust.mean())


def check_images(images: Tensor, labels: Tensor, *, classes: int) -> None:
    """Refuse data that an attack would misread.

    Raises:
        UserError: for no images, fewer than two classes, another shape or type, or values out of range.
    """
    if classes < 2:
        raise UserError(f"classes = {classes} is not allowed; allowed: 2 or more.")
    if images.ndim != 4 or len(images) == 0 or len(labels) != len(images) or labels.ndim != 1:
        raise UserError(
            f"Images of shape {tuple(images.shape)} with labels of shape {tuple(labels.shape)} are not allowed; "
            "allowed: (n, channels, height, width) and (n,), n at least 1."
        )
    if images.dtype not in (torch.float32, torch.uint8):
        advice = " Give images.float()." if images.is_floating_point() else ""
        raise UserError(f"Images of type {images.dtype} are not allowed; allowed: float32 in [0, 1], or uint8.{advice}")
    if strange := int((~images.flatten(1).isfinite()).any(dim=1).sum()):
        raise UserError(f"Images with NaN or infinite pixels are not allowed: {strange} of {len(images)} have some.")
    low, high = float(images.min()), float(images.max())
    if images.dtype == torch.float32 and not (low >= 0 and high <= 1):
        advice = "Mean and standard deviation belong into the model, as its first layer."
        if low >= -NEAR and high <= 1 + NEAR:
            advice = "If resizing or rounding put them there, clamp them: images.clamp(0, 1). " + advice
        elif low >= 0 and high <= 255:
            advice = "Divide by 255 what lies in [0, 255]. " + advice
        raise UserError(f"Images with pixels from {low:g} to {high:g} are not allowed; allowed: [0, 1]. {advice}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise UserError(f"Labels from {low} to {high} are not allowed; allowed: 0 to {classes - 1}.")


def _tell(progress: Progress, stage: str, done: int, total: int, more: int) -> None:
    progress(stage, done + more, total)


def _screen_batch(
    judged: Judged,
    images: Tensor,
    labels: Tensor,
    *,
    threat: Threat,
    start: Tensor,
    progress: Callable[[int], None],
) -> Screened:
    with torch.no_grad():
        logits = judged(images)
    clean = predictions(logits, labels)
    nonfinite = ~logits.isfinite().all(dim=1)
    survived = torch.zeros_like(labels)

    def observe(k: int, _points: Tensor, logits: Tensor, _rows: Tensor) -> None:
        nonlocal nonfinite, survived
        nonfinite = nonfinite | ~logits.isfinite().all(dim=1)
        survived = survived + (predictions(logits, labels) == labels)
        progress(len(images) * k // threat.steps)

    found = pgd(judged, images, labels, threat=threat, start=start, observe=observe)
    with torch.no_grad():  # the attack may take a shortcut; what it ends with is judged by the model itself
        logits = judged(found.images)
    final = predictions(logits, labels)
    nonfinite = nonfinite | ~logits.isfinite().all(dim=1)
    progress(len(images))
    return Screened(
        clean=clean,
        pgd20=final,
        survived=survived,
        robust=(clean == labels) & (survived == threat.steps) & (final == labels),
        zero_gradient=found.zero_gradient,
        nonfinite=nonfinite,
    )
