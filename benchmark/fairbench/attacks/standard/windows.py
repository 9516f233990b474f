"""The two proposal distributions of Square: squares of one colour on L-inf, bumps that move mass between windows on L2.

A class here turns uniform numbers into points; it draws none itself. Whatever does not depend on the search is planned
for a block of queries at once, one window for every image, so that a query costs few kernels.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from fairbench.attacks.ball import Ball
from fairbench.protocol.threat import Norm


class Windows(Protocol):
    """How Square starts, and what a query changes.

    Attributes:
        start_shape: of the numbers that the start of an image takes.
        numbers: how many a query takes for each image.
        names: how many windows of a size there may be for an image; 0 where they have no names.
    """

    start_shape: tuple[int, ...]
    numbers: int
    names: int

    def side(self, area: float) -> int:
        """Of a window with about this many pixels."""

    def start(self, ball: Ball, uniform: Tensor) -> Tensor:
        """First points, from (n, *start_shape) numbers in [0, 1)."""

    def plan(self, uniform: Tensor, sides: Tensor) -> tuple[Tensor, ...]:
        """The windows of a block, (queries, n, ...) each, from (queries, n, numbers) in [0, 1) and sides (queries,)."""

    def named(self, uniform: Tensor, sides: Tensor) -> Tensor | None:
        """A number below `names` for each of these windows, (queries, n), equal for equal ones of a size only."""

    def change(self, ball: Ball, best: Tensor, windows: Sequence[Tensor], side: int) -> Tensor:
        """The points of queries, from the best ones so far and a window for each, (n, ...)."""


def windows(norm: Norm, shape: Sequence[int]) -> Windows:
    """The proposals of a norm for images of this shape (channels, height, width)."""
    return Squares(shape) if norm == "Linf" else Bumps(shape)


class Squares:
    """L-inf: every channel of a square moves by plus or minus twice the radius, then back into the ball.

    Args:
        shape: of an image, (channels, height, width).
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self._channels, self._height, self._width = shape
        self.start_shape: tuple[int, ...] = (self._channels, 1, self._width)
        self.numbers = 2 + self._channels
        self.names = self._height * self._width * 3**self._channels

    def side(self, area: float) -> int:
        """Rounded; at least one pixel."""
        return min(max(round(math.sqrt(area)), 1), self._height, self._width)

    def start(self, ball: Ball, uniform: Tensor) -> Tensor:
        """Vertical stripes."""
        return (ball.centre + ball.radius * _signs(uniform)).clamp(0, 1)

    def plan(self, uniform: Tensor, sides: Tensor) -> tuple[Tensor, ...]:
        """Signs where the rows lie in the window, (queries, n, channels, height, 1), and 1 where the columns do."""
        rows = _within(_offsets(uniform[..., 0], self._height, sides), self._height, sides)
        columns = _within(_offsets(uniform[..., 1], self._width, sides), self._width, sides)
        signs = _signs(uniform[..., 2:])
        return signs[..., None, None] * rows[:, :, None, :, None], columns[:, :, None, None]

    def named(self, uniform: Tensor, sides: Tensor) -> Tensor:
        """Where it lies, then the sign of every channel, which is 0 once in millions."""
        top, left = (_offsets(uniform[..., k], size, sides) for k, size in enumerate((self._height, self._width)))
        name = top * self._width + left
        for sign in _signs(uniform[..., 2:]).long().unbind(dim=-1):
            name = 3 * name + sign + 1
        return name

    def change(self, ball: Ball, best: Tensor, windows: Sequence[Tensor], side: int) -> Tensor:
        """Add the squares and clip."""
        del side
        rows, columns = windows
        return ball.project(torch.addcmul(best, 2 * ball.radius * rows, columns))


