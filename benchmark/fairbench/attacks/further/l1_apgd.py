"""APGD in the L1 ball, as AutoAttack for L1 is run by its authors: sparse steps, five starts, and radii that shrink.

Croce and Hein, ICML 2021, "Mind the box: l1-APGD for sparse adversarial attacks on image classifiers". A step moves the
coordinates with the largest gradients by equal amounts; how many follows from how sparse the best point so far is:

    x <- P( x + s sign(g_K) / |K| ),    K the k largest coordinates of |g|,    k = (nonzeros of x_best - x_clean) / 1.5

and P the nearest point of ball and box (`l1_ball`). After every check the step is the radius again where the best point
became sparser by 5 %, and returns to it; else it is divided by 1.5, down to a tenth of the radius. Each start runs 30 %
of its iterations in three times the radius, 30 % in twice, and the rest in the radius, where breaks count. `ce` has
five starts, `targeted` one for each of the five likeliest wrong classes, both as AutoAttack standard for L1.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fairbench.attacks.further.contract import ChunkNoise
from fairbench.attacks.further.l1_ball import L1Ball
from fairbench.attacks.input_gradient import input_gradient
from fairbench.attacks.standard.apgd import targeted_dlr
from fairbench.attacks.standard.attack import likeliest_wrong
from fairbench.method.hyperparameter import hyperparameter
from fairbench.method.losses import cross_entropy
from fairbench.protocol.threat import Threat

STAGES = ((3.0, 0.3), (2.0, 0.3), (1.0, 0.4))
"""Radius in units of the radius, and share of the iterations."""

Loss = Callable[[Tensor], Tensor]
"""Logits (n, classes) to what the attack raises, (n,)."""


@dataclass(frozen=True, kw_only=True)
class L1APGD:
    """APGD-CE from several starts, then targeted APGD, in an L1 ball of its own."""

    radius: float = hyperparameter(
        12.0, "of the ball, in units of pixel values (authors: 12 on CIFAR-10)", at_least=1e-6, at_most=1e6
    )
    iterations: int = hyperparameter(100, "of every start", at_least=1, at_most=10_000)
    restarts: int = hyperparameter(5, "starts on the cross-entropy", at_least=0, at_most=1000)
    targets: int = hyperparameter(5, "likeliest wrong classes that are aimed at", at_least=0, at_most=1000)

    def ball(self, images: Tensor, threat: Threat) -> L1Ball:
        """Its own, whatever the threat."""
        del threat
        return L1Ball(images, self.radius)

    def __call__(
        self, model: nn.Module, images: Tensor, labels: Tensor, threat: Threat, noise: ChunkNoise
    ) -> Iterator[Tensor]:
        """What every start ends with; an image leaves when it breaks."""
        del threat
        left = torch.arange(len(images), device=images.device)
        targets = likeliest_wrong(model, images, labels, count=self.targets)
        names = [("ce", start) for start in range(self.restarts)]
        names += [("targeted", rank) for rank in range(targets.shape[1])]
        for kind, number in names:
            if len(left) == 0:
                return
            some = labels[left]
            aims = targets[left, number] if kind == "targeted" else some

            def raised(logits: Tensor, some: Tensor = some, aims: Tensor = aims, kind: str = kind) -> Tensor:
                return cross_entropy(logits, some) if kind == "ce" else targeted_dlr(logits, some, aims)

            start = noise.rows(left).normal(kind, number)
            found, broken = self._start(model, images[left], some, start, raised)
            points = images.clone()
            points[left] = found
            yield points
            left = left[~broken]

    def _start(
        self, model: nn.Module, images: Tensor, labels: Tensor, drawn: Tensor, loss: Loss
    ) -> tuple[Tensor, Tensor]:
        """One start through all radii: the adversarial points, and which are."""
        point = L1Ball(images, STAGES[0][0] * self.radius).project(images + drawn)
        early = [math.ceil(share * self.iterations) for _, share in STAGES[:-1]]
        lengths = [*early, self.iterations - sum(early)]
        found, broken = images, torch.zeros_like(labels, dtype=torch.bool)
        for (factor, _), length in zip(STAGES, lengths, strict=True):
            ball = L1Ball(images, factor * self.radius)
            point, found, broken = _ascend(model, ball, ball.project(point), labels, loss, iterations=length)
        return found, broken


def _ascend(
    model: nn.Module, ball: L1Ball, start: Tensor, labels: Tensor, loss: Loss, *, iterations: int
) -> tuple[Tensor, Tensor, Tensor]:
    """In one ball: the point with the largest loss, the last misclassified one, and whether there is one."""
    pixels = start[0].numel()
    point, best, found = start, start, start
    value, gradient, wrong = _evaluate(model, point, labels, loss)
    best_value, best_gradient, broken = value, gradient, wrong
    nonzeros = _nonzeros(start - ball.centre)
    share, before = nonzeros / pixels / 1.5, nonzeros
    step = ball.radius.flatten().clone()
    checked_every, since = max(int(0.04 * iterations), 1), 0
    for _ in range(iterations):
        point = ball.project(point + _wide(step) * _sparse(gradient, share))
        value, gradient, wrong = _evaluate(model, point, labels, loss)
        broken = broken | wrong
        found = torch.where(_wide(wrong), point, found)
        better = value > best_value
        best, best_gradient = (
            torch.where(_wide(better), new, old) for new, old in ((point, best), (gradient, best_gradient))
        )
        best_value = torch.where(better, value, best_value)
        since += 1
        if since == checked_every:
            since, nonzeros = 0, _nonzeros(best - ball.centre)
            sparser = nonzeros / before < 0.95
            share, before = nonzeros / pixels / 1.5, nonzeros
            radius = ball.radius.flatten()
            step = torch.where(sparser, radius, step / 1.5).clamp(radius / 10, radius)
            point = torch.where(_wide(sparser), best, point)
            gradient = torch.where(_wide(sparser), best_gradient, gradient)
    return best, found, broken


def _evaluate(model: nn.Module, point: Tensor, labels: Tensor, loss: Loss) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, its gradient to the point, and whether the point is misclassified."""
    with torch.enable_grad():
        leaf = point.detach().requires_grad_()
        logits = model(leaf)
        value = loss(logits)
        gradient = input_gradient(value, leaf)
    return value.detach(), gradient, logits.detach().argmax(dim=1) != labels


def _sparse(gradient: Tensor, share: Tensor) -> Tensor:
    """Signs of the largest coordinates, which sum to one in size; as many as this share of the pixels, and one more."""
    sizes = gradient.flatten(1).abs()
    pixels = sizes.shape[1]
    place = ((1 - share) * pixels).clamp(0, pixels - 1).long()
    threshold = sizes.sort(dim=1).values.gather(1, place[:, None])
    signs = (gradient.flatten(1) * (sizes >= threshold)).sign()
    return (signs / (signs.abs().sum(dim=1, keepdim=True) + 1e-10)).view_as(gradient)


def _nonzeros(delta: Tensor) -> Tensor:
    """Pixels that moved, (n,) float32."""
    return (delta.flatten(1) != 0).sum(dim=1).float()


def _wide(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)
