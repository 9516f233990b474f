"""The base methods as parts: where each attacks, and what every image costs there.

A wrapper comes between the two halves or after them: AWP moves the weights, FAT stops the attack, FairAT changes the
images, FAAL weighs the classes. Without its doing, each is its base, bit for bit.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fairbench import Attacked, Threat, cross_entropy, pgd
from fairbench_methods.parts.mart_terms import boosted_cross_entropy, consistency
from fairbench_methods.parts.trades_halves import boundary_attack, trades_losses

BASES = ("pgd-at", "trades", "mart")


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseLoss:
    """PGD-AT, TRADES or MART.

    Attributes:
        name: one of `BASES`.
        weight: beta of TRADES, lambda of MART; PGD-AT has none.
    """

    name: str
    weight: float = 6.0

    def __post_init__(self) -> None:
        assert self.name in BASES

    def attack(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        threat: Threat,
        generator: torch.Generator,
        tau: int | None = None,
        jitter: float = 0.0,
    ) -> Attacked:
        """The base's attack; PGD-AT starts uniformly, MART next to the image, both on the cross-entropy.

        Args:
            model: in any mode; attacked in eval mode.
            images: (batch, channels, height, width) in [0, 1].
            labels: (batch,).
            threat: norm, radius, step and number of steps.
            generator: of the noise.
            tau: stop an image once it was misclassified at more than `tau` iterates (FAT).
            jitter: standard deviation of the noise added at every step (FAT on PGD-AT).
        """
        if self.name == "trades":
            return boundary_attack(model, images, labels, threat=threat, generator=generator, tau=tau)
        return pgd(
            model,
            images,
            labels,
            threat=threat,
            generator=generator,
            start="gaussian" if self.name == "mart" else "uniform",
            tau=tau,
            jitter=jitter,
        )

    def losses(
        self, model: Callable[[Tensor], Tensor], images: Tensor, attacked: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The loss of every image, (batch,), and the logits of the attacked images.

        Clean images are forwarded first, where the loss needs them, and separately: two batches for batch norm.

        Args:
            model: in train mode, or what stands in for it: images to logits (batch, classes).
            images: the clean ones, (batch, channels, height, width) in [0, 1].
            attacked: what `attack` found, same shape.
            labels: (batch,).
        """
        if self.name == "pgd-at":
            adversarial = model(attacked)
            return cross_entropy(adversarial, labels), adversarial
        clean = model(images)
        adversarial = model(attacked)
        if self.name == "trades":
            return trades_losses(clean, adversarial, labels, beta=self.weight), adversarial
        boosted = boosted_cross_entropy(adversarial, labels)
        return boosted + self.weight * consistency(clean, adversarial, labels), adversarial
