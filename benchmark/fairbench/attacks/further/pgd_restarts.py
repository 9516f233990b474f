"""PGD from many starts: the plain way to try harder."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from fairbench.attacks.ball import Ball
from fairbench.attacks.further.contract import ChunkNoise
from fairbench.attacks.pgd import pgd
from fairbench.method.hyperparameter import hyperparameter
from fairbench.method.losses import cross_entropy, margin
from fairbench.protocol.threat import Threat

Loss = Literal["both", "ce", "margin"]


@dataclass(frozen=True, kw_only=True)
class PGDRestarts:
    """PGD on the cross-entropy and the margin in turns, each from a uniform start; an image leaves when it breaks."""

    restarts: int = hyperparameter(50, "starts", at_least=1, at_most=10_000)
    steps: int = hyperparameter(50, "steps from each", at_least=1, at_most=10_000)
    step: float = hyperparameter(0.1, "size of a step, as a share of the radius", at_least=0.001, at_most=2)
    loss: str = hyperparameter(
        "both", "cross-entropy, margin, or one and then the other", choices=("both", "ce", "margin")
    )

    def __call__(
        self, model: nn.Module, images: Tensor, labels: Tensor, threat: Threat, noise: ChunkNoise
    ) -> Iterator[Tensor]:
        """The end of every start, or the first misclassified iterate."""
        left = torch.arange(len(images), device=images.device)
        for restart in range(self.restarts):
            if len(left) == 0:
                return
            ball = Ball(threat.norm, images[left], threat.epsilon)
            second = self.loss == "margin" or (self.loss == "both" and restart % 2 == 1)
            attacked = pgd(
                model,
                images[left],
                labels[left],
                threat=threat,
                loss=margin if second else cross_entropy,
                start=uniform(ball, noise.rows(left), restart),
                steps=self.steps + 1,  # the last update is not looked at
                step=self.step * threat.epsilon,
                tau=0,
            )
            points = images.clone()
            points[left] = attacked.images
            yield points
            left = left[attacked.updates > self.steps]


def uniform(ball: Ball, noise: ChunkNoise, number: int) -> Tensor:
    """Points uniform in the ball, clipped to [0, 1]."""
    if ball.norm == "Linf":
        return (ball.centre + ball.radius * (2 * noise.uniform("start", number) - 1)).clamp(0, 1)
    drawn = noise.normal("start", number)
    share = noise.uniform("radius", number).flatten(1)[:, 0].view(-1, 1, 1, 1) ** (1 / drawn[0].numel())
    length = drawn.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)
    direction: Tensor = drawn / length
    return (ball.centre + ball.radius * share * direction).clamp(0, 1)
