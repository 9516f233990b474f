"""Residual networks with pre-activation: PreActResNet-18 and Wide ResNets are one family.

He et al., ECCV 2016, https://arxiv.org/abs/1603.05027; Zagoruyko and Komodakis, BMVC 2016,
https://arxiv.org/abs/1605.07146. Both put batch norm and ReLU before each 3x3 convolution and end with one more; they
differ in stem, widths and depth. The unused `sub_block1` of a widely copied WRN-34-10, 2.1 million weights that no
image ever passes through, is left out.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import relu


class PreActivationBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut, which is a 1x1 convolution of the activated input if shapes change."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        changes = stride != 1 or inputs != outputs
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False) if changes else None

    def forward(self, features: Tensor) -> Tensor:
        """Features (batch, inputs, h, w) to (batch, outputs, h / stride, w / stride)."""
        active = relu(self.norm1(features))
        passed = features if self.shortcut is None else self.shortcut(active)
        residual: Tensor = self.conv2(relu(self.norm2(self.conv1(active))))
        return passed + residual


class PreActivationNetwork(nn.Module):
    """Stem, groups of blocks (the first keeps the resolution, each other halves it), batch norm, average, linear."""

    def __init__(self, *, classes: int, channels: int, stem: int, widths: Sequence[int], blocks: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, stem, 3, padding=1, bias=False)]
        inputs = stem
        for group, width in enumerate(widths):
            for block in range(blocks):
                layers.append(PreActivationBlock(inputs, width, stride=2 if group and not block else 1))
                inputs = width
        self.features = nn.Sequential(*layers, nn.BatchNorm2d(inputs), nn.ReLU())
        self.head = nn.Linear(inputs, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, classes)."""
        logits: Tensor = self.head(self.features(images).mean(dim=(2, 3)))
        return logits


def preactresnet18(*, classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """Four groups of two blocks, 64 to 512 channels."""
    del size
    return PreActivationNetwork(classes=classes, channels=channels, stem=64, widths=(64, 128, 256, 512), blocks=2)


def wrn_28_10(*, classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """Three groups of four blocks, 160 to 640 channels."""
    del size
    return PreActivationNetwork(classes=classes, channels=channels, stem=16, widths=(160, 320, 640), blocks=4)


def wrn_34_10(*, classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """Three groups of five blocks, 160 to 640 channels."""
    del size
    return PreActivationNetwork(classes=classes, channels=channels, stem=16, widths=(160, 320, 640), blocks=5)
