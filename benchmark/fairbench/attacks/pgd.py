"""The one attack engine: projected gradient descent for every training method and for PGD-20.

Images are in [0, 1] and epsilon is in the same unit; 8/255 is written `8 / 255`. One step on the L-inf ball is

    x_{k+1} = P( x_k + d * step * sign(grad) + jitter * N(0, I) ),    d = 1 to ascend, -1 to descend,

with P the projection on the ball around the clean image, then on [0, 1], and sign(0) = 0. The loss is summed over the
batch, so that in eval mode one image's attack does not depend on its neighbours. The presets of the literature:

    PGD-AT      pgd(model, x, y, threat=threat, generator=g)                          # cross-entropy, uniform start
    TRADES      pgd(model, x, y, threat=threat, generator=g, loss=kl_divergence, target=clean_logits, start="gaussian")
    FAT, BAT    pgd(model, x, y, threat=threat, generator=g, tau=0, boundary=True)    # stop at the boundary
    CFA, DAFA   pgd(model, x, y, threat=threat, generator=g, radius=epsilon_of_each_image)
    HAM         pgd(model, x, y, threat=threat, generator=g, start=iterate, steps=7)  # go on from a given iterate

Noise is drawn for the whole batch before any image leaves, so early stopping never changes another image's noise.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from fairbench.attacks.ball import Ball
from fairbench.attacks.frozen import frozen
from fairbench.attacks.input_gradient import input_gradient, logits_gradient
from fairbench.attacks.shortcut import shortcut
from fairbench.method.losses import AttackLoss, compared, cross_entropy
from fairbench.protocol.threat import Threat

Start = Literal["uniform", "gaussian", "none"]
Observer = Callable[[int, Tensor, Tensor, Tensor], None]
"""(step k, iterate x_k, its logits, rows of the batch they belong to), before the update; x_K too if `judge_last`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attacked:
    """What an attack found, in input order.

    Attributes:
        images: the adversarial images, (batch, channels, height, width), in the ball and in [0, 1].
        updates: steps taken by each image, (batch,); less than `steps` only where `tau` stopped it.
        survived: kappa, the number of checked iterates x_0 .. x_{K-1} that were classified correctly, (batch,).
        zero_gradient: whether the first gradient was exactly zero, (batch,).
        last_clean: with `boundary`, the iterate before the first misclassified one; the clean image if the start was
            misclassified already; x_{K-1} if no checked iterate was.
        first_adversarial: with `boundary`, the first misclassified iterate; the clean image if that was the start;
            x_K, which is never checked, if there was none.
    """

    images: Tensor
    updates: Tensor
    survived: Tensor
    zero_gradient: Tensor
    last_clean: Tensor | None = None
    first_adversarial: Tensor | None = None


