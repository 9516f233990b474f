"""ResNet-18 for small images, on torchvision's residual blocks. He et al., CVPR 2016, https://arxiv.org/abs/1512.03385."""

from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet


def resnet18(*, classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """The CIFAR form: the ImageNet stem (7x7, stride 2, max pooling) gives way to a 3x3 convolution of stride 1."""
    del size
    network: nn.Module = ResNet(BasicBlock, [2, 2, 2, 2], num_classes=classes)
    network.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    network.maxpool = nn.Identity()
    return network
