"""Which class can be made into which: every image is aimed at every wrong class, one after the other.

What a class is made into is the whole confusion under attack; summed over the labels it is how often each class is what
others are made into (the target-class fairness of BAT, Sun et al., AAAI 2023).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fairbench.attacks.ball import Ball
from fairbench.attacks.further.contract import ChunkNoise
from fairbench.attacks.further.pgd_restarts import uniform
from fairbench.attacks.pgd import pgd
from fairbench.method.hyperparameter import hyperparameter
from fairbench.method.losses import margin
from fairbench.protocol.threat import Threat


@dataclass(frozen=True, kw_only=True)
class Targeted:
    """PGD towards each wrong class t, on z_t - max_{j != t} z_j, from one uniform start for each."""

    steps: int = hyperparameter(50, "steps towards each class", at_least=1, at_most=10_000)
    step: float = hyperparameter(0.1, "size of a step, as a share of the radius", at_least=0.001, at_most=2)

    def __call__(
        self, model: nn.Module, images: Tensor, labels: Tensor, threat: Threat, noise: ChunkNoise
    ) -> Iterator[Tensor]:
        """For every class: the first iterate that is taken for it, or the last; its own images stay as they are."""
        with torch.no_grad():
            classes = model(images[:1]).shape[1]
        for target in range(classes):
            rows = (labels != target).nonzero().flatten()
            if len(rows) == 0:
                continue
            points = images.clone()
            points[rows] = self._towards(target, model, images[rows], threat, noise.rows(rows))
            yield points

    def _towards(self, target: int, model: nn.Module, images: Tensor, threat: Threat, noise: ChunkNoise) -> Tensor:
        aims = torch.full((len(images),), target, device=images.device)
        found, hit = images.clone(), torch.zeros(len(images), dtype=torch.bool, device=images.device)

        def observe(_step: int, points: Tensor, logits: Tensor, _rows: Tensor) -> None:
            first = (logits.argmax(dim=1) == target) & ~hit
            found[first] = points[first]
            hit.logical_or_(first)

        attacked = pgd(
            model,
            images,
            aims,
            threat=threat,
            loss=_lead,
            start=uniform(Ball(threat.norm, images, threat.epsilon), noise, target),
            steps=self.steps,
            step=self.step * threat.epsilon,
            observe=observe,
        )
        return torch.where(hit.view(-1, 1, 1, 1), found, attacked.images)


def _lead(logits: Tensor, targets: Tensor) -> Tensor:
    """How far the target is ahead of all other classes."""
    return -margin(logits, targets)
