"""The L1 ball around every image, intersected with [0, 1], and the nearest point of that set.

The nearest point of the intersection is not that of the ball, clipped: for a move d the solution is

    d_i <- sign(d_i) min( max(|d_i| - t, 0), room_i ),    room_i = 1 - x_i where d_i > 0, else x_i

with the smallest t >= 0 for which sum |d_i| <= radius (Croce and Hein, ICML 2021, "Mind the box"). The sum is piecewise
linear in t and falls, so that Newton's method, kept within a bracket, ends on it after a few steps, without sorting.
"""

from copy import copy

import torch
from torch import Tensor

STEPS = 50
"""Of the search for t; about ten are needed."""


class L1Ball:
    """A ball per image.

    Args:
        centre: clean images, (batch, channels, height, width) in [0, 1].
        radius: scalar or (batch,).
    """

    norm = "L1"

    def __init__(self, centre: Tensor, radius: float | Tensor) -> None:
        self.centre = centre
        self.radius = (
            torch.as_tensor(radius, dtype=centre.dtype, device=centre.device).expand(len(centre)).reshape(-1, 1, 1, 1)
        )

    def rows(self, rows: Tensor) -> "L1Ball":
        """The balls of some images, in that order."""
        some = copy(self)
        some.centre, some.radius = self.centre[rows], self.radius[rows]
        return some

    def contains(self, points: Tensor) -> Tensor:
        """Whether each point is finite, in the ball (plus round-off) and in [0, 1], (batch,)."""
        length = (points.double() - self.centre.double()).abs().flatten(1).sum(dim=1)
        inside = ((points >= 0) & (points <= 1)).flatten(1).all(dim=1)
        # A pixel that moved is a rounded float32, by up to 3e-8 in [0, 1].
        tolerance = 1e-6 + 3e-8 * self.centre[0].numel()
        return inside & (length <= self.radius.flatten().double() + tolerance)

    def project(self, points: Tensor) -> Tensor:
        """The nearest points of the set."""
        delta = (points - self.centre).flatten(1)
        centre, radius = self.centre.flatten(1), self.radius.flatten(1)
        size = delta.abs()
        room = torch.where(delta > 0, 1 - centre, centre)
        threshold = torch.zeros_like(radius)
        low, high = threshold - 1, size.amax(dim=1, keepdim=True)  # t = 0 itself may be the solution
        for _ in range(STEPS):
            left = size - threshold
            excess = torch.minimum(left.clamp_min(0), room).sum(dim=1, keepdim=True) - radius
            open_ = (excess.abs() > 1e-6 * radius) & ~((threshold == 0) & (excess < 0))
            if not bool(open_.any()):
                break
            low, high = torch.where(excess > 0, threshold, low), torch.where(excess > 0, high, threshold)
            slope = ((left > 0) & (left < room)).sum(dim=1, keepdim=True)
            newton = threshold + excess / slope.clamp_min(1)
            within = (slope > 0) & (newton > low) & (newton < high)
            threshold = torch.where(open_, torch.where(within, newton, (low + high) / 2), threshold)
        kept = torch.minimum((size - threshold).clamp_min(0), room)
        kept = kept * (radius / kept.sum(dim=1, keepdim=True).clamp_min(1e-12)).clamp(max=1)
        return (self.centre + (delta.sign() * kept).view_as(self.centre)).clamp(0, 1)