def pgd(  # noqa: C901, PLR0915  the loop of the engine reads better in one piece
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    threat: Threat,
    generator: torch.Generator | None = None,
    loss: AttackLoss = cross_entropy,
    target: Tensor | None = None,
    start: Start | Tensor = "uniform",
    steps: int | None = None,
    step: float | Tensor | None = None,
    radius: float | Tensor | None = None,
    descend: bool = False,
    tau: int | None = None,
    jitter: float = 0.0,
    boundary: bool = False,
    train_mode: bool = False,
    restarts: int = 1,
    observe: Observer | None = None,
    judge_last: bool = False,
) -> Attacked:
    """Attack a batch.

    Args:
        model: images to logits (batch, classes). In eval mode during the attack unless `train_mode`; batch-norm
            buffers, `.grad`, `requires_grad` and modes are as before afterwards.
        images: (batch, channels, height, width) in [0, 1].
        labels: (batch,); they decide which iterates count as correct, whatever the loss.
        threat: norm, and the defaults of radius, step and steps.
        generator: source of the noise, on the device of the images; required unless nothing is drawn.
        loss: per image, of the iterate's logits and `target`.
        target: rows aligned with the batch that the loss compares with; the labels by default.
        start: `uniform` in the ball, `gaussian` (clean image plus 0.001 N(0, I), clipped only with the first step, as
            in the released codes), `none`, or the iterates to go on from.
        steps: number of updates K.
        step: step size, scalar or one per image.
        radius: radius of the ball, scalar or one per image.
        descend: lower the loss instead (targeted attacks).
        tau: stop an image once it has been misclassified at more than `tau` checked iterates (FAT, section 3.2).
        jitter: standard deviation of Gaussian noise added at every step (FAT).
        boundary: return the iterates around the first misclassification.
        train_mode: attack in the modes as they are; batch norm then sees the attack.
        restarts: independent starts; the last one with the highest cross-entropy is returned for each image.
        observe: called with every checked iterate.
        judge_last: also forward x_K once, for the observer.

    Raises:
        ValueError: if noise is asked for without a generator, or options exclude one another.
    """
    drawn = isinstance(start, str) and start != "none"
    if generator is None and (jitter > 0 or drawn):
        raise ValueError(
            f"pgd(start={start!r}, jitter={jitter}) draws noise: pass generator=torch.Generator(device=...)"
        )
    if restarts > 1 and (tau is not None or boundary or observe is not None or isinstance(start, Tensor)):
        raise ValueError("pgd(restarts > 1) cannot be combined with tau, boundary, observe or a given start")
    steps = threat.steps if steps is None else steps
    ball = Ball(threat.norm, images.detach(), threat.epsilon if radius is None else radius)
    size = _per_image(threat.step if step is None else step, images)
    target = labels if target is None else target
    precision = torch.autocast(images.device.type, torch.bfloat16, enabled=threat.attack_precision == "bf16")

    def one_start() -> Attacked:  # noqa: C901, PLR0912, PLR0915  as above
        count = len(images)
        rows = torch.arange(count, device=images.device)  # still attacked; `points` is aligned with it
        points = _start(start, ball, generator)
        found = torch.empty_like(images)
        updates = torch.zeros(count, dtype=torch.long, device=images.device)
        survived = torch.zeros_like(updates)
        zero_gradient = torch.zeros(count, dtype=torch.bool, device=images.device)
        last_clean, first_adversarial = (images.clone(), images.clone()) if boundary else (None, None)

        def here(values: Tensor) -> Tensor:
            """The rows that are still attacked; without a copy while these are all."""
            return values if len(rows) == count else values[rows]

        counted: list[Tensor] = []  # which iterates are correct, where nobody needs to know it on the way
        for k in range(steps):
            noise = torch.empty_like(images).normal_(generator=generator) if jitter > 0 else None
            points.requires_grad_(True)
            logits = model(points).float()
            if k == 0:
                distribution = compared(loss, target, logits.shape[1])
            if distribution is None:
                gradient = input_gradient(loss(logits, here(target)), points)
            else:
                gradient = logits_gradient(logits, logits.detach().softmax(dim=1) - here(distribution), points)
            points, logits = points.detach(), logits.detach()
            correct = logits.argmax(dim=1) == here(labels)
            if observe is not None:
                observe(k, points, logits, rows)
            if k == 0:
                zero_gradient = ~gradient.flatten(1).any(dim=1)
            moved = torch.addcmul(points, _ascent(gradient, threat.norm), here(size), value=-1 if descend else 1)
            if noise is not None:
                moved = moved + jitter * here(noise)
            moved = ball.project(moved, rows)
            if tau is None and not boundary:
                counted.append(correct)
                points = moved
                continue
            survived[rows] += correct
            missed = k + 1 - here(survived)  # an active image was checked at every iterate so far
            if last_clean is not None and first_adversarial is not None:
                unbroken = missed == 0
                last_clean[rows[unbroken]] = points[unbroken]
                first_adversarial[rows[unbroken]] = moved[unbroken]
            if tau is not None and bool((leaving := missed > tau).any()):
                found[rows[leaving]] = points[leaving]
                updates[rows[leaving]] = k
                rows, points = rows[~leaving], moved[~leaving]
                if len(rows) == 0:
                    for _ in range(k + 1, steps if jitter > 0 else 0):  # nor another batch's noise
                        torch.empty_like(images).normal_(generator=generator)
                    break
            else:
                points = moved
        if counted:
            survived = torch.stack(counted).sum(dim=0)
        updates[rows] = steps
        found[rows] = points
        # A Gaussian start, which may leave the ball, has not been projected where an image stopped at it.
        found = ball.project(found)
        if last_clean is not None:
            last_clean = ball.project(last_clean)
        if observe is not None and judge_last and len(rows) > 0:
            with torch.no_grad():
                observe(steps, found[rows], model(found[rows]).float(), rows)
        return Attacked(
            images=found,
            updates=updates,
            survived=survived,
            zero_gradient=zero_gradient,
            last_clean=last_clean,
            first_adversarial=first_adversarial,
        )

    with frozen(model, train_mode=train_mode), torch.enable_grad(), precision, shortcut(model, images):
        best = one_start()
        for _ in range(restarts - 1):
            best = _stronger(best, one_start(), model, labels)
    return best


def _start(start: Start | Tensor, ball: Ball, generator: torch.Generator | None) -> Tensor:
    if isinstance(start, Tensor):
        return start.detach().clone()
    if start == "uniform":
        return ball.uniform(generator)
    if start == "gaussian":
        return ball.centre + 0.001 * torch.empty_like(ball.centre).normal_(generator=generator)
    return ball.centre.clone()


def _ascent(gradient: Tensor, norm: str) -> Tensor:
    """Unit steepest ascent: the sign on L-inf, the normalised gradient on L2 (zero where the gradient is zero)."""
    if norm == "Linf":
        return gradient.sign()
    length = torch.linalg.vector_norm(gradient.flatten(1), dim=1).clamp_min(1e-12)
    direction: Tensor = gradient / length.view(-1, 1, 1, 1)
    return direction


def _stronger(first: Attacked, second: Attacked, model: nn.Module, labels: Tensor) -> Attacked:
    """Per image the attack with the higher final cross-entropy; ties go to the later one."""
    with torch.no_grad():
        later = cross_entropy(model(second.images), labels) >= cross_entropy(model(first.images), labels)
    choose = later.view(-1, 1, 1, 1)
    return Attacked(
        images=torch.where(choose, second.images, first.images),
        updates=first.updates + second.updates,
        survived=torch.minimum(first.survived, second.survived),
        zero_gradient=first.zero_gradient & second.zero_gradient,
    )


def _per_image(value: float | Tensor, images: Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=images.dtype, device=images.device).expand(len(images)).reshape(-1, 1, 1, 1)
