"""How a convolution connects pixels: as a matrix in bands, and its way back by the pixels of a block.

Indices are positions in the flattened weight, (channels out, channels in, kernel height, kernel width); one beyond its
end stands for no weight, that is 0. They depend on the geometry alone and are kept.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

PRODUCTS = 1 << 18
"""Per image, up to which a convolution is done as a matrix, zeros included; half of them in a single band."""

Shape = tuple[int, int, int]
"""Channels, height, width."""


class Geometry(NamedTuple):
    """All that decides how a convolution connects pixels.

    Attributes:
        given: shape of the input.
        channels: of the output.
        kernel: height and width, as of the next two.
        stride: of the steps between two places.
        padding: zeros on either side.
    """

    given: Shape
    channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]

    @property
    def shape(self) -> Shape:
        """Of the output."""
        height, width = (
            (size + 2 * padding - kernel) // stride + 1
            for size, kernel, stride, padding in zip(
                self.given[1:], self.kernel, self.stride, self.padding, strict=True
            )
        )
        return self.channels, height, width


class Bands(NamedTuple):
    """Where a matrix is not zero: output pixels in equal bands, each of a contiguous range of input pixels.

    Attributes:
        blocks: different ones only; indices, (pixels in, pixels out of a band).
        block: which block every band has.
        inputs: the range of every band, first and one beyond the last.
    """

    blocks: list[Tensor]
    block: list[int]
    inputs: list[tuple[int, int]]


def as_images(rows: Tensor, shape: Shape) -> Tensor:
    """(n, channels, height, width), a view."""
    channels, height, width = shape
    return rows.view(-1, height, width, channels).permute(0, 3, 1, 2)


def as_rows(images: Tensor) -> Tensor:
    """The reverse; a view of images in channels-last order."""
    return images.permute(0, 2, 3, 1).flatten(1)


@lru_cache(maxsize=64)
def in_bands(geometry: Geometry) -> Bands | None:
    """The convolution as a matrix in bands of output rows; None if it has too many products."""
    rows, most = geometry.shape[1], math.prod(geometry.given) * math.prod(geometry.shape)
    if most > rows * PRODUCTS:  # nor are there zeros enough to leave out
        return None
    connections = _connections(geometry)
    nowhere = geometry.channels * geometry.given[0] * math.prod(geometry.kernel)
    for count in (count for count in range(1, rows + 1) if rows % count == 0):
        cut = []
        for band in connections.chunk(count, dim=1):
            touched = (band != nowhere).any(dim=1).nonzero().flatten().tolist()
            cut.append((touched[0], touched[-1] + 1) if touched else (0, 0))
        products = sum(beyond - first for first, beyond in cut) * connections.shape[1] // count
        if products <= (PRODUCTS if count == rows else PRODUCTS // 2):
            blocks: list[Tensor] = []
            which = []
            for band, (first, beyond) in zip(connections.chunk(count, dim=1), cut, strict=True):
                same = [k for k, block in enumerate(blocks) if torch.equal(block, band[first:beyond])]
                which.append(same[0] if same else len(blocks))
                if not same:
                    blocks.append(band[first:beyond].contiguous())
            return Bands(blocks, which, cut)
    return None


def _connections(geometry: Geometry) -> Tensor:
    """Which weight connects which pixels: indices, (pixels in, pixels out)."""
    channels, height, width = geometry.given
    count = channels * height * width
    numbers = torch.arange(1, geometry.channels * channels * math.prod(geometry.kernel) + 1, dtype=torch.float64)
    # An image with a single pixel of 1 shows the number of every weight that touches it.
    weight = numbers.view(geometry.channels, channels, *geometry.kernel)
    pixels = as_images(torch.eye(count, dtype=torch.float64), geometry.given)
    touched = as_rows(F.conv2d(pixels, weight, None, geometry.stride, geometry.padding)).long()
    return torch.where(touched == 0, len(numbers), touched - 1)


@lru_cache(maxsize=64)
def sub_pixels(geometry: Geometry) -> tuple[Tensor, tuple[int, int, int, int]]:
    """Weights of the way back, indices in its own shape, and how the gradient is padded before it.

    Pixel u = s i + r of the input is touched by output j through entry t = u + p - s j of the kernel, so block i hears
    of outputs i + (r + p - t) / s, for every r < s and every t that makes this whole.
    """
    taps = [
        {
            (r, (r + padding - t) // stride): t
            for r in range(stride)
            for t in range(kernel)
            if (r + padding - t) % stride == 0
        }
        for kernel, stride, padding in zip(geometry.kernel, geometry.stride, geometry.padding, strict=True)
    ]
    ends = [(min(j for _, j in one), max(j for _, j in one)) for one in taps]
    channels, (down, across) = geometry.given[0], geometry.stride
    numbers = torch.arange(geometry.channels * channels * math.prod(geometry.kernel))
    weight = numbers.view(geometry.channels, channels, *geometry.kernel)
    window = [last - first + 1 for first, last in ends]
    index = torch.full((down, across, channels, geometry.channels, *window), len(numbers))
    for (r, j), t in taps[0].items():
        for (c, k), u in taps[1].items():
            index[r, c, :, :, j - ends[0][0], k - ends[1][0]] = weight[:, :, t, u].T
    blocks = [math.ceil(size / stride) for size, stride in zip(geometry.given[1:], geometry.stride, strict=True)]
    top, left = -ends[0][0], -ends[1][0]
    bottom, right = (
        count - 1 + last + 1 - size for count, (_, last), size in zip(blocks, ends, geometry.shape[1:], strict=True)
    )
    return index.flatten(0, 2), (left, right, top, bottom)
