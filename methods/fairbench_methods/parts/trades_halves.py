"""The two halves of TRADES, shared by every method built on it (FRL, WAT, CFA, DAFA and the wrappers of `base_loss`).

Zhang et al., ICML 2019, equation 5, with the inner maximisation of the released code:

    x' = argmax KL( p(x) || p(x') ),    p(x) a constant of the attack, computed once
    loss = CE(z(x), y) + beta KL( p(x) || p(x') ),    p(x) no constant
"""

import torch
from torch import Tensor, nn

from fairbench import Attacked, Threat, cross_entropy, kl_divergence, measured_logits, pgd


def boundary_attack(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    threat: Threat,
    generator: torch.Generator,
    target: Tensor | None = None,
    radius: Tensor | None = None,
    step: Tensor | None = None,
    tau: int | None = None,
) -> Attacked:
    """The images whose prediction is furthest, in KL, from the clean one; the start is Gaussian.

    At the clean image itself the gradient of this KL is exactly zero, so the Gaussian start is no option.

    Args:
        model: in any mode; attacked in eval mode.
        images: (batch, channels, height, width) in [0, 1].
        labels: (batch,); the attack's loss does not use them, `tau` and the counts of the result do.
        threat: norm, radius, step and number of steps.
        generator: of the noise.
        target: the clean logits, (batch, classes), where they were measured already.
        radius: one per image, (batch,), in place of the threat's.
        step: one per image, (batch,), in place of the threat's.
        tau: stop an image once it was misclassified at more than `tau` iterates (FAT).
    """
    return pgd(
        model,
        images,
        labels,
        threat=threat,
        generator=generator,
        loss=kl_divergence,
        target=measured_logits(model, images, threat=threat) if target is None else target,
        start="gaussian",
        radius=radius,
        step=step,
        tau=tau,
    )


def trades_losses(clean: Tensor, adversarial: Tensor, labels: Tensor, *, beta: float | Tensor) -> Tensor:
    """TRADES' loss per image, (batch,), with gradient through both predictions.

    Args:
        clean: logits of the clean images, (batch, classes).
        adversarial: logits of the attacked images, same shape.
        labels: (batch,).
        beta: weight of the divergence, of all images or of each, (batch,).
    """
    return cross_entropy(clean, labels) + beta * kl_divergence(adversarial, clean)
