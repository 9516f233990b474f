"""Layers of a frozen network as the fastest kernels for them take them, forward and back to their input.

    layer = convolution(module, norm, (channels, height, width))     # batch norm is folded in
    layer.backward(gradient)                                         # of one to `layer.forward(given)`

Activations are rows, (n, pixels), in channels-last order. A convolution of few pixels is a product with the matrix that
it is, in bands of rows where most of that is zeros; a strided one goes back to an image by sub-pixels, that is by a
convolution of stride one whose channels are the pixels of a block. CPU time in microseconds, 128 images, one core, the
framework's forward + way back, and what is done here:

    8x8x1, 16 of 3x3                      101 +  354     100 +  142    one matrix
    8x8x16, 32 of 3x3, stride 2           284 +  700     371 +  379    four bands
    4x4x32, 32 of 3x3, stride 2           158 +  334      98 +  109    one matrix
    32x32x3, 16 of 4x4, stride 2          728 + 4162     728 + 1757    sub-pixels
    28x28x1, 32 of 3x3                   3285 + 9128    3285 + 1783    products of matrices
"""

import math
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairbench.attacks.convolution_geometry import Bands, Geometry, Shape, as_images, as_rows, in_bands, sub_pixels

FEW = 4
"""Channels of an image; oneDNN goes back to them in blocks of sixteen, which takes five to nine forwards."""


class Layer(Protocol):
    """A linear map of activations, without the activation function after it."""

    shape: Shape
    """Of what it gives; a vector is (channels, 1, 1)."""

    def forward(self, given: Tensor) -> Tensor:
        """(n, pixels out) of (n, pixels in); nobody else holds it."""

    def backward(self, gradient: Tensor) -> Tensor:
        """The gradient to what was given, (n, pixels in)."""


def convolution(module: nn.Conv2d, norm: nn.BatchNorm2d | None, given: Shape) -> Layer | None:
    """The convolution of such activations, followed by a batch norm in eval mode; None if either is an unusual one."""
    plain = module.groups == 1 and module.dilation == (1, 1) and module.padding_mode == "zeros"
    if not plain or isinstance(module.padding, str) or module.in_channels != given[0]:
        return None
    if norm is not None and norm.running_mean is None:
        return None
    weight, bias = _folded(module, norm)
    kernel, stride, padding = ((v[0], v[1]) for v in (module.kernel_size, module.stride, module.padding))
    geometry = Geometry(given, module.out_channels, kernel, stride, padding)
    bands = in_bands(geometry)
    if bands is not None:
        blocks = [_gathered(weight, index) for index in bands.blocks]
        return Matrix(bands, blocks, bias.repeat(math.prod(geometry.shape[1:])), given, geometry.shape)
    if given[0] <= FEW and max(geometry.stride) > 1:
        return SubPixels(weight, bias, geometry)
    return Convolution(weight, bias, geometry)


def linear(module: nn.Linear, given: Shape) -> Layer:
    """The linear layer of flattened activations."""
    channels, height, width = given
    weight = module.weight.detach().view(-1, channels, height, width).permute(2, 3, 1, 0).flatten(0, 2)
    bias = torch.zeros(module.out_features) if module.bias is None else module.bias.detach()
    whole = Bands([], [0], [(0, len(weight))])
    return Matrix(whole, [weight], bias, given, (module.out_features, 1, 1))


class Matrix:
    """A product with a matrix, band by band.

    Args:
        bands: how it is cut.
        blocks: the entries of each block.
        bias: (pixels out,).
        given: shape of the input.
        shape: of the output.
    """

    def __init__(self, bands: Bands, blocks: list[Tensor], bias: Tensor, given: Shape, shape: Shape) -> None:
        self.shape = shape
        self._bias, self._pixels = bias, math.prod(given)
        width = len(bias) // len(bands.block)
        self._bands = [
            (slice(first, beyond), slice(k * width, (k + 1) * width), blocks[block])
            for k, (block, (first, beyond)) in enumerate(zip(bands.block, bands.inputs, strict=True))
        ]

    def forward(self, given: Tensor) -> Tensor:
        """As in `Layer`."""
        if len(self._bands) == 1:
            return torch.addmm(self._bias, given[:, self._bands[0][0]], self._bands[0][2])
        found = self._bias.repeat(len(given), 1)
        for inputs, outputs, block in self._bands:
            found[:, outputs].addmm_(given[:, inputs], block)
        return found

    def backward(self, gradient: Tensor) -> Tensor:
        """As in `Layer`."""
        if len(self._bands) == 1 and len(self._bands[0][2]) == self._pixels:
            return gradient @ self._bands[0][2].T
        found = gradient.new_zeros(len(gradient), self._pixels)
        for inputs, outputs, block in self._bands:
            found[:, inputs].addmm_(gradient[:, outputs], block.T)
        return found


