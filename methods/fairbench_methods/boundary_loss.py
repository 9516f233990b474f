"""The two halves of TRADES, shared by every method built on it (BAT, FRL, FairAT on TRADES).

Zhang et al., ICML 2019, equation 5, with the inner maximisation and the loss of the released code:

    x' = argmax KL( p(x) || p(x') ),   loss = CE(z(x), y) + beta KL( p(x) || p(x') )

In the attack p(x) is a constant, computed once. In the loss the gradient flows through **both** sides; stopping it at
p(x) changes the gradient by more than half and costs several points of robustness.
"""

import torch
from torch import Tensor, nn

from fairbench.attacks import Attacked, pgd
from fairbench.losses import cross_entropy, kl_divergence
from fairbench.suite import Threat
from fairbench_methods.measuring import measured_logits


def boundary_attack(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    threat: Threat,
    generator: torch.Generator,
    radius: Tensor | None = None,
    step: Tensor | None = None,
) -> Attacked:
    """The images whose prediction is furthest, in KL, from the clean one; the start is Gaussian.

    At the clean image itself the gradient of this KL is exactly zero, so the Gaussian start is no option.

    Args:
        model: in any mode; attacked in eval mode.
        images: (batch, channels, height, width) in [0, 1].
        labels: (batch,); the attack's loss does not use them.
        threat: norm, radius, step and number of steps.
        generator: of the noise.
        radius: one per image, (batch,), in place of the threat's.
        step: one per image, (batch,), in place of the threat's.
    """
    return pgd(
        model,
        images,
        labels,
        threat=threat,
        generator=generator,
        loss=kl_divergence,
        target=measured_logits(model, images, threat=threat),
        start="gaussian",
        radius=radius,
        step=step,
    )


def boundary_terms(model: nn.Module, images: Tensor, attacked: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """CE(z(x), y) and KL(p(x) || p(x')) per image, each (batch,), from two separate forwards (two batch norms)."""
    clean = model(images)
    return cross_entropy(clean, labels), kl_divergence(model(attacked), clean)
