"""APGD: projected gradient ascent with momentum and a step size that halves itself (Croce and Hein, ICML 2020, alg. 1).

    apgd(model, images, labels, indices=indices, threat=threat, noise=ImageNoise(0), loss="ce")
    apgd(model, images, labels, indices=indices, threat=threat, noise=ImageNoise(0), loss="targeted", targets=targets)

An image leaves the computation as soon as an iterate of it is misclassified, under whichever class. The verdicts are
those of auto-attack a392200, which differs from the paper in two details; both are marked.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from fairbench.attacks.ball import Ball
from fairbench.attacks.input_gradient import input_gradient
from fairbench.attacks.standard.found import Found, Predict
from fairbench.attacks.standard.noise import NoiseSource
from fairbench.attacks.standard.rechecking import rechecked
from fairbench.attacks.standard.steady import steady
from fairbench.attacks.standard.targets import Pairs, target_by_target
from fairbench.protocol.threat import Norm, Threat

RHO = 0.75
"""A step is halved if at most this share of the iterations since the last checkpoint raised the loss."""

ALPHA = 0.75
"""Weight of the gradient step from the second iteration on; the rest goes to the last displacement."""

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Logits (n, classes), labels (n,) and targets (n,) to what the attack raises, (n,)."""


def apgd(
    model: Predict,
    images: Tensor,
    labels: Tensor,
    *,
    indices: Tensor,
    threat: Threat,
    noise: NoiseSource,
    loss: Literal["ce", "targeted"],
    targets: Tensor | None = None,
    iterations: int = 100,
    rows: int = 0,
    exact: Predict | None = None,
) -> Found:
    """Attack images that are classified correctly.

    Args:
        model: frozen and in eval mode.
        images: (n, channels, height, width), float32 in [0, 1].
        labels: (n,) int64.
        indices: of the images in the test set, (n,) int64; they key the noise.
        threat: norm and radius.
        noise: of the starts.
        loss: `ce`, the cross-entropy, from one start; or `targeted`, the targeted difference of logits ratio (the
            plain difference below four classes), from one start for each target.
        targets: wrong classes, the likeliest first, (n, targets) int64; for `targeted` only.
        iterations: for each start.
        rows: up to which targets are attacked together, see `target_by_target`.
        exact: confirms what a cheaper `model` claims, see `rechecked`.
    """
    assert (targets is None) == (loss == "ce")
    aims, raised = (labels[:, None], _cross_entropy) if targets is None else (targets, targeted_dlr)

    def attack(left: Tensor, ranks: range) -> Found:
        ball = Ball(threat.norm, images[left], threat.epsilon)
        names = [("apgd-ce",)] if targets is None else [("apgd-t", rank) for rank in ranks]
        starts = torch.cat([_start(ball, noise, *name, indices=indices[left]) for name in names])
        chosen = aims[left, ranks.start : ranks.stop]
        return _ascend(
            steady(model), ball, starts, labels[left], chosen, loss=raised, iterations=iterations, exact=exact
        )

    with torch.no_grad():
        return target_by_target(attack, images, targets=aims.shape[1], rows=rows)


