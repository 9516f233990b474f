"""Networks of so little arithmetic that one CPU core trains them adversarially on real images in minutes.

Every convolution has a 4x4 kernel and halves the resolution: each pixel is seen by as many places as any other, and
nothing is computed at a resolution that is pooled away afterwards. One forward of one image, and what one core achieved
on a forward with the gradient to 128 images (AVX-512, fp32, where a product of two 1024 x 1024 matrices ran at 155
GFLOP/s; fewer channels are farther from that):

    strided-cnn, 28x28x1         1.5 MFLOP     13 ms     29 GFLOP/s
    strided-cnn, 32x32x3         2.5 MFLOP     15 ms     42 GFLOP/s
    strided-cnn-wide, 32x32x3    9.2 MFLOP     40 ms     59 GFLOP/s
    cifar-cnn, 32x32x3            29 MFLOP, twelve times the arithmetic of strided-cnn
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
    """Convolutions and a linear layer on the last feature map, which keeps positions apart."""
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
