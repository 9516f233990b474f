"""Networks on which an attack's result is known or quick."""

import pytest
import torch
from torch import Tensor, nn

from fairbench.suite import Threat


class Line(nn.Module):
    """Images of one pixel; class 1 exactly above the threshold. Elementwise, hence exact for any batch."""

    def __init__(self, threshold: float = 0.5) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, images: Tensor) -> Tensor:
        height = images.flatten(1).select(1, 0) - self.threshold
        return torch.stack([-height, height], dim=1)


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def small_net() -> nn.Module:
    """A convolution with batch norm whose buffers are not at their defaults, ten classes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 10)
        )
        net(torch.rand(64, 1, 4, 4))
    return net


@pytest.fixture
def threat() -> Threat:
    return Threat(epsilon=8 / 255, step=2 / 255, steps=10)
