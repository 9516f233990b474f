"""A NaN in a gradient stops no attack, is no break, and is counted as what it is."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fairbench import Threat
from fairbench.attacks.input_gradient import input_gradient
from fairbench.evaluation.judgement import Judgement, judge
from fairbench.protocol.evaluation import Evaluation

THREATS = [Threat(epsilon=0.06, step=0.015), Threat(norm="L2", epsilon=0.4, step=0.1)]


class Rooted(nn.Module):
    """Three classes by brightness of thirds, behind a term of zero whose slope is zero times infinity.

    Args:
        everywhere: whether the term reaches all pixels, or the first alone.
    """

    def __init__(self, *, everywhere: bool) -> None:
        super().__init__()
        self._everywhere = everywhere

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        pixels = images.flatten(1)
        under = pixels if self._everywhere else pixels[:, :1]
        nothing = 0 * (under - under.detach()).sqrt().sum(dim=1, keepdim=True)
        return pixels.view(len(pixels), 3, -1).sum(dim=2) + nothing


def images() -> Tensor:
    """Of 6x6 pixels."""
    return torch.rand(12, 1, 6, 6, generator=torch.Generator().manual_seed(0))


def judged(model: nn.Module, threat: Threat, folder: Path) -> Judgement:
    """With AutoAttack standard; the labels are what the model says."""
    with torch.no_grad():
        labels = model(images()).argmax(dim=1)
    evaluation = Evaluation(pgd_step=threat.step)
    return judge(model, model, images(), labels, classes=3, threat=threat, evaluation=evaluation, folder=folder)


def test_what_is_not_nan_is_kept() -> None:
    points = torch.tensor([[4.0, 0.0], [1.0, 9.0]], requires_grad=True)
    gradient = input_gradient((points.sqrt() * torch.tensor([1.0, 0.0])).sum(dim=1), points)
    assert gradient.tolist() == [[0.25, 0.0], [0.5, 0.0]]  # infinity times zero at the second pixel


@pytest.mark.parametrize("threat", THREATS, ids=lambda threat: threat.norm)
def test_a_model_whose_gradient_is_nan_loses_no_image_to_points_that_are_none(threat: Threat, tmp_path: Path) -> None:
    """Its logits are finite everywhere, so nothing is to be said of them; that it has no gradient is."""
    found = judged(Rooted(everywhere=True), threat, tmp_path)
    assert found.flags["nonfinite"] == found.flags["unverified_breaks"] == 0
    assert found.flags["zero_gradient_share"] == 1
    assert (found.rows["pgd20"] == found.rows["label"]).sum() >= (found.rows["autoattack"] == found.rows["label"]).sum()
    assert "square" in set(found.rows["broken_by"])


@pytest.mark.parametrize("threat", THREATS, ids=lambda threat: threat.norm)
def test_one_pixel_without_a_gradient_hides_no_other(threat: Threat, tmp_path: Path) -> None:
    found = judged(Rooted(everywhere=False), threat, tmp_path)
    assert found.flags["nonfinite"] == found.flags["unverified_breaks"] == found.flags["zero_gradient_share"] == 0
    assert "square" not in set(found.rows["broken_by"])
    assert "apgd-ce" in set(found.rows["broken_by"])
