"""MobileNetV2 for small images, on torchvision's blocks. Sandler et al., CVPR 2018, https://arxiv.org/abs/1801.04381."""

from torch import nn
from torchvision.models.mobilenetv2 import MobileNetV2

# expansion, channels, blocks, stride: the paper's table 2 with stride 1 instead of 2 in the second stage.
_STAGES = [
    [1, 16, 1, 1],
    [6, 24, 2, 1],
    [6, 32, 3, 2],
    [6, 64, 4, 2],
    [6, 96, 3, 1],
    [6, 160, 3, 2],
    [6, 320, 1, 1],
]


def mobilenetv2(*, classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """The CIFAR form: the stem too has stride 1, and there is no dropout, which adversarial training does without."""
    del size
    network = MobileNetV2(num_classes=classes, inverted_residual_setting=_STAGES, dropout=0.0)
    stem = nn.Conv2d(channels, 32, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out")
    network.features[0][0] = stem
    cifar_form: nn.Module = network
    return cifar_form
