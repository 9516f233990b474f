"""Square: random search with square windows and no gradients (Andriushchenko et al., ECCV 2020).

    square(model, images, labels, indices=indices, threat=threat, noise=ImageNoise(0))

Every query changes one window of the best point so far and keeps the change if the lead falls. Positions and signs
are drawn in blocks of queries and for every image on its own, where the reference draws one window for all of them.

What is found is what one query after the other finds, but the model is asked less often. A window that changes nothing
is passed over: on L-inf 44 % of 5,000 on digits, 18 % on MNIST, 1 % in colour. And where the images left do not fill
the processor, the next queries of each are asked together, all from its best point: the first that is better counts,
and those behind it are asked again from there.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

from fairbench.attacks.ball import Ball
from fairbench.attacks.standard.found import Found, Predict
from fairbench.attacks.standard.noise import NoiseSource
from fairbench.attacks.standard.rechecking import lead, rechecked
from fairbench.attacks.standard.steady import steady
from fairbench.attacks.standard.windows import Windows, windows
from fairbench.protocol.threat import Threat

BLOCK = 100
"""Queries drawn at once. It is part of the name of the noise: another value draws other numbers."""

SHARE = 0.8
"""Of the image's area that the first windows take."""

WORTHWHILE = 0.9
"""Up to which share of changed images they are picked out; to look and to copy costs as much as asking for the rest."""