@dataclass(kw_only=True, slots=True)
class _Ascent:
    """The pairs of an image and a target still attacked; one row each, whatever the shape.

    Attributes:
        clean: images.
        labels: classes.
        targets: classes that a targeted loss aims at.
        point: the iterate.
        before: the iterate before the last step.
        best: the iterate with the largest loss.
        best_gradient: there.
        best_loss: there.
        step: size, (n, 1, 1, 1).
        loss: of the last iterate.
        rises: iterations since the last checkpoint that raised the loss.
        halved: whether the last checkpoint halved the step.
        checked: the largest loss at the last checkpoint.
    """

    clean: Tensor
    labels: Tensor
    targets: Tensor
    point: Tensor
    before: Tensor
    best: Tensor
    best_gradient: Tensor
    best_loss: Tensor
    step: Tensor
    loss: Tensor
    rises: Tensor
    halved: Tensor
    checked: Tensor

    def keep(self, kept: Tensor) -> None:
        """Drop the other rows; `kept` are numbers of rows."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name)[kept])


def _ascend(
    model: Predict,
    ball: Ball,
    starts: Tensor,
    labels: Tensor,
    targets: Tensor,
    *,
    loss: Loss,
    iterations: int,
    exact: Predict | None,
) -> Found:
    """Some targets (n, ranks) at once, each from its own start (ranks * n, ...)."""
    pairs = Pairs(ball.centre, ranks=targets.shape[1])
    ball = Ball(ball.norm, ball.centre[pairs.image], ball.radius.flatten()[pairs.image])
    labels = labels[pairs.image]
    zeros = starts.new_zeros(len(starts))
    at = _Ascent(
        clean=ball.centre,
        labels=labels,
        targets=targets.T.flatten(),
        point=starts,
        before=starts,
        best=starts,
        best_gradient=torch.zeros_like(starts),
        best_loss=zeros - torch.inf,
        step=2 * ball.radius,
        # At the first checkpoint the reference compares the loss after the first step not with that of the start, but
        # with a row that is not yet filled.
        loss=zeros,
        rises=zeros,
        halved=torch.ones_like(labels, dtype=torch.bool),
        checked=zeros,
    )
    gaps = _checkpoints(iterations)
    for k in range(iterations + 1):
        value, gradient, wrong = _evaluate(model, at, loss, differentiate=k < iterations, exact=exact)
        if bool(wrong.any()):
            kept = pairs.broken(wrong, at.point)
            at.keep(kept)
            value, gradient = value[kept], gradient[kept]
            ball = Ball(ball.norm, at.clean, ball.radius.flatten()[kept])
        if k == iterations or len(at.point) == 0:
            break
        better = value > at.best_loss
        at.best = torch.where(_wide(better), at.point, at.best)
        at.best_gradient = torch.where(_wide(better), gradient, at.best_gradient)
        at.best_loss = torch.maximum(value, at.best_loss)
        if k > 0:
            at.rises = at.rises + (value > at.loss)
            at.loss = value
        if k in gaps:
            at.halved = (at.rises <= RHO * gaps[k]) | ~at.halved & (at.checked >= at.best_loss)
            at.checked, at.rises = at.best_loss, torch.zeros_like(at.rises)
            halved = _wide(at.halved)
            at.step = torch.where(halved, at.step / 2, at.step)
            # `before` stays: after a return to the best point the reference's momentum starts from the iterate before
            # the last step, not from rest.
            at.point = torch.where(halved, at.best, at.point)
            gradient = torch.where(halved, at.best_gradient, gradient)
        at.before, at.point = at.point, _step(ball, at, gradient, alpha=ALPHA if k > 0 else 1.0)
    return pairs.found


def _step(ball: Ball, at: _Ascent, gradient: Tensor, *, alpha: float) -> Tensor:
    """The next iterate."""
    ascent = gradient.sign() if ball.norm == "Linf" else _normalised(gradient, ball.norm)
    ahead = _project(ball, at.point + at.step * ascent)
    moved = at.point + (ahead - at.point) * alpha + (at.point - at.before) * (1 - alpha)
    return _project(ball, moved)


def _project(ball: Ball, points: Tensor) -> Tensor:
    """`Ball.project`, which on L2 rounds otherwise than the reference; losses are compared, so it can show."""
    if ball.norm == "Linf":
        return ball.project(points)
    delta = points - ball.centre
    reach = torch.minimum(ball.radius, _length(delta, ball.norm))
    return (ball.centre + _normalised(delta, ball.norm) * reach).clamp(0, 1)


def _evaluate(
    model: Predict, at: _Ascent, loss: Loss, *, differentiate: bool, exact: Predict | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss at the iterate, its gradient (zeros if it is not wanted), and whether the prediction is wrong."""
    with torch.set_grad_enabled(differentiate):
        point = at.point.detach().requires_grad_(differentiate)
        logits = model(point)
        value = loss(logits, at.labels, at.targets)
        # A network in channels-last order answers in this order; what follows is faster in that of the images.
        gradient = input_gradient(value, point).contiguous() if differentiate else torch.zeros_like(point)
    wrong = rechecked(logits.detach(), at.point, at.labels, exact=exact).argmax(dim=1) != at.labels
    return value.detach(), gradient, wrong


def _start(ball: Ball, noise: NoiseSource, *name: str | int, indices: Tensor) -> Tensor:
    """A point on the sphere, clipped to [0, 1]; on L-inf along a uniform vector, unlike the uniform start of PGD."""
    shape = tuple(ball.centre.shape[1:])
    if ball.norm == "Linf":
        drawn = 2 * noise.uniform(*name, indices=indices, shape=shape) - 1
    else:
        drawn = noise.normal(*name, indices=indices, shape=shape)
    return (ball.centre + ball.radius * _normalised(drawn, ball.norm)).clamp(0, 1)


def _normalised(vectors: Tensor, norm: Norm) -> Tensor:
    """Of length one in the norm; zero where they are zero."""
    return vectors / (_length(vectors, norm) + 1e-12)


def _length(vectors: Tensor, norm: Norm) -> Tensor:
    """In the norm, (n, 1, 1, 1)."""
    flat = vectors.flatten(1)
    return _wide(flat.abs().amax(dim=1) if norm == "Linf" else flat.square().sum(dim=1).sqrt())


def _cross_entropy(logits: Tensor, labels: Tensor, _targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels, reduction="none")


def targeted_dlr(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Targeted difference of logits ratio, eq. 7; its scale needs four classes, below that the plain difference."""
    lead = (logits.gather(1, targets[:, None]) - logits.gather(1, labels[:, None])).squeeze(1)
    if logits.shape[1] < 4:
        return lead
    largest = logits.topk(4).values
    return lead / (largest[:, 0] - (largest[:, 2] + largest[:, 3]) / 2 + 1e-12)


def _checkpoints(iterations: int) -> dict[int, int]:
    """The iterations after which the steps are checked, each with the number of iterations since the last one.

    For a hundred: after 22, 41, 57, 70, 80, 87, 93 and 99.
    """
    gap, shortest, shrink = (max(iterations * percent // 100, 1) for percent in (22, 6, 3))
    gaps, k = {}, gap
    while k <= iterations:
        gaps[k] = gap
        gap = max(gap - shrink, shortest)
        k += gap
    return gaps


def _wide(values: Tensor) -> Tensor:
    """(n,) as (n, 1, 1, 1)."""
    return values.view(-1, 1, 1, 1)
