"""A convolution of images with frozen weights, whose gradient to the image is a product of matrices.

    searching = with_image_convolutions(copy)

oneDNN computes that gradient in blocks of sixteen input channels, of which an image has one or three: on a CPU it costs
five to nine times the forward (measured on 8x8x1, 28x28x1 and 32x32x3). Here every patch of the gradient is the
transposed weights times a column of what comes back, and `fold` adds the patches up. Ratio of times of a forward with
the gradient to the input, without and with it, one core: digits CNN 1.2, MNIST CNN 1.1, CNN-A 1.2, ResNet-18 1.0.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEW = 4
"""Channels of an image."""


def with_image_convolutions(network: nn.Module) -> nn.Module:
    """The network, its plain convolutions of up to `FEW` channels replaced in place; their weights get no gradient."""
    for name, layer in network.named_children():
        if _replaceable(layer):
            setattr(network, name, _ImageConvolution(layer))
        else:
            with_image_convolutions(layer)
    return network


def _replaceable(layer: nn.Module) -> bool:
    return (
        type(layer) is nn.Conv2d
        and layer.in_channels <= FEW
        and layer.groups == 1
        and layer.padding_mode == "zeros"
        and isinstance(layer.padding, tuple)
    )


class _ImageConvolution(nn.Module):
    """A convolution that takes the long way back.

    Args:
        convolution: whose weights it shares.
    """

    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        self.convolution: nn.Module = convolution

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width)."""
        if not (torch.is_grad_enabled() and images.requires_grad):
            plain: Tensor = self.convolution(images)
            return plain
        convolved: Tensor = _Convolve.apply(images, self.convolution)
        return convolved


class _Convolve(torch.autograd.Function):
    """The function and its gradient to the images."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, convolution: nn.Conv2d) -> Tensor:
        ctx.convolution, ctx.size = convolution, images.shape[2:]
        convolved: Tensor = convolution(images)
        return convolved

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        convolution: nn.Conv2d = ctx.convolution
        assert not isinstance(convolution.padding, str), convolution.padding
        back = image_gradient(
            gradients[0],
            convolution.weight,
            ctx.size,
            stride=convolution.stride,
            padding=convolution.padding,
            dilation=convolution.dilation,
        )
        return back, None


def image_gradient(
    gradient: Tensor,
    weight: Tensor,
    size: Sequence[int],
    *,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int] = (1, 1),
) -> Tensor:
    """The gradient to the images, (batch, channels, *size), of one to their convolution."""
    # (pixels of a patch, channels out) times (batch, channels out, places)
    patches = weight.flatten(1).T @ gradient.flatten(2)
    return F.fold(
        patches, tuple(size), weight.shape[2:], dilation=tuple(dilation), padding=tuple(padding), stride=tuple(stride)
    )
