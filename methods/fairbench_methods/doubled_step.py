"""The attack that DAFA's released code uses on adversarial training, kept for an ablation.

Every iteration steps twice along one gradient: with the class's own step into its own ball, as the paper has it, and
once more with the plain step into the plain ball. No radius then exceeds epsilon, and the step is about doubled.
"""

import torch
from torch import Tensor, nn

from fairbench import Ball, Threat, cross_entropy, frozen


def doubled_step_attack(
    model: nn.Module, images: Tensor, labels: Tensor, *, threat: Threat, generator: torch.Generator, weights: Tensor
) -> Tensor:
    """Attacked images, of the images' shape, from a Gaussian start; L-inf steps whatever the norm, as released.

    Args:
        model: in any mode; attacked in eval mode.
        images: (batch, channels, height, width) in [0, 1].
        labels: (batch,).
        threat: norm, radius, step and number of steps.
        generator: of the start's noise.
        weights: factors of radius and step in the first of the two, (batch,).
    """
    own, plain = Ball(threat.norm, images, threat.epsilon * weights), Ball(threat.norm, images, threat.epsilon)
    own_step = (threat.step * weights).to(images.dtype).view(-1, 1, 1, 1)
    points = images + 0.001 * torch.empty_like(images).normal_(generator=generator)
    precision = torch.autocast(images.device.type, torch.bfloat16, enabled=threat.attack_precision == "bf16")
    with frozen(model), torch.enable_grad(), precision:
        for _ in range(threat.steps):
            points = points.detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(cross_entropy(model(points), labels).sum(), points)
            ascent = gradient.sign()
            points = own.project(points.detach() + own_step * ascent)
            points = plain.project(points + threat.step * ascent)
    return points
