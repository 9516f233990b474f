"""The four attacks of AutoAttack `standard`, run by pyautoattack's own classes, for any class count and image size.

    attack = reference_attack("apgd-t", predict, classes=10, threat=threat, seed=0, device=device)
    adversarial = attack(images, labels)     # rows equal to the image where nothing was found

Croce and Hein, ICML 2020. The classes seed torch's global generators and expect frozen weights and `no_grad`; the
caller sees to it (`fairbench.attacks.autoattack`). Two cases the library cannot handle are closed here: its targeted
loss needs four classes, and its L2 Square attack cannot start on images of some sizes.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from pyautoattack.fab_pt import FABAttack_PT
from pyautoattack.square import SquareAttack
from torch import Tensor

from fairbench.protocol.attack_names import ATTACKS
from fairbench.protocol.autoattack_settings import STANDARD, AutoAttackSettings
from fairbench.protocol.threat import Threat

Predict = Callable[[Tensor], Tensor]
"""Images (batch, channels, height, width) -> logits (batch, classes)."""

# A logger outside the global tree: the library would report zero gradients to it, which we count ourselves.
_SILENT = logging.Logger("pyautoattack", level=logging.CRITICAL + 1)  # noqa: LOG001  registering it is what we avoid


def reference_attack(
    attack: str,
    predict: Predict,
    *,
    classes: int,
    threat: Threat,
    seed: int,
    device: torch.device,
    settings: AutoAttackSettings = STANDARD,
) -> Callable[[Tensor, Tensor], Tensor]:
    """An attack as a function of images and labels; every other setting is that of `standard`.

    Args:
        attack: one of `fairbench.protocol.attack_names.ATTACKS`.
        predict: the model.
        classes: number of classes, at least 2.
        threat: norm and radius.
        seed: of torch's global generators, set when the attack is called.
        device: of the images.
        settings: effort.
    """
    assert attack in ATTACKS, attack
    common: Mapping[str, Any] = {
        "norm": threat.norm,
        "eps": threat.epsilon,
        "n_restarts": 1,
        "seed": seed,
        "device": device,
    }
    targets = min(settings.targets, classes - 1)
    run: Callable[[Tensor, Tensor], Tensor]
    if attack == "apgd-ce":
        run = APGDAttack(predict, n_iter=settings.apgd_iterations, loss="ce", logger=_SILENT, **common).perturb
    elif attack == "apgd-t":
        targeted = APGDAttack_targeted if classes >= 4 else _MarginAPGD
        run = targeted(
            predict, n_iter=settings.apgd_iterations, n_target_classes=targets, logger=_SILENT, **common
        ).perturb
    elif attack == "fab-t":
        run = FABAttack_PT(
            predict, n_iter=settings.fab_iterations, n_target_classes=targets, targeted=True, **common
        ).perturb
    else:
        run = _square(predict, queries=settings.square_queries, common=common)
    return run


class _MarginAPGD(APGDAttack_targeted):  # type: ignore[misc]  # the library is untyped
    """Targeted APGD for two and three classes: z_t - z_y, without the scale that needs the fourth largest logit."""

    def dlr_loss_targeted(self, x: Tensor, y: Tensor) -> Tensor:
        target: Tensor = self.y_target
        return (x.gather(1, target[:, None]) - x.gather(1, y[:, None])).squeeze(1)


def _square(predict: Predict, *, queries: int, common: Mapping[str, Any]) -> Callable[[Tensor, Tensor], Tensor]:
    """Square; for L2 on an image that its start cannot tile, on a larger canvas of which the model sees the image."""

    def run(images: Tensor, labels: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        padded = images
        if common["norm"] == "L2" and not _tiles(height, width):
            side = _canvas(max(height, width))
            padded = F.pad(images, (0, side - width, 0, side - height))
        attack = SquareAttack(
            lambda points: predict(points[..., :height, :width]),
            n_queries=queries,
            p_init=0.8,
            resc_schedule=False,
            **common,
        )
        found: Tensor = attack.perturb(padded, labels)
        return found[..., :height, :width]

    return run


def _canvas(side: int) -> int:
    """The smallest side from this one on of a square that the L2 start tiles."""
    while not _tiles(side, side):
        side += 1
    return side


def _tiles(height: int, width: int) -> bool:
    """Whether every tile of Square's L2 start (a fifth of the height) lies in the image, or outside if it is a pixel.

    `SquareAttack.attack_single_run` adds tile by tile; a tile that is cut off does not fit its slice and raises.
    """
    tile = height // 5
    if tile <= 1:
        return tile == 1
    offset = (height - 5 * tile) // 2
    return all(offset + tile * (side // tile) <= side for side in (height, width))
