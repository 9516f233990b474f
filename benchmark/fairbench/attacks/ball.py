"""The set an attack may search: a norm ball around every image, intersected with [0, 1]."""

from copy import copy
from typing import Protocol

import torch
from torch import Tensor

from fairbench.protocol.threat import Norm


class Region(Protocol):
    """Where points of an attack count: a set around every image, within [0, 1].

    Attributes:
        centre: clean images, (batch, channels, height, width).
        radius: of the set in its norm, (batch, 1, 1, 1).
    """

    centre: Tensor
    radius: Tensor

    @property
    def norm(self) -> str:
        """In which the set is a ball."""

    def contains(self, points: Tensor) -> Tensor:
        """Whether each point is finite and in the set, (batch,)."""

    def project(self, points: Tensor) -> Tensor:
        """Points of the set, near the given ones."""


class Ball:
    """A ball per image.

    Args:
        norm: `Linf` or `L2`.
        centre: clean images, (batch, channels, height, width) in [0, 1].
        radius: scalar or (batch,).
    """

    def __init__(self, norm: Norm, centre: Tensor, radius: float | Tensor) -> None:
        self.norm = norm
        self.centre = centre
        self.radius = (
            torch.as_tensor(radius, dtype=centre.dtype, device=centre.device).expand(len(centre)).reshape(-1, 1, 1, 1)
        )
        if norm == "Linf":
            # Both clips in one: the ball's box, intersected with [0, 1].
            self._low = (centre - self.radius).clamp(0, 1)
            self._high = (centre + self.radius).clamp(0, 1)

    def rows(self, rows: Tensor | slice) -> "Ball":
        """The balls of some images, in that order."""
        some = copy(self)
        for name, values in vars(self).items():
            if isinstance(values, Tensor):
                setattr(some, name, values[rows])
        return some

    def project(self, points: Tensor, rows: Tensor | None = None) -> Tensor:
        """The points nearest to the ball, then to [0, 1]; `rows` says to which images they belong, all by default."""
        whole = rows is None or len(rows) == len(self.centre)
        if self.norm == "Linf":
            low, high = (self._low, self._high) if whole else (self._low[rows], self._high[rows])
            return torch.clamp(points, low, high)
        centre, radius = (self.centre, self.radius) if whole else (self.centre[rows], self.radius[rows])
        delta = points - centre
        length = torch.linalg.vector_norm(delta.flatten(1), dim=1).view(-1, 1, 1, 1)
        # Clipping afterwards moves towards the centre in every coordinate, so it cannot leave the ball.
        shrink: Tensor = (radius / length.clamp_min(1e-12)).clamp(max=1)
        return (centre + delta * shrink).clamp(0, 1)

    def uniform(self, generator: torch.Generator | None) -> Tensor:
        """Uniform points: per pixel in the box of L-inf, by direction and radius in the ball of L2."""
        noise = torch.empty_like(self.centre)
        if self.norm == "Linf":
            noise.uniform_(-1, 1, generator=generator)
            return (self.centre + self.radius * noise).clamp(0, 1)
        noise.normal_(generator=generator)
        pixels = noise[0].numel()
        share = torch.empty_like(self.radius).uniform_(generator=generator).pow(1 / pixels)
        direction: Tensor = noise / torch.linalg.vector_norm(noise.flatten(1), dim=1).view(-1, 1, 1, 1)
        return (self.centre + self.radius * share * direction).clamp(0, 1)

    def contains(self, points: Tensor, *, tolerance: float = 1e-6) -> Tensor:
        """Whether each point is finite, in the ball (plus the tolerance) and in [0, 1], (batch,)."""
        delta = (points - self.centre).flatten(1)
        length = delta.abs().amax(dim=1) if self.norm == "Linf" else torch.linalg.vector_norm(delta, dim=1)
        inside = (points >= 0).flatten(1).all(dim=1) & (points <= 1).flatten(1).all(dim=1)
        return inside & (length <= self.radius.flatten() + tolerance)