class Convolution:
    """A convolution, and its gradient by the framework, or by products of matrices to an image.

    Args:
        weight: (channels out, channels in, kernel height, kernel width).
        bias: (channels out,).
        geometry: of both.
    """

    def __init__(self, weight: Tensor, bias: Tensor, geometry: Geometry) -> None:
        self.shape = geometry.shape
        self._weight, self._bias = weight.contiguous(memory_format=torch.channels_last), bias
        self._geometry = geometry

    def forward(self, given: Tensor) -> Tensor:
        """As in `Layer`."""
        _, _, _, stride, padding = self._geometry
        return as_rows(F.conv2d(as_images(given, self._geometry.given), self._weight, self._bias, stride, padding))

    def backward(self, gradient: Tensor) -> Tensor:
        """As in `Layer`."""
        given, _, kernel, stride, padding = self._geometry
        images = as_images(gradient, self.shape)
        if given[0] <= FEW:  # every patch is the transposed weights times a column of what comes back
            patches = self._weight.flatten(1).T @ images.flatten(2)
            return as_rows(F.fold(patches, given[1:], kernel, padding=padding, stride=stride))
        reached = [(n - 1) * s - 2 * p + k for n, s, p, k in zip(self.shape[1:], stride, padding, kernel, strict=True)]
        beyond = [size - end for size, end in zip(given[1:], reached, strict=True)]
        return as_rows(F.conv_transpose2d(images, self._weight, None, stride, padding, beyond))


class SubPixels(Convolution):
    """A strided convolution that goes back by one of stride one, to blocks of `stride` pixels side by side."""

    def __init__(self, weight: Tensor, bias: Tensor, geometry: Geometry) -> None:
        super().__init__(weight, bias, geometry)
        index, self._padding = sub_pixels(geometry)
        self._back = _gathered(weight, index).contiguous(memory_format=torch.channels_last)

    def backward(self, gradient: Tensor) -> Tensor:
        """As in `Layer`."""
        (channels, height, width), (down, across) = self._geometry.given, self._geometry.stride
        blocks = F.conv2d(F.pad(as_images(gradient, self.shape), self._padding), self._back).permute(0, 2, 3, 1)
        rows, columns = blocks.shape[1:3]
        pixels = blocks.reshape(-1, rows, columns, down, across, channels).transpose(2, 3)
        return pixels.reshape(-1, rows * down, columns * across, channels)[:, :height, :width].flatten(1)


class Average:
    """The mean over positions.

    Args:
        given: shape of the input.
    """

    def __init__(self, given: Shape) -> None:
        self.shape = (given[0], 1, 1)
        self._given = given

    def forward(self, given: Tensor) -> Tensor:
        """As in `Layer`."""
        channels, height, width = self._given
        return given.view(-1, height * width, channels).mean(dim=1)

    def backward(self, gradient: Tensor) -> Tensor:
        """As in `Layer`."""
        _, height, width = self._given
        return (gradient / (height * width)).repeat(1, height * width)


def _folded(module: nn.Conv2d, norm: nn.BatchNorm2d | None) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution together with the batch norm after it."""
    weight = module.weight.detach()
    bias = weight.new_zeros(len(weight)) if module.bias is None else module.bias.detach()
    if norm is None:
        return weight, bias
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var + norm.eps).rsqrt()
    if norm.affine:
        scale = scale * norm.weight.detach()
    bias = (bias - norm.running_mean) * scale
    return weight * scale[:, None, None, None], bias + norm.bias.detach() if norm.affine else bias


def _gathered(weight: Tensor, index: Tensor) -> Tensor:
    """Entries of a weight by index, as in `convolution_geometry`."""
    entries = torch.cat([weight.flatten(), weight.new_zeros(1)])
    return entries.index_select(0, index.flatten()).view(index.shape)
