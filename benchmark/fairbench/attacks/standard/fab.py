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

from fairbench.attacks.standard.found import Found, Predict
from fairbench.attacks.standard.projections import shortest_move
from fairbench.attacks.standard.steady import steady
from fairbench.suite import Norm, Threat

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
) -> Found:
    """Attack images that are classified correctly.

    Args:
        model: frozen and in eval mode.
        images: (n, channels, height, width), float32 in [0, 1].
        labels: (n,) int64.
        targets: wrong classes, the likeliest first, (n, targets) int64.
        threat: norm and radius.
        iterations: for each target.
        rows: several targets are attacked together as long as the images left fill no more rows than this; it changes
            the speed (few images leave a GPU idle), not what is found.
    """
    found, broken = images.clone(), torch.zeros_like(labels, dtype=torch.bool)
    done = 0
    with torch.no_grad():
        while done < targets.shape[1] and len(left := (~broken).nonzero().flatten()) > 0:
            group = targets[left, done : done + max(1, rows // len(left))]
            one = _attack(steady(model), images[left], labels[left], group, threat=threat, iterations=iterations)
            found[left], broken[left] = one.images, one.broken
            done += group.shape[1]
    return Found(images=found, broken=broken)


def _attack(
    model: Predict, images: Tensor, labels: Tensor, targets: Tensor, *, threat: Threat, iterations: int
) -> Found:
    """All targets (n, ranks) of all images at once; for each image the point of its first target that breaks it.

    A row is a pair of an image and the rank of a target. It leaves when it, or a lower rank of its image, is through;
    lower ranks go on, so that the point found is the one which target after target would have given.
    """
    count, ranks = targets.shape
    found, first = images.clone(), torch.full_like(labels, ranks)  # lowest rank through, by image
    image = torch.arange(count, device=images.device).repeat_interleave(ranks)
    rank = torch.arange(ranks, device=images.device).repeat(count)
    label, target = labels[image], targets.flatten()
    clean = images.flatten(1)[image]  # pixels in one dimension from here on
    points = clean
    for _ in range(iterations):
        shape = (len(points), *images.shape[1:])
        gap, normal = _linearise(model, points.view(shape), label, target)
        reached = _step(points, clean, gap=gap, normal=normal, norm=threat.norm)
        away = reached - clean
        wrong = model(reached.view(shape)).argmax(dim=1) != label
        through = wrong & (_length(away, threat.norm) <= threat.epsilon)
        points = torch.where(wrong[:, None], clean + BETA * away, reached)
        if bool(through.any()):
            first.scatter_reduce_(0, image[through], rank[through], "amin")
            best = through & (rank == first[image])
            found[image[best]] = reached.view(shape)[best]
            stay = (rank < first[image]).nonzero().flatten()
            if len(stay) == 0:
                break
            image, rank, label, target = image[stay], rank[stay], label[stay], target[stay]
            clean, points = clean[stay], points[stay]
    return Found(images=found, broken=first < ranks)


def _linearise(model: Predict, points: Tensor, label: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """z_t - z_y, (rows,), and its gradient, (rows, pixels)."""
    with torch.enable_grad():
        points = points.detach().requires_grad_()
        logits = model(points)
        gap = (logits.gather(1, target[:, None]) - logits.gather(1, label[:, None])).squeeze(1)
        (gradient,) = torch.autograd.grad(gap.sum(), points)
    return gap.detach(), gradient.flatten(1)


def _step(points: Tensor, clean: Tensor, *, gap: Tensor, normal: Tensor, norm: Norm) -> Tensor:
    """Beyond the hyperplane, from a mix of the iterate and the clean image, (rows, pixels)."""
    ends, normal = torch.stack([points, clean], dim=1), normal[:, None]
    gaps = gap[:, None] + ((ends - points[:, None]) * normal).sum(dim=-1)
    moves = shortest_move(ends, normal=normal, gap=gaps, norm=norm)
    near, far = _length(moves, norm).clamp_min(1e-8).unbind(dim=1)
    alpha = (near / (near + far)).clamp(max=ALPHA_MAX)
    beyond = torch.add(ends, moves, alpha=ETA)
    return torch.lerp(beyond[:, 0], beyond[:, 1], alpha[:, None]).clamp(0, 1)


def _length(moves: Tensor, norm: Norm) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(moves, ord=torch.inf if norm == "Linf" else 2, dim=-1)
    return length
