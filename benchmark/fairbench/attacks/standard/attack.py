"""The four attacks by name, with the settings of `standard`."""

import torch
from torch import Tensor

from fairbench.attacks.settings import STANDARD, AutoAttackSettings
from fairbench.attacks.standard.apgd import apgd
from fairbench.attacks.standard.fab import fab
from fairbench.attacks.standard.found import Found, Predict
from fairbench.attacks.standard.noise import NoiseSource
from fairbench.attacks.standard.square import square
from fairbench.attacks.standard.steady import steady
from fairbench.store import ATTACKS
from fairbench.suite import Threat

VERSION = 1
"""Of the engine: whatever may change a verdict raises it, and no log of verdicts is continued by another version."""


def standard_attack(
    attack: str,
    model: Predict,
    images: Tensor,
    labels: Tensor,
    *,
    indices: Tensor,
    threat: Threat,
    noise: NoiseSource,
    settings: AutoAttackSettings = STANDARD,
) -> Found:
    """Attack images that are classified correctly.

    Args:
        attack: one of `fairbench.store.ATTACKS`.
        model: frozen and in eval mode.
        images: (n, channels, height, width), float32 in [0, 1].
        labels: (n,) int64.
        indices: of the images in the test set, (n,) int64; they key the noise.
        threat: norm and radius.
        noise: of the starts and of Square's queries.
        settings: effort.
    """
    assert attack in ATTACKS, attack
    if attack == "apgd-ce":
        return apgd(
            model,
            images,
            labels,
            indices=indices,
            threat=threat,
            noise=noise,
            loss="ce",
            iterations=settings.apgd_iterations,
        )
    if attack == "square":
        return square(
            model, images, labels, indices=indices, threat=threat, noise=noise, queries=settings.square_queries
        )
    targets = likeliest_wrong(model, images, labels, count=settings.targets)
    if attack == "apgd-t":
        return apgd(
            model,
            images,
            labels,
            indices=indices,
            threat=threat,
            noise=noise,
            loss="targeted",
            targets=targets,
            iterations=settings.apgd_iterations,
        )
    return fab(model, images, labels, targets=targets, threat=threat, iterations=settings.fab_iterations)


def likeliest_wrong(model: Predict, images: Tensor, labels: Tensor, *, count: int) -> Tensor:
    """The wrong classes with the largest logits, the likeliest first, (n, at most `count`) int64."""
    with torch.no_grad():
        logits = steady(model)(images).scatter(1, labels[:, None], -torch.inf)
    return logits.topk(min(count, logits.shape[1] - 1)).indices
