"""The short way back to the image: the same convolution and, up to round-off, the same gradient."""

import pytest
import torch
from torch import Tensor, nn

from fairbench.attacks.image_convolution import with_image_convolutions

SHAPES = [
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": 4, "stride": 2, "padding": 1},
    {"kernel_size": 3, "dilation": 2},
    {"kernel_size": (5, 2), "stride": (3, 1), "padding": (2, 0)},
    {"kernel_size": 1, "stride": 2, "bias": False},
]


def pair(channels: int, **shape: object) -> tuple[nn.Module, nn.Module]:
    """A small network, and the same with its first convolution replaced."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        first = nn.Conv2d(channels, 8, **shape)  # type: ignore[arg-type]  # by name
        plain = nn.Sequential(nn.Sequential(first), nn.ReLU(), nn.Conv2d(8, 5, 2))
    plain.requires_grad_(requires_grad=False)
    replaced = nn.Sequential(nn.Sequential(first), *list(plain.children())[1:])
    return plain, with_image_convolutions(replaced)


def gradient(network: nn.Module, images: Tensor) -> Tensor:
    points = images.clone().requires_grad_()
    (found,) = torch.autograd.grad(network(points).square().sum(), points)
    return found


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_the_same_function(channels: int, shape: dict[str, object]) -> None:
    plain, replaced = pair(channels, **shape)
    images = torch.rand(8, channels, 11, 14, generator=torch.Generator().manual_seed(1))
    assert type(replaced.get_submodule("0.0")) is not nn.Conv2d
    assert torch.equal(replaced(images), plain(images))
    expected = gradient(plain, images)
    torch.testing.assert_close(gradient(replaced, images), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    assert torch.equal(gradient(replaced, images[:4]), gradient(replaced, images)[:4])
    assert not replaced(images).requires_grad
    assert all(parameter.grad is None for parameter in plain.parameters())


def test_it_is_the_same_in_half_precision() -> None:
    plain, replaced = pair(3, kernel_size=4, stride=2, padding=1)
    images = torch.rand(8, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    expected = gradient(plain, images)
    plain.get_submodule("0").bfloat16()  # the weights are shared
    with torch.autocast("cpu", torch.bfloat16):
        found = gradient(replaced, images)
    assert found.dtype == torch.float32
    assert (found - expected).norm() < 0.05 * expected.norm()


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 8, 3, padding="same"),
        nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 8, 3, groups=2),
        nn.Conv2d(16, 8, 3),
        nn.ConvTranspose2d(3, 8, 3),
        nn.Conv1d(3, 8, 3),
    ],
    ids=str,
)
def test_what_it_does_not_know_stays(layer: nn.Module) -> None:
    assert with_image_convolutions(nn.Sequential(layer)).get_submodule("0") is layer
