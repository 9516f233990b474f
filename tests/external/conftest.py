"""Small models, and the files in which people keep their weights."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fairbench.external.given import given_sample
from fairbench.external.run import ExternalRun
from fairbench.models import build_model
from fairbench.protocol.autoattack_settings import AutoAttackSettings
from fairbench.protocol.evaluation import Evaluation, Tier
from fairbench.protocol.threat import Threat
from fixture_types import MakeRun


@pytest.fixture
def digits() -> nn.Module:
    """A model of ours with weights and statistics that no fresh one has."""
    model = build_model("digits-cnn", classes=10, channels=1, size=(8, 8), mean=(0.3,), std=(0.37,))
    generator = torch.Generator().manual_seed(1)
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.is_floating_point() and tensor.numel() > 1:
            tensor.data.copy_(torch.rand(tensor.shape, generator=generator) + 0.1)
    return model.eval()


@pytest.fixture
def linear() -> nn.Module:
    """Three classes of grey images with 4x4 pixels."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    generator = torch.Generator().manual_seed(3)
    for weight in model.parameters():
        weight.data.copy_(torch.randn(weight.shape, generator=generator))
        weight.data.sub_(weight.data.mean(dim=-1, keepdim=True))  # no class is larger than the others
    return model


@pytest.fixture
def images() -> Tensor:
    """Thirty of them."""
    return torch.rand(30, 1, 4, 4, generator=torch.Generator().manual_seed(4))


@pytest.fixture
def labels(linear: nn.Module, images: Tensor) -> Tensor:
    """Nine of ten as the model has them."""
    with torch.no_grad():
        predicted = linear(images).argmax(dim=1)
    return torch.where(torch.arange(30) % 10 == 0, (predicted + 1) % 3, predicted)


@pytest.fixture
def make_run(linear: nn.Module, images: Tensor, labels: Tensor) -> MakeRun:
    """The linear model on these images; a test changes what it is about."""
    sample = given_sample(images, labels, model=linear, class_names=("bird", "cat", "deer"))

    def make(*, epsilon: float = 0.03, tier: Tier = "full", batch_size: int = 500, **changes: Any) -> ExternalRun:
        threat = Threat(epsilon=epsilon, step=epsilon / 4)
        evaluation = Evaluation(tier=tier, pgd_step=threat.step, batch_size=batch_size)
        given: dict[str, Any] = {"name": "mine", "model": linear, "specification": "models.py:linear", "sample": sample}
        return ExternalRun(threat=threat, evaluation=evaluation, **(given | changes))

    return make


@pytest.fixture
def quick() -> AutoAttackSettings:
    """Attacks that hardly try, for tests of everything around them."""
    return AutoAttackSettings(apgd_iterations=3, fab_iterations=2, square_queries=20, targets=2)
