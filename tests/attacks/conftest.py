"""Networks on which an attack's result is known or quick."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

from fairbench.attacks.autoattack import AutoAttack, AutoAttacked
from fairbench.protocol.attack_names import ATTACKS
from fairbench.protocol.autoattack_settings import AutoAttackSettings
from fairbench.protocol.evaluation import Engine, Evaluation
from fairbench.protocol.threat import Threat

QUICK = AutoAttackSettings(apgd_iterations=8, fab_iterations=5, square_queries=60, targets=3)
WEAK = Threat(epsilon=0.1, step=0.03)


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


@pytest.fixture(params=["fairbench", "reference"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Both, unless a test names one."""
    named: Engine = request.param
    return named


@pytest.fixture
def attack(
    digits: tuple[Tensor, Tensor], trained: nn.Module, engine: Engine, tmp_path: Path
) -> Callable[..., AutoAttacked]:
    """Attacks the fifty digits; every default can be replaced."""

    def run(
        model: nn.Module = trained,
        images: Tensor = digits[0],
        labels: Tensor = digits[1],
        *,
        classes: int = 10,
        threat: Threat = WEAK,
        folder: Path = tmp_path,
        attacks: tuple[str, ...] = ATTACKS,
        **options: Any,
    ) -> AutoAttacked:
        with torch.no_grad():
            clean = model(images).argmax(dim=1)
        options = {"evaluation": Evaluation(pgd_step=0.03, batch_size=16), "settings": QUICK, **options}
        options["evaluation"] = replace(options["evaluation"], engine=engine)
        attacking = AutoAttack(
            model, images, labels, clean=clean, classes=classes, threat=threat, folder=folder, **options
        )
        return attacking.attack(*attacks)

    return run
