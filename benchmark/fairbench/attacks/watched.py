"""The model as AutoAttack calls it."""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from fairbench.attacks.ball import Region
from fairbench.attacks.judging import Judged

HEARTBEAT = 0.5
"""Seconds between two calls of the progress listener within a chunk."""


class Watched:
    """A model that tells the time, and whose logits, if they are not finite, neither derail an attack nor escape it.

    An attack compares and sorts logits, so a NaN would end it or hide a break. Such rows are handed on as zeros, and
    an image is marked if the point lies in its ball: that is an adversarial example, whichever attack came across it.

    Args:
        judged: the model.
        ball: around the images of the chunk.
        heartbeat: told the number of calls so far, every half second.
    """

    def __init__(self, judged: Judged, ball: Region, *, heartbeat: Callable[[int], None]) -> None:
        self.nonfinite = torch.zeros(len(ball.centre), dtype=torch.bool, device=ball.centre.device)
        self._judged = judged
        self._ball = ball
        self._heartbeat = heartbeat
        self._calls = 0
        self._next_beat = time.monotonic() + HEARTBEAT

    def __call__(self, points: Tensor) -> Tensor:
        """Logits of the points, (n, classes), all finite."""
        self._calls += 1
        if time.monotonic() > self._next_beat:
            self._next_beat = time.monotonic() + HEARTBEAT
            self._heartbeat(self._calls)
        if len(points) == 0:  # Square goes on without images where every margin is negative or zero
            return points.new_zeros(0, self._judged.classes)
        logits: Tensor = self._judged(points)
        finite = logits.isfinite().all(dim=1)
        if not finite.all():
            self._mark(points.detach()[~finite])
        return torch.where(finite[:, None], logits, 0.0)  # always a copy: Square writes into it

    def _mark(self, points: Tensor) -> None:
        for point in points[points.isfinite().flatten(1).all(dim=1)]:
            self.nonfinite |= self._ball.contains(point.expand_as(self._ball.centre))
