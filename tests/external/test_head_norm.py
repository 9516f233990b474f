"""Rows of the last layer get equal norms, biases stay, and a network that ends otherwise is refused."""

import pytest
import torch
from torch import Tensor, nn

from fairbench.errors import UserError
from fairbench.external.head_norm import HeadNorm
from fixture_types import MakeRun

SHAPE = (1, 4, 4)


def head(model: nn.Module) -> nn.Linear:
    layer = list(model.modules())[-1]
    assert isinstance(layer, nn.Linear)
    return layer


class TestParsing:
    @pytest.mark.parametrize(("text", "tau"), [("head-norm", 1.0), ("head-norm:0.5", 0.5), ("head-norm:0", 0.0)])
    def test_tau_is_an_option(self, text: str, tau: float) -> None:
        assert HeadNorm.parse(text).tau == tau
        assert HeadNorm.parse(str(HeadNorm.parse(text))).tau == tau

    @pytest.mark.parametrize("text", ["headnorm", "head-norm:2", "head-norm:-1", "head-norm:x", "head-norm:", ":1"])
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(UserError, match=r"allowed: head-norm, or head-norm:TAU with TAU from 0"):
            HeadNorm.parse(text)


def test_by_hand() -> None:
    """Norms 5 and 1 become their mean, 3; directions and biases stay."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    layer = head(model)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, :2], layer.weight[1, 3] = torch.tensor([3.0, 4.0]), 1.0
        bias = layer.bias.clone()
    said = HeadNorm().apply(model, shape=SHAPE)
    assert layer.weight[0, :2].tolist() == pytest.approx([1.8, 2.4])
    assert layer.weight[1, 3].item() == pytest.approx(3)
    assert torch.equal(layer.bias, bias)
    assert "from 1 to 5, and go from 3 to 3" in said


@pytest.mark.parametrize("tau", [0.0, 0.3, 1.0])
def test_tau_says_how_far(linear: nn.Module, tau: float) -> None:
    before = head(linear).weight.norm(dim=1).clone()
    HeadNorm(tau=tau).apply(linear, shape=SHAPE)
    expected = before * (before.mean() / before) ** tau
    torch.testing.assert_close(head(linear).weight.norm(dim=1), expected)


def test_a_class_without_weights_keeps_none(linear: nn.Module) -> None:
    head(linear).weight.data[1] = 0
    HeadNorm().apply(linear, shape=SHAPE)
    assert head(linear).weight.isfinite().all()
    assert not head(linear).weight[1].any()


class Scaled(nn.Module):
    """What is returned is not what the last linear layer says."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = 3 * self.network(images)
        return logits


def test_a_network_that_ends_otherwise_is_refused(linear: nn.Module) -> None:
    bare = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    nn.utils.parametrizations.weight_norm(bare[1])
    for model in (Scaled(linear), bare, nn.Sequential(nn.Conv2d(1, 3, 4), nn.Flatten())):
        with pytest.raises(UserError, match="this network ends otherwise"):
            HeadNorm().apply(model, shape=SHAPE)


def test_the_network_is_left_as_it_was_found(linear: nn.Module) -> None:
    linear.train()
    head(linear).weight.grad = torch.ones(3, 16)
    HeadNorm(tau=0.0).apply(linear, shape=SHAPE)
    assert linear.training
    assert all(parameter.requires_grad for parameter in linear.parameters())
    assert not head(linear)._forward_hooks


def test_it_enters_the_key_where_it_is_used(make_run: MakeRun) -> None:
    """Beside the weights, which are others anyway."""
    plain, changed = make_run(), make_run(transform="head-norm:1")
    assert "transform" not in str(plain.description())
    assert changed.description()["external"]["transform"] == "head-norm:1"  # type: ignore[index]
    assert plain.key != changed.key
