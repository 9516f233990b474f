"""Architectures by name; torch is imported when one is built, not when they are listed.

    model = build_model("resnet18", classes=10, channels=3, size=(32, 32), mean=dataset.mean, std=dataset.std)
    model(images)       # (batch, 3, 32, 32) in [0, 1] to logits (batch, 10): normalisation is inside

An attack works in pixel space, so a model takes images in [0, 1] and normalises them itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from fairbench.errors import UserError, unknown

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True, slots=True)
class _Architecture:
    """A row of the table.

    Attributes:
        description: one line.
        factory: `module:function`, called with `classes`, `channels` and `size`.
        smallest: height and width of the smallest images, in pixels. Two pixels must be left in the last feature map: a
            single one gives batch norm nothing to average when the last batch of an epoch has one image.
    """

    description: str
    factory: str
    smallest: int


_ARCHITECTURES = {
    "cifar-cnn": _Architecture(
        description="three convolutions with batch norm for 32x32 images, 225 thousand weights, quick on a CPU",
        factory="fairbench.models.cnn:cifar_cnn",
        smallest=5,
    ),
    "digits-cnn": _Architecture(
        description="three convolutions with batch norm for 8x8 images, 15 thousand weights",
        factory="fairbench.models.cnn:digits_cnn",
        smallest=5,
    ),
    "digits-cnn-wide": _Architecture(
        description="digits-cnn with twice the width, its teacher",
        factory="fairbench.models.cnn:digits_cnn_wide",
        smallest=5,
    ),
    "mnist-cnn": _Architecture(
        description="four convolutions with batch norm for 28x28 images",
        factory="fairbench.models.cnn:mnist_cnn",
        smallest=5,
    ),
    "mobilenetv2": _Architecture(
        description="MobileNetV2 in CIFAR form: stem and first stages keep the resolution",
        factory="fairbench.models.mobilenet:mobilenetv2",
        smallest=9,
    ),
    "preactresnet18": _Architecture(
        description="pre-activation ResNet-18 in CIFAR form",
        factory="fairbench.models.preactivation:preactresnet18",
        smallest=9,
    ),
    "resnet18": _Architecture(
        description="ResNet-18 in CIFAR form: 3x3 stem, no max pooling",
        factory="fairbench.models.resnet:resnet18",
        smallest=9,
    ),
    "strided-cnn": _Architecture(
        description="three strided 4x4 convolutions with batch norm for 28x28 and 32x32 images, two million operations",
        factory="fairbench.models.strided_cnn:strided_cnn",
        smallest=16,
    ),
    "strided-cnn-wide": _Architecture(
        description="strided-cnn with twice the width, its teacher",
        factory="fairbench.models.strided_cnn:strided_cnn_wide",
        smallest=16,
    ),
    "wrn-28-10": _Architecture(
        description="Wide ResNet, 28 layers, 10 times the width",
        factory="fairbench.models.preactivation:wrn_28_10",
        smallest=5,
    ),
    "wrn-34-10": _Architecture(
        description="Wide ResNet, 34 layers, 10 times the width",
        factory="fairbench.models.preactivation:wrn_34_10",
        smallest=5,
    ),
}


def model_names() -> list[str]:
    """Names that a suite may give as `model` or `teacher`."""
    return sorted(_ARCHITECTURES)


def describe(name: str) -> str:
    """One line about an architecture.

    Raises:
        UserError: for an unknown name.
    """
    return _architecture(name).description


def build_model(
    name: str,
    *,
    classes: int,
    channels: int,
    size: tuple[int, int],
    mean: Sequence[float],
    std: Sequence[float],
) -> "nn.Module":
    """A network with fresh weights, drawn from torch's global generator; the caller seeds it.

    Args:
        name: one of `model_names()`.
        classes: number of logits.
        channels: of the images.
        size: height and width of the images.
        mean: per channel, in units of [0, 1].
        std: per channel, same unit.

    Raises:
        UserError: for an unknown name, or for images too small for the architecture.
    """
    architecture = _architecture(name)
    smallest = architecture.smallest
    if min(size) < smallest:
        raise UserError(
            f"The model {name!r} cannot take images of {size[0]}x{size[1]} pixels; allowed: {smallest}x{smallest} or "
            "larger. Set dataset.image_size, or choose a smaller model of `fairbench list models`."
        )
    from fairbench.models.normalised import Normalised  # noqa: PLC0415  listing names must not import torch

    module, _, function = architecture.factory.partition(":")
    network: nn.Module = getattr(import_module(module), function)(classes=classes, channels=channels, size=size)
    return Normalised(network, mean=mean, std=std)


def _architecture(name: str) -> _Architecture:
    if name not in _ARCHITECTURES:
        raise unknown("model", name, model_names())
    return _ARCHITECTURES[name]
