"""Robust accuracy against the radius: how many radii of a curve every image withstands.

    withstood = radii_withstood(model, images, labels, clean=clean, robust=robust, tier="full", ...)
    (withstood.radii >= 2).float().mean()           # robust accuracy at the second radius

From the smallest radius up, by the attacks of the tier, with the noise and the settings of an evaluation at that radius
alone. An image that is broken at one radius is broken at every larger one, because the larger ball holds the same
point; so it is not attacked again, and no curve rises. At the radius of the protocol the verdicts of the evaluation
itself count, which attacks every image, whatever a smaller ball has shown.
"""

import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from fairbench.attacks.autoattack import AutoAttack
from fairbench.evaluation.screening import screen
from fairbench.progress import Progress
from fairbench.protocol.attack_names import ATTACKS, WHITE_BOX
from fairbench.protocol.autoattack_settings import AutoAttackSettings
from fairbench.protocol.evaluation import Evaluation, Tier
from fairbench.protocol.threat import Threat


@dataclass(frozen=True, kw_only=True, slots=True)
class Withstood:
    """A curve.

    Attributes:
        radii: how many each image withstands, (n,) int64; 0 where it is misclassified without an attack.
        seconds: wall time of all radii but the protocol's own; of AutoAttack over all sessions.
    """

    radii: Tensor
    seconds: float


def radii_withstood(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    clean: Tensor,
    robust: Tensor,
    classes: int,
    threat: Threat,
    evaluation: Evaluation,
    tier: Tier,
    folder: Path,
    indices: Tensor | None,
    settings: AutoAttackSettings,
    progress: Progress,
) -> Withstood:
    """Attack at every radius of the evaluation's curve.

    Args:
        model: images in [0, 1] to logits.
        images: (n, channels, height, width), float32 in [0, 1] or uint8.
        labels: (n,) int64.
        clean: predictions on the clean images, (n,).
        robust: what the evaluation leaves robust at the protocol's own radius, (n,) bool.
        classes: number of classes.
        threat: norm, and that radius.
        evaluation: radii, engine, seed and batch size.
        tier: the one that the evaluation reached, which says by what is attacked.
        folder: where AutoAttack keeps its verdicts; each radius has a folder in it.
        indices: positions in the test set; 0 to n - 1 by default.
        settings: effort of AutoAttack.
        progress: told the attack with its radius, images done, and their total.
    """
    alive, withstood, seconds = clean == labels, torch.zeros_like(labels), 0.0
    positions = torch.arange(len(labels), device=labels.device) if indices is None else indices.to(labels.device)

    def screened(at: Threat, told: Progress) -> Tensor:
        rows, robust = alive.nonzero().flatten(), alive.clone()
        if len(rows) > 0:
            step = evaluation.pgd_step / threat.epsilon if threat.epsilon else 0.25  # as a share of the radius
            found = screen(
                model,
                images[rows],
                labels[rows],
                classes=classes,
                threat=at,
                evaluation=replace(evaluation, pgd_step=step * at.epsilon),
                indices=positions[rows],
                progress=told,
            )
            robust[rows] = found.pgd20 == labels[rows]
        return robust

    def attacked(at: Threat, told: Progress) -> tuple[Tensor, float]:
        attacking = AutoAttack(
            model,
            images,
            labels,
            clean=clean,
            classes=classes,
            threat=at,
            evaluation=evaluation,
            folder=folder / f"radius-{at.epsilon:.9g}",
            indices=indices,
            settings=settings,
            progress=told,
        )
        found = attacking.attack(*(ATTACKS if tier == "full" else WHITE_BOX), among=alive)
        return alive & attacking.robust, sum(found.seconds.values())

    for radius in evaluation.curve:
        at = replace(threat, epsilon=radius, step=radius)
        told = partial(_told, progress, f"within {255 * radius:.4g}/255")
        if radius == threat.epsilon:
            alive = alive & robust
        elif tier == "screen":
            began = time.perf_counter()
            alive = screened(at, told)
            seconds += time.perf_counter() - began
        else:
            alive, taken = attacked(at, told)
            seconds += taken
        withstood += alive
    return Withstood(radii=withstood, seconds=seconds)


def _told(progress: Progress, where: str, attack: str, done: int, total: int) -> None:
    progress(f"{attack} {where}", done, total)
