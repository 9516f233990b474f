"""FAB, targeted: the nearest point beyond a class boundary (Croce and Hein, ICML 2020, arXiv 1907.02044).

    fab(model, images, labels, targets=targets, threat=threat)

For one wrong class t, with h the difference of logits z_t - z_y, a clean image x and the iterate x_k, x_0 = x:

    linearise     h(x_k) + <grad h(x_k), z - x_k> = 0, a hyperplane
    project       d, d': the shortest moves from x_k and from x onto it, inside the box
    mix           a = min(|d| / (|d| + |d'|), 0.1)
    step          z = clip01( (1 - a) (x_k + 1.05 d) + a (x + 1.05 d') )
    step back     x_{k+1} = x + 0.9 (z - x) if z is misclassified, else z

An image is broken at the first misclassified z, under whichever class, that is within epsilon of x; the attack draws
nothing. The verdicts are those of auto-attack a392200, which goes on to find the shortest distance and compares that.

A step costs two forwards and one backward to the input. Its z could be linearised with the graph of its own check only
where it is not stepped back from; that is one step in four (digits CNN under PGD-AT, L-inf 0.15: 6 to 30 % by target),
and for the other three the backward through the check, dearer than a forward, would be wasted.
"""

import torch
from torch import Tensor

from fairbench.attacks.input_gradient import input_gradient
from fairbench.attacks.standard.found import Found, Predict
from fairbench.attacks.standard.projections import shortest_move
from fairbench.attacks.standard.rechecking import rechecked
from fairbench.attacks.standard.steady import steady
from fairbench.attacks.standard.targets import Pairs, target_by_target
from fairbench.protocol.threat import Norm, Threat

ALPHA_MAX = 0.1
"""Largest weight of the projection of the clean image."""

ETA = 1.05
"""How far to go towards the hyperplane; beyond 1, so that the boundary is crossed."""

BETA = 0.9
"""Share of the way back from a misclassified point to the clean image that is kept."""


def fab(
    model: Predict,
    images: Tensor,
    labels: Tensor,
    *,
    targets: Tensor,
    threat: Threat,
    iterations: int = 100,
    rows: int = 0,
    exact: Predict | None = None,
) -> Found:
    """Attack images that are classified correctly.

    Args:
        model: frozen and in eval mode.
        images: (n, channels, height, width), float32 in [0, 1].
        labels: (n,) int64.
        targets: wrong classes, the likeliest first, (n, targets) int64.
        threat: norm and radius.
        iterations: for each target.
        rows: up to which targets are attacked together, see `target_by_target`.
        exact: confirms what a cheaper `model` claims, see `rechecked`.
    """

    def attack(left: Tensor, ranks: range) -> Found:
        chosen = targets[left, ranks.start : ranks.stop]
        return _attack(
            steady(model), images[left], labels[left], chosen, threat=threat, iterations=iterations, exact=exact
        )

    with torch.no_grad():
        return target_by_target(attack, images, targets=targets.shape[1], rows=rows)


def _attack(
    model: Predict,
    images: Tensor,
    labels: Tensor,
    targets: Tensor,
    *,
    threat: Threat,
    iterations: int,
    exact: Predict | None,
) -> Found:
    """Some targets (n, ranks) at once."""
    pairs = Pairs(images, ranks=targets.shape[1])
    label, target = labels[pairs.image], targets.T.flatten()
    clean = images.flatten(1)[pairs.image]  # pixels in one dimension from here on
    points = clean
    for _ in range(iterations):
        shape = (len(points), *images.shape[1:])
        gap, normal = _linearise(model, points.view(shape), label, target)
        reached = _step(points, clean, gap=gap, normal=normal, norm=threat.norm)
        away, candidates = reached - clean, reached.view(shape)
        logits, near = model(candidates), _length(away, threat.norm) <= threat.epsilon
        logits = rechecked(logits, candidates, label, exact=exact, among=near)
        wrong = logits.argmax(dim=1) != label
        points = torch.where(wrong[:, None], clean + BETA * away, reached)
        through = wrong & near
        if bool(through.any()):
            stay = pairs.broken(through, candidates)
            if len(stay) == 0:
                break
            label, target, clean, points = label[stay], target[stay], clean[stay], points[stay]
    return pairs.found


def _linearise(model: Predict, points: Tensor, label: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """z_t - z_y, (rows,), and its gradient, (rows, pixels)."""
    with torch.enable_grad():
        points = points.detach().requires_grad_()
        logits = model(points)
        gap = (logits.gather(1, target[:, None]) - logits.gather(1, label[:, None])).squeeze(1)
        normal = input_gradient(gap, points)
    return gap.detach(), normal.flatten(1)


def _step(points: Tensor, clean: Tensor, *, gap: Tensor, normal: Tensor, norm: Norm) -> Tensor:
    """Beyond the hyperplane, from a mix of the iterate and the clean image, (rows, pixels)."""
    ends = torch.stack([points, clean], dim=1)
    gaps = torch.stack([gap, gap + ((clean - points) * normal).sum(dim=-1)], dim=1)
    moves = shortest_move(ends, normal=normal[:, None], gap=gaps, norm=norm)
    near, far = _length(moves, norm).clamp_min(1e-8).unbind(dim=1)
    alpha = (near / (near + far)).clamp(max=ALPHA_MAX)
    beyond = torch.add(ends, moves, alpha=ETA)
    return torch.lerp(beyond[:, 0], beyond[:, 1], alpha[:, None]).clamp(0, 1)


def _length(moves: Tensor, norm: Norm) -> Tensor:
    """Along the last dimension; on L-inf in a twentieth of the time that `vector_norm` takes on a CPU."""
    return moves.abs().amax(dim=-1) if norm == "Linf" else torch.linalg.vector_norm(moves, dim=-1)
