"""Square: random search with square windows and no gradients (Andriushchenko et al., ECCV 2020).

    square(model, images, labels, indices=indices, threat=threat, noise=ImageNoise(0))

Every query changes one window of the best point so far and keeps the change if the margin falls. Positions and signs
are drawn in blocks of queries and for every image on its own, where the reference draws one window for all of them.

Many windows on L-inf change nothing: of 5,000, 44 % on digits, 18 % on MNIST, 1 % in colour. Not to ask the model again
made the attack 6 and 11 % faster there (one core), and others, on L2 and on few images, up to 17 % slower.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fairbench.attacks.ball import Ball
from fairbench.attacks.standard.found import Found, Predict
from fairbench.attacks.standard.noise import NoiseSource
from fairbench.attacks.standard.rechecking import margin, rechecked
from fairbench.attacks.standard.steady import steady
from fairbench.attacks.standard.windows import Windows, windows
from fairbench.suite import Threat

BLOCK = 100
"""Queries drawn at once. It is part of the name of the noise: another value draws other numbers."""

SHARE = 0.8
"""Of the image's area that the first windows take."""

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Queries, counted from zero, after which that share is halved, however many there are in all."""


class _Search(NamedTuple):
    """The images still attacked, one row each.

    Attributes:
        rows: positions in the batch, (n,).
        indices: in the test set, (n,).
        clean: images, (n, channels, height, width).
        labels: (n,).
        best: the point with the smallest margin, as the images.
        margin: there, (n,).
    """

    rows: Tensor
    indices: Tensor
    clean: Tensor
    labels: Tensor
    best: Tensor
    margin: Tensor


def square(
    model: Predict,
    images: Tensor,
    labels: Tensor,
    *,
    indices: Tensor,
    threat: Threat,
    noise: NoiseSource,
    queries: int = 5000,
    block: int = BLOCK,
    exact: Predict | None = None,
) -> Found:
    """Attack images that are classified correctly.

    Args:
        model: frozen and in eval mode.
        images: (n, channels, height, width), float32 in [0, 1].
        labels: (n,) int64.
        indices: of the images in the test set, (n,) int64; they key the noise.
        threat: norm and radius.
        noise: of the start and of every query.
        queries: after the start.
        block: queries drawn at once.
        exact: confirms what a cheaper `model` claims, see `rechecked`.
    """
    predict, moves = steady(model), windows(threat.norm, images.shape[1:])
    sides = _sides(moves, height=images.shape[2], width=images.shape[3], queries=queries)
    found, broken = images.clone(), torch.zeros_like(labels, dtype=torch.bool)
    ball = Ball(threat.norm, images, threat.epsilon)
    points = moves.start(ball, noise.uniform("square", "start", indices=indices, shape=moves.start_shape))
    search = _Search(
        rows=torch.arange(len(images), device=images.device),
        indices=indices,
        clean=images,
        labels=labels,
        best=points,
        margin=torch.full_like(labels, torch.inf, dtype=points.dtype),
    )
    planned: Sequence[Tensor] = ()  # the windows of the next queries, (queries, n, ...)
    with torch.no_grad():
        for query in range(queries + 1):
            logits = predict(points)
            reached = margin(logits, search.labels)
            if bool((reached <= 0).any()):
                logits = rechecked(logits, points, search.labels, exact=exact)
                reached = margin(logits, search.labels)
                # A tie ends the search as in the reference, but is a break only if the prediction says so.
                wrong, kept = logits.argmax(dim=1) != search.labels, (reached > 0).nonzero().flatten()
                found[search.rows[wrong]], broken[search.rows[wrong]] = points[wrong], True
                search = _Search(*(part[kept] for part in search))
                points, reached = points[kept], reached[kept]
                planned = [part[:, kept] for part in planned]
                ball = Ball(threat.norm, search.clean, threat.epsilon)
            # 0 or 1: `lerp` returns either end exactly, in a quarter of the time of `torch.where` on a CPU.
            better = (reached < search.margin).to(points.dtype).view(-1, 1, 1, 1)
            search = search._replace(
                best=torch.lerp(search.best, points, better), margin=torch.minimum(reached, search.margin)
            )
            if query == queries or len(search.rows) == 0:
                break
            if query % block == 0:
                planned = _plan(moves, noise, search.indices, first=query, sides=sides[query : query + block])
            points = moves.change(ball, search.best, [part[0] for part in planned], sides[query])
            planned = [part[1:] for part in planned]
    return Found(images=found, broken=broken)


def _sides(moves: Windows, *, height: int, width: int, queries: int) -> list[int]:
    """Of the window of every query."""
    shares = (SHARE / 2 ** bisect_left(HALVINGS, query) for query in range(queries))
    return [moves.side(share * height * width) for share in shares]


def _plan(moves: Windows, noise: NoiseSource, indices: Tensor, *, first: int, sides: Sequence[int]) -> Sequence[Tensor]:
    """The windows of a block of queries."""
    uniform = noise.uniform("square", first, indices=indices, shape=(len(sides), moves.numbers))
    return moves.plan(uniform.transpose(0, 1).contiguous(), torch.tensor(sides, device=indices.device))
