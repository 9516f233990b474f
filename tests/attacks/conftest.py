"""Networks on which an attack's result is known or quick."""

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
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


@pytest.fixture(scope="session")
def trained() -> nn.Sequential:
    """A small CNN, trained for five epochs on digits with noise at the border of the ball; part of it holds."""
    found = load_digits()
    images, labels = torch.tensor(found.images[:, None] / 16, dtype=torch.float32), torch.tensor(found.target)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10)
        )
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        for _ in range(5):
            for rows in torch.split(torch.randperm(1700), 50):
                noisy = (images[rows] + 0.1 * torch.randn_like(images[rows]).sign()).clamp(0, 1)
                optimiser.zero_grad()
                torch.autograd.backward(F.cross_entropy(model(noisy), labels[rows]))
                optimiser.step()
    return model.eval()


@pytest.fixture(scope="session")
def digits() -> tuple[Tensor, Tensor]:
    """Fifty digits that were not trained on, (50, 1, 8, 8); the labels of the first two are wrong on purpose."""
    found = load_digits()
    images, labels = torch.tensor(found.images[-50:, None] / 16, dtype=torch.float32), torch.tensor(found.target[-50:])
    labels[:2] = (labels[:2] + 1) % 10
    return images, labels
