"""What a network is made of, in torch's own layers and in those of libraries."""

import pytest
import torchvision
from torch import nn

from fairbench import batch_norms, drop_outs, linear_head
from fairbench.models import build_model


class DropPath(nn.Module):
    """As timm spells stochastic depth."""

    def __init__(self, drop_prob: float) -> None:
        super().__init__()
        self.drop_prob = drop_prob


def test_ours_have_batch_norm_a_linear_head_and_drop_nothing() -> None:
    network = build_model("digits-cnn", classes=10, channels=1, size=(8, 8), mean=(0.3,), std=(0.4,))
    assert len(batch_norms(network)) == 3
    assert drop_outs(network) == ()
    head = linear_head(network)
    assert head is not None
    assert head.out_features == 10


@pytest.mark.parametrize(
    ("layer", "drops"),
    [
        (nn.Dropout(0.1), True),
        (nn.Dropout2d(0.1), True),
        (nn.Dropout(0.0), False),
        (DropPath(0.1), True),
        (DropPath(0.0), False),
        (torchvision.ops.StochasticDepth(0.2, "row"), True),
        (nn.MultiheadAttention(4, 2, dropout=0.1), True),
        (nn.MultiheadAttention(4, 2), False),
        (nn.LeakyReLU(0.1), False),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_drops_is_named(layer: nn.Module, drops: bool) -> None:
    found = drop_outs(nn.Sequential(nn.Linear(4, 4), layer))
    assert found == (("1",) if drops else ())


def test_a_head_is_linear_if_nothing_with_weights_follows() -> None:
    assert linear_head(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2), nn.Identity())) is not None
    assert linear_head(nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))) is None
    assert linear_head(nn.Sequential(nn.Conv2d(3, 10, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())) is None
    assert linear_head(nn.Identity()) is None
    assert batch_norms(nn.Sequential(nn.LayerNorm(4), nn.GroupNorm(2, 4))) == ()