FULL = 1 << 15
"""Numbers in a batch that fill a core of a CPU: 512 images of digits, 41 of MNIST, 10 in colour."""

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Queries, counted from zero, after which that share is halved, however many there are in all."""


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
        noise: of the start and of every query.
        queries: after the start.
        block: queries drawn at once.
        rows: up to which queries are asked together; it changes the speed, not what is found.
        exact: confirms what a cheaper `model` claims, see `rechecked`.
    """
    moves = windows(threat.norm, images.shape[1:])
    sides = _sides(moves, height=images.shape[2], width=images.shape[3], queries=queries)
    if images.device.type == "cpu":
        rows = min(rows, FULL // images[0].numel())
    search = _Search(steady(model), images, labels, threat=threat, exact=exact)
    with torch.no_grad():
        search.start(
            moves.start(search.ball, noise.uniform("square", "start", indices=indices, shape=moves.start_shape))
        )
        for first in range(0, queries, block):
            if len(search.rows) == 0:
                break
            some = sides[first : first + block]
            search.walk(moves, _plan(moves, noise, indices[search.rows], first=first, sides=some), some, rows=rows)
    return Found(images=search.found, broken=search.broken)


class _Search:
    """The images still attacked, one row each; `found` and `broken` are of all, in input order.

    Args:
        model: of steady batches.
        images: clean, (images, channels, height, width).
        labels: (images,).
        threat: norm and radius.
        exact: see `rechecked`.

    Attributes:
        found: broken images as they break, others clean.
        broken: (images,) bool.
        rows: positions in the input, (n,).
        ball: around the clean images, n of them.
    """

    def __init__(
        self, model: Predict, images: Tensor, labels: Tensor, *, threat: Threat, exact: Predict | None
    ) -> None:
        self._model, self._exact = model, exact
        self.found, self.broken = images.clone(), torch.zeros_like(labels, dtype=torch.bool)
        self.rows = torch.arange(len(images), device=images.device)
        self.ball = Ball(threat.norm, images, threat.epsilon)
        self._labels, self._best = labels, images.clone()
        self._lead = torch.full_like(labels, torch.inf, dtype=images.dtype)
        self._slots = self._next = self.rows  # in a block of windows: the image's column, and the row of its next query
        self._chance = 1.0  # that a query finds something better

    def start(self, points: Tensor) -> None:
        """The first points, (images, channels, height, width), whatever their lead."""
        self._take(self.rows, points, *self._measured(points, self._labels))

    def walk(self, moves: Windows, plan: Sequence[Tensor], sides: Sequence[int], *, rows: int) -> None:
        """All queries of a block, (queries, n, ...) each, with windows of these sides."""
        self._slots = torch.arange(len(self.rows), device=self.rows.device)
        for side, stretch in groupby(range(len(sides)), key=sides.__getitem__):
            queries, images = list(stretch), len(self.rows)
            if images == 0:
                return
            ahead = min(rows // images, int(0.5 / self._chance))
            if ahead > 1:
                asked, better = self._ask_ahead(moves, plan, side, queries, ahead=ahead)
            else:
                asked, better = self._ask_in_step(moves, plan, side, queries)
            self._chance = (better + 1) / (asked + 1)

    def _ask_in_step(
        self, moves: Windows, plan: Sequence[Tensor], side: int, queries: Sequence[int]
    ) -> tuple[int, int]:
        """One query after the other, the same of all images; how many were asked, and how many were better."""
        asked, improved, idle = 0, 0, True
        for query in queries:
            points = moves.change(self.ball, self._best, [part[query][self._slots] for part in plan], side)
            image = torch.arange(len(points), device=points.device)
            if idle:
                some = _changed(points, self._best).nonzero().flatten()
                idle = len(some) < WORTHWHILE * len(points)  # else look again with the next size of windows
                image, points = (some, points[some]) if idle else (image, points)
            reached, logits = self._measured(points, self._labels[image])
            better = (reached < self._lead[image]).nonzero().flatten()
            asked, improved = asked + len(points), improved + len(better)
            self._take(image[better], points[better], reached[better], logits[better])
        return asked, improved

    def _ask_ahead(
        self, moves: Windows, plan: Sequence[Tensor], side: int, queries: Sequence[int], *, ahead: int
    ) -> tuple[int, int]:
        """The next few queries of every image together, as far as it is; otherwise as `_ask_in_step`."""
        asked, improved, stop = 0, 0, queries[-1] + 1
        self._next = torch.full_like(self._slots, queries[0])
        steps = torch.arange(ahead, device=self._slots.device)
        while len(behind := (self._next < stop).nonzero().flatten()) > 0:
            query = self._next[behind] + steps[:, None]  # (ahead, behind)
            inside, slots = query < stop, self._slots[behind]
            best, ball = self._best[behind], self.ball.rows(behind)
            points = moves.change(ball, best, [part[query.clamp(max=stop - 1), slots] for part in plan], side)
            step, which = (_changed(points, best) & inside).nonzero(as_tuple=True)
            image, points = behind[which], points[step, which]
            reached, logits = self._measured(points, self._labels[image])
            better = reached < self._lead[image]
            # What follows the first better query of an image did not start from its best point, and is asked again.
            first = torch.full_like(self._next, ahead).scatter_reduce(0, image[better], step[better], "amin")
            self._next = (self._next + (first + 1).clamp(max=ahead)).clamp(max=stop)
            taken = (better & (step == first[image])).nonzero().flatten()
            asked, improved = asked + len(points), improved + len(taken)
            self._take(image[taken], points[taken], reached[taken], logits[taken])
        return asked, improved

    def _measured(self, points: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Margins, (m,), and the logits that they come from."""
        logits = self._model(points)
        reached = lead(logits, labels)
        if bool((reached <= 0).any()):
            logits = rechecked(logits, points, labels, exact=self._exact)
            reached = lead(logits, labels)
        return reached, logits

    def _take(self, image: Tensor, points: Tensor, reached: Tensor, logits: Tensor) -> None:
        """Better points of some images, (m,). A tie breaks if the prediction is wrong; else the search goes on.

        The reference ends at any tie. In fp32 there is none; in half precision it would hide breaks.
        """
        self._best[image], self._lead[image] = points, reached
        wrong = (reached <= 0) & (logits.argmax(dim=1) != self._labels[image])
        if not bool(wrong.any()):
            return
        rows = self.rows[image[wrong]]
        self.found[rows], self.broken[rows] = points[wrong], True
        left = (~self.broken[self.rows]).nonzero().flatten()
        self.rows, self.ball, self._labels = self.rows[left], self.ball.rows(left), self._labels[left]
        self._best, self._lead = self._best[left], self._lead[left]
        self._slots, self._next = self._slots[left], self._next[left]


def _changed(points: Tensor, best: Tensor) -> Tensor:
    """Whether points, (..., channels, height, width), are others than the best ones, (...)."""
    return (points != best).flatten(-3).any(dim=-1)


def _sides(moves: Windows, *, height: int, width: int, queries: int) -> list[int]:
    """Of the window of every query."""
    shares = (SHARE / 2 ** bisect_left(HALVINGS, query) for query in range(queries))
    return [moves.side(share * height * width) for share in shares]


def _plan(moves: Windows, noise: NoiseSource, indices: Tensor, *, first: int, sides: Sequence[int]) -> Sequence[Tensor]:
    """The windows of a block of queries."""
    uniform = noise.uniform("square", first, indices=indices, shape=(len(sides), moves.numbers))
    return moves.plan(uniform.transpose(0, 1).contiguous(), torch.tensor(sides, device=indices.device))
