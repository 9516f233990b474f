"""The four attacks by name, with the settings of `standard`."""

from functools import partial

import torch
from torch import Tensor

from fairbench.attacks.standard.apgd import apgd
from fairbench.attacks.standard.fab import fab
from fairbench.attacks.standard.found import Found, Predict
from fairbench.attacks.standard.noise import NoiseSource
from fairbench.attacks.standard.square import square
from fairbench.attacks.standard.steady import steady
from fairbench.protocol.attack_names import ATTACKS
from fairbench.protocol.autoattack_settings import STANDARD, AutoAttackSettings
from fairbench.protocol.threat import Threat

VERSION = 4
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
    rows: int = 0,
    exact: Predict | None = None,
) -> Found:
    """Attack images that are classified correctly.

    Args:
        attack: one of `fairbench.protocol.attack_names.ATTACKS`.
        model: frozen and in eval mode.
        images: (n, channels, height, width), float32 in [0, 1].
        labels: (n,) int64.
        indices: of the images in the test set, (n,) int64; they key the noise.
        threat: norm and radius.
        noise: of the starts and of Square's queries.
        settings: effort.
        rows: up to which targets, or queries, are attacked together; it changes the speed, not what is found.
        exact: the model, if `model` is a cheaper one like it: it ranks the targets and confirms every break.
    """
    assert attack in ATTACKS, attack
    if attack == "square":
        return square(
            model,
            images,
            labels,
            indices=indices,
            threat=threat,
            noise=noise,
            queries=settings.square_queries,
            rows=rows,
            exact=exact,
        )
    ascend = partial(
        apgd,
        model,
        images,
        labels,
        indices=indices,
        threat=threat,
        noise=noise,
        iterations=settings.apgd_iterations,
        rows=rows,
        exact=exact,
    )
    if attack == "apgd-ce":
        return ascend(loss="ce")
    targets = likeliest_wrong(exact or model, images, labels, count=settings.targets)
    if attack == "apgd-t":
        return ascend(loss="targeted", targets=targets)
    return fab(
        model,
        images,
        labels,
        targets=targets,
        threat=threat,
        iterations=settings.fab_iterations,
        rows=rows,
        exact=exact,
    )


def likeliest_wrong(model: Predict, images: Tensor, labels: Tensor, *, count: int) -> Tensor:
    """The wrong classes with the largest logits, the likeliest first, (n, at most `count`) int64."""
    with torch.no_grad():
        logits = steady(model)(images).scatter(1, labels[:, None], -torch.inf)
    return logits.topk(min(count, logits.shape[1] - 1)).indices