class Bumps:
    """L2: what two windows hold moves into the first, in the shape of two bumps of opposite sign.

    Args:
        shape: of an image, (channels, height, width).
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self._channels, self._height, self._width = shape
        # Five rows of tiles as in the reference, whose tiles must fit; here an image of any size cuts them off.
        self._tile = min(max(self._height // 5, 1), self._width)
        self._border = min(self._height % 5, self._width - 1) // 2
        self.start_shape: tuple[int, ...] = (self._height // self._tile, self._width // self._tile, 1 + self._channels)
        self.numbers = 5 + self._channels
        self.names = 0
        self._bumps: dict[int, Tensor] = {}

    def side(self, area: float) -> int:
        """Rounded, then made odd; at least three pixels where the image has them."""
        return min(max(round(math.sqrt(area)), 3) // 2 * 2 + 1, self._height, self._width)

    def start(self, ball: Ball, uniform: Tensor) -> Tensor:
        """A tiling by pairs of bumps."""
        tile, border = self._tile, self._border
        bumps = self._turned(uniform[..., 0], tile)[..., None, :, :] * _signs(uniform[..., 1:])[..., None, None]
        rows, columns = bumps.shape[1:3]
        tiled = bumps.permute(0, 3, 1, 4, 2, 5).reshape(-1, self._channels, rows * tile, columns * tile)
        right, bottom = self._width - border - columns * tile, self._height - border - rows * tile
        return _on_sphere(ball, F.pad(tiled, (border, right, border, bottom)))

    def plan(self, uniform: Tensor, sides: Tensor) -> tuple[Tensor, ...]:
        """First pixels of both windows, (queries, n); the number that turns the bumps; their signs per channel."""
        top, left, other_top, other_left = (
            _offsets(uniform[..., k], (self._height, self._width)[k % 2], sides) for k in range(4)
        )
        first, second = top * self._width + left, other_top * self._width + other_left
        return first, second, uniform[..., 4], _signs(uniform[..., 5:])

    def named(self, uniform: Tensor, sides: Tensor) -> None:
        """No names: too many pairs of windows, each turned either way."""

    def change(self, ball: Ball, best: Tensor, windows: Sequence[Tensor], side: int) -> Tensor:
        """Empty both windows; fill the first with bumps plus what was there, and with what the ball has to spare."""
        delta = (best - ball.centre).flatten(-2)
        steps = torch.arange(side, device=delta.device)
        square = (steps[:, None] * self._width + steps).flatten()
        corners, (turn, signs) = windows[:2], windows[2:]
        first, second = (
            (corner[..., None] + square)[..., None, :].expand(*corner.shape, self._channels, -1) for corner in corners
        )
        held = delta.expand(*turn.shape, *delta.shape[1:]).gather(-1, first)
        rest = delta.expand(*turn.shape, *delta.shape[1:]).scatter(-1, first, 0.0).scatter(-1, second, 0.0)
        # What the ball has to spare is round-off for most points, and its root is not: to repeat the reference, each
        # length is rounded where the reference rounds it.
        spare = (ball.radius.view(-1, 1, 1) ** 2 - _length(delta.flatten(1))[..., None] ** 2).clamp_min(0)
        filled = (spare / self._channels + _length(delta - rest) ** 2).sqrt()
        bumps = self._turned(turn, side).flatten(-2)[..., None, :] * signs[..., None] + _unit(held)
        return _on_sphere(ball, rest.scatter(-1, first, _unit(bumps) * filled).view(*turn.shape, *best.shape[1:]))

    def _turned(self, uniform: Tensor, side: int) -> Tensor:
        """The pair of bumps of unit length, one above the other or side by side, (..., side, side)."""
        if side not in self._bumps:
            upright = torch.cat([_bump(side // 2, side), -_bump(side - side // 2, side)])
            upright /= _length(upright.flatten())
            self._bumps[side] = torch.stack([upright, upright.T]).to(uniform)
        return self._bumps[side][(uniform > 0.5).long()]


def _bump(height: int, width: int) -> Tensor:
    """Squares around the centre, each two pixels wider than the last and less high: 1, 1/4, 1/9, ..."""
    centre = height // 2, width // 2
    down, across = ((torch.arange(size) - middle).abs() for size, middle in zip((height, width), centre, strict=True))
    distance, bump = torch.maximum(down[:, None], across), torch.zeros(height, width)
    for k in range(max(centre) + 1):
        bump += (distance <= k) / (k + 1) ** 2
    return bump / _length(bump.flatten())


def _on_sphere(ball: Ball, delta: Tensor) -> Tensor:
    """The images plus the perturbation, stretched to the radius and clipped to [0, 1]."""
    return (ball.centre + ball.radius * _unit(delta.flatten(-3)).view_as(delta)).clamp(0, 1)


def _unit(vectors: Tensor) -> Tensor:
    """Of length one along the last dimension; zero where they are zero."""
    return vectors / (_length(vectors) + 1e-12)


def _length(vectors: Tensor) -> Tensor:
    """Euclidean, along the last dimension, which is kept."""
    return vectors.square().sum(dim=-1, keepdim=True).sqrt()


def _signs(uniform: Tensor) -> Tensor:
    """-1 or 1."""
    return torch.sign(2 * uniform - 1)


def _offsets(uniform: Tensor, size: int, sides: Tensor) -> Tensor:
    """First rows (or columns) of windows, (queries, n); the last possible one is left out, as in the reference."""
    return (uniform * (size - sides)[:, None]).long()


def _within(offsets: Tensor, size: int, sides: Tensor) -> Tensor:
    """1 where a row (or column) lies in the window, else 0, (queries, n, size)."""
    after = torch.arange(size, device=offsets.device) - offsets[..., None]
    return ((after >= 0) & (after < sides[:, None, None])).float()
