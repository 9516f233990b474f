"""Square: random search with square windows and no gradients (Andriushchenko et al., ECCV 2020).

    square(model, images, labels, indices=indices, threat=threat, noise=ImageNoise(0))

Every query changes one window of the best point so far and keeps the change if the lead falls. Positions and signs
are drawn in blocks of queries and for every image on its own, where the reference draws one window for all of them.

What is found is what one query after the other finds, but the model is asked less often. A window is passed over if it
changes nothing, or if it was drawn before and was no better than the best point, which is still the same: small images
have few windows, 98 of one pixel on digits. And where the images left do not fill the processor, the next queries of
each are asked together, all from its best point: the first that is better counts, and those behind it are asked again
from there.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

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

REMEMBERED = 1 << 10
"""Windows of an image up to which it is remembered which were asked about; of more, few come again."""

WORTHWHILE = 0.9
"""Up to which share of all images some are picked out; to look and to copy costs as much as asking for the rest."""

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
    every: bool = False,
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
        every: ask about windows that cannot be better, too; what is found is the same.
    """
    moves = windows(threat.norm, images.shape[1:])
    sides = _sides(moves, height=images.shape[2], width=images.shape[3], queries=queries)
    if images.device.type == "cpu":
        rows = min(rows, FULL // images[0].numel())
    search = _Search(steady(model), images, labels, moves=moves, threat=threat, exact=exact, every=every)
    with torch.no_grad():
        search.start(noise.uniform("square", "start", indices=indices, shape=moves.start_shape))
        for first in range(0, queries, block):
            if len(search.rows) == 0:
                break
            some = sides[first : first + block]
            shape = (len(some), moves.numbers)
            search.walk(noise.uniform("square", first, indices=indices[search.rows], shape=shape), some, rows=rows)
    return Found(images=search.found, broken=search.broken)


class _Picked(NamedTuple):
    """Queries that are asked together.

    Attributes:
        image: row, (m,).
        query: in the block, (m,).
        real: whether it is meant, (m,); what is not fills up the batch and does not count.
        in_order: whether the rows are all there are, one query of each, so that nothing has to be copied.
    """

    image: Tensor
    query: Tensor
    real: Tensor
    in_order: bool


class _Search:
    """The images still attacked, one row each; `found` and `broken` are of all, in input order.

    Args:
        model: of steady batches.
        images: clean, (images, channels, height, width).
        labels: (images,).
        moves: how it starts, and what a query changes.
        threat: norm and radius.
        exact: see `rechecked`.
        every: see `square`.

    Attributes:
        found: broken images as they break, others clean.
        broken: (images,) bool.
        rows: positions in the input, (n,).
        ball: around the clean images, n of them.
    """

    def __init__(
        self,
        model: Predict,
        images: Tensor,
        labels: Tensor,
        *,
        moves: Windows,
        threat: Threat,
        exact: Predict | None,
        every: bool,
    ) -> None:
        self._model, self._exact, self._moves, self._every = model, exact, moves, every
        self.found, self.broken = images.clone(), torch.zeros_like(labels, dtype=torch.bool)
        self.rows = torch.arange(len(images), device=images.device)
        self.ball = Ball(threat.norm, images, threat.epsilon)
        self._labels, self._best = labels, images.clone()
        self._lead = torch.full_like(labels, torch.inf, dtype=images.dtype)
        self._slots = self._next = self.rows  # in a block of windows: the image's column, and the row of its next query
        remembered = 0 if every or moves.names > REMEMBERED else moves.names
        # Windows that are not better, by name.
        self._known = labels.new_zeros(len(images), remembered, dtype=torch.bool)
        self._side = 0  # of those windows
        self._chance = 1.0  # that a query finds something better

    def start(self, uniform: Tensor) -> None:
        """The first points, from numbers in [0, 1), (images, ...), whatever their lead."""
        points = self._moves.start(self.ball, uniform)
        self._take(self.rows, points, *self._measured(points, self._labels))

    def walk(self, uniform: Tensor, sides: Sequence[int], *, rows: int) -> None:
        """All queries of a block, from (n, queries, numbers) in [0, 1), with windows of these sides."""
        self._slots = torch.arange(len(self.rows), device=self.rows.device)
        drawn, by_query = uniform.transpose(0, 1).contiguous(), torch.tensor(sides, device=uniform.device)
        plan = self._moves.plan(drawn, by_query)
        names = self._moves.named(drawn, by_query) if self._known.shape[1] else None
        for side, stretch in groupby(range(len(sides)), key=sides.__getitem__):
            queries = list(stretch)
            if side != self._side:
                self._side = side
                self._known.zero_()
            asked, better = self._ask(plan, names, range(queries[0], queries[-1] + 1), rows=rows)
            self._chance = (better + 1) / (asked + 1)

    def _ask(self, plan: Sequence[Tensor], names: Tensor | None, queries: range, *, rows: int) -> tuple[int, int]:
        """The queries of every image, the next few of it together; how many were asked, and how many were better."""
        asked, improved, look = 0, 0, not self._every
        self._next = torch.full_like(self._slots, queries.start)
        while (picked := self._pick(names, queries, rows=rows)) is not None:
            image, query, real, in_order = picked
            best, ball = (self._best, self.ball) if in_order else (self._best[image], self.ball.rows(image))
            points = self._moves.change(ball, best, [part[query, self._slots[image]] for part in plan], self._side)
            self._next.scatter_reduce_(0, image[real], query[real] + 1, "amax")
            if names is not None:
                self._known[image[real], names[query, self._slots[image]][real]] = True
            if look:
                real &= _changed(points, best)
                some = real.nonzero().flatten()
                look = len(some) < WORTHWHILE * len(points)  # else look again with the next size of windows
                if look:
                    image, query, points, real = image[some], query[some], points[some], real[some]
            asked, improved = asked + len(points), improved + self._try(image, query, points, real)
        return asked, improved

    def _pick(self, names: Tensor | None, queries: range, *, rows: int) -> _Picked | None:
        """What to ask about together; None at the end."""
        numbers = torch.arange(queries.start, queries.stop, device=self.rows.device)
        unknown = None
        if names is not None:
            unknown = ~self._known.gather(1, names[numbers][:, self._slots].T)  # (n, queries)
            due = unknown & (numbers >= self._next[:, None])
            self._next = torch.where(due.any(dim=1), queries.start + due.int().argmax(dim=1), queries.stop)
        waits = self._next < queries.stop
        waiting = int(waits.sum())
        if waiting == 0:
            return None
        ahead = max(1, min(rows // waiting, int(0.5 / self._chance)))
        if ahead == 1 and waiting >= WORTHWHILE * len(self.rows):
            every = torch.arange(len(self.rows), device=self.rows.device)
            return _Picked(every, self._next.clamp(max=queries.stop - 1), waits, in_order=True)
        due = numbers >= self._next[:, None]
        due = due if unknown is None else due & unknown
        image, column = (due & (due.cumsum(dim=1) <= ahead)).nonzero(as_tuple=True)
        return _Picked(image, numbers[column], torch.ones_like(image, dtype=torch.bool), in_order=False)

    def _try(self, image: Tensor, query: Tensor, points: Tensor, real: Tensor) -> int:
        """Points of some images, (m,), made of their best ones; how many images have a better one now.

        The first that is better is taken. What follows it did not start from there, and is due again; so are windows
        that were no better than the last one.
        """
        if len(image) == 0:
            return 0
        reached, logits = self._measured(points, self._labels[image])
        better = (real & (reached < self._lead[image])).nonzero().flatten()
        first = torch.full_like(self._next, torch.iinfo(torch.int64).max)
        first.scatter_reduce_(0, image[better], query[better], "amin")
        better = better[query[better] == first[image[better]]]
        self._next[image[better]], self._known[image[better]] = query[better] + 1, False
        self._take(image[better], points[better], reached[better], logits[better])
        return len(better)

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
        self._slots, self._next, self._known = self._slots[left], self._next[left], self._known[left]


def _changed(points: Tensor, best: Tensor) -> Tensor:
    """Whether points, (m, channels, height, width), are others than the best ones."""
    return (points != best).flatten(1).any(dim=1)


def _sides(moves: Windows, *, height: int, width: int, queries: int) -> list[int]:
    """Of the window of every query."""
    shares = (SHARE / 2 ** bisect_left(HALVINGS, query) for query in range(queries))
    return [moves.side(share * height * width) for share in shares]
