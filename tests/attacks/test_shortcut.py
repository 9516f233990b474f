"""The shortcut: the same function at less cost, for the networks that have one; for others nothing changes."""

from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fairbench.attacks import Attacked, frozen, pgd
from fairbench.attacks.convolution_geometry import Geometry
from fairbench.attacks.shortcut import Shortened, shortcut
from fairbench.attacks.shortcut_layers import Convolution, Matrix, SubPixels, convolution
from fairbench.method.losses import cross_entropy, kl_divergence
from fairbench.models import build_model
from fairbench.models.normalised import Normalised
from fairbench.protocol.threat import Threat
from fairbench.training.passes import PassCounter, Passes

STACKS = {
    "digits-cnn": (1, 8, 8),
    "digits-cnn-wide": (1, 8, 8),
    "mnist-cnn": (1, 12, 12),
    "cifar-cnn": (3, 16, 16),
}


def lively(network: nn.Module) -> nn.Module:
    """In eval mode, with batch norms that do something."""
    generator = torch.Generator().manual_seed(2)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for name, values in layer.state_dict().items():
                if values.is_floating_point():
                    low, high = (-0.5, 0.5) if name in ("bias", "running_mean") else (0.2, 2)
                    values.uniform_(low, high, generator=generator)
    return network.eval()


def stack(name: str, shape: tuple[int, int, int]) -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        channels, *size = shape
        return lively(
            build_model(
                name,
                classes=10,
                channels=channels,
                size=(size[0], size[1]),
                mean=(0.4,) * channels,
                std=(0.3,) * channels,
            )
        )


def sequential(*layers: nn.Module, channels: int = 1) -> nn.Module:
    return lively(Normalised(nn.Sequential(*layers), mean=(0.5,) * channels, std=(0.25,) * channels))


def logits_and_gradient(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    points = images.clone().requires_grad_()
    logits = network(points)
    (gradient,) = torch.autograd.grad(logits.logsumexp(dim=1).sum(), points)
    return logits.detach(), gradient


def assert_same_function(network: nn.Module, images: Tensor) -> None:
    with frozen(network):
        expected = logits_and_gradient(network, images)
        with shortcut(network, images):
            assert "forward" in vars(network)
            found = logits_and_gradient(network, images)
            torch.testing.assert_close(network(images), expected[0], rtol=1e-4, atol=1e-5)
        assert "forward" not in vars(network)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))
        assert one.is_contiguous()


@pytest.mark.parametrize(("name", "shape"), STACKS.items())
def test_networks_of_the_suites_are_the_same_function(name: str, shape: tuple[int, int, int]) -> None:
    assert_same_function(stack(name, shape), torch.rand(9, *shape, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("size", [(8, 8), (9, 7), (5, 12)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (4, 2, 1), (2, 2, 0), (5, 3, 2), ((3, 1), (1, 2), (0, 1))]
)
def test_convolutions_of_any_geometry(
    kernel: int | tuple[int, int],
    stride: int | tuple[int, int],
    padding: int | tuple[int, int],
    channels: int,
    size: tuple[int, int],
) -> None:
    """Forward and back, by whichever layer takes it, and by the two that are for larger images."""
    generator = torch.Generator().manual_seed(3)
    plain = nn.Conv2d(channels, 6, kernel, stride=stride, padding=padding)
    weight, bias = plain.weight.detach(), torch.rand(6, generator=generator)
    plain.bias.data.copy_(bias)  # type: ignore[union-attr]  # it has one
    given = (channels, *size)
    images = torch.rand(4, *given, generator=generator, requires_grad=True)
    expected = plain(images)
    gradient = torch.rand(expected.shape, generator=generator)
    (back,) = torch.autograd.grad(expected, images, gradient)
    geometry = Geometry(given, 6, *((v, v) if isinstance(v, int) else v for v in (kernel, stride, padding)))
    chosen = convolution(plain, None, given)
    assert isinstance(chosen, Matrix)
    with torch.no_grad():
        for layer in (chosen, Convolution(weight, bias, geometry), SubPixels(weight, bias, geometry)):
            assert layer.shape == expected.shape[1:]
            forward = layer.forward(images.permute(0, 2, 3, 1).flatten(1))
            torch.testing.assert_close(forward, expected.permute(0, 2, 3, 1).flatten(1))
            backward = layer.backward(gradient.permute(0, 2, 3, 1).flatten(1))
            torch.testing.assert_close(backward, back.permute(0, 2, 3, 1).flatten(1))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_layers_in_other_orders(bias: bool, affine: bool) -> None:
    """Without batch norm, with a bias before it, two linear layers, an average."""
    network = sequential(
        nn.Conv2d(3, 4, 3, bias=bias),
        nn.ReLU(),
        nn.Conv2d(4, 5, 3, padding=1, bias=bias),
        nn.BatchNorm2d(5, affine=affine),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 6, bias=bias),
        nn.ReLU(),
        nn.Linear(6, 10),
        channels=3,
    )
    assert_same_function(network, torch.rand(4, 3, 10, 9, generator=torch.Generator().manual_seed(1)))


class Own(nn.ReLU):
    """A layer of another type, whatever it does."""


def _hooked() -> nn.Module:
    network = stack("digits-cnn", (1, 8, 8))
    network.get_submodule("network.0").register_forward_hook(lambda *_given: None)
    return network


def _learning() -> nn.Module:
    network = stack("digits-cnn", (1, 8, 8))
    network.get_submodule("network.1").train()
    return network


@pytest.mark.parametrize(
    "make",
    [
        lambda: sequential(nn.Conv2d(1, 2, 3, groups=1, dilation=2), nn.Flatten(), nn.Linear(32, 10)),
        lambda: sequential(nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"), nn.Flatten(), nn.Linear(128, 10)),
        lambda: sequential(nn.Conv2d(1, 2, 3, padding="same"), nn.Flatten(), nn.Linear(128, 10)),
        lambda: sequential(nn.Conv2d(1, 2, 3), Own(), nn.Flatten(), nn.Linear(72, 10)),
        lambda: sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 10)),
        lambda: sequential(nn.Flatten(), nn.Dropout(), nn.Linear(64, 10)),
        lambda: sequential(
            nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, track_running_stats=False), nn.Flatten(), nn.Linear(72, 10)
        ),
        lambda: stack("digits-cnn", (1, 8, 8)).double(),
        _hooked,
        _learning,
    ],
)
def test_everything_else_goes_its_usual_way(make: Callable[[], nn.Module]) -> None:
    network = make()
    images = torch.rand(2, 1, 8, 8)
    with shortcut(network, images):
        assert "forward" not in vars(network)


def test_nobody_who_counts_operations_or_lowers_precision_is_given_others() -> None:
    network, images = stack("digits-cnn", (1, 8, 8)), torch.rand(2, 1, 8, 8)
    with FlopCounterMode(display=False), shortcut(network, images):
        assert "forward" not in vars(network)
    with torch.autocast("cpu", torch.bfloat16), shortcut(network, images):
        assert "forward" not in vars(network)


def test_passes_are_counted_and_hooks_on_the_model_called() -> None:
    network, images = stack("digits-cnn", (1, 8, 8)), torch.rand(5, 1, 8, 8)
    with PassCounter(network) as counter:
        pgd(network, images, torch.zeros(5).long(), threat=Threat(epsilon=0.1, step=0.03, steps=3), start="none")
    assert counter.passes == Passes(forwards=15, input_backwards=15)


def test_networks_within_a_model_take_theirs() -> None:
    """As those of AdaAD, which attacks two at once."""

    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = stack("digits-cnn", (1, 8, 8)), stack("digits-cnn-wide", (1, 8, 8))

        def forward(self, images: Tensor) -> Tensor:
            return torch.cat([self.first(images), self.second(images)], dim=1)

    pair, images = Pair().eval(), torch.rand(3, 1, 8, 8)
    expected = pair(images)
    with shortcut(pair, images), shortcut(pair, images):
        assert all("forward" in vars(network) for network in pair.children())
        torch.testing.assert_close(pair(images), expected)
    assert not any("forward" in vars(network) for network in pair.children())


def test_it_ends_with_an_exception() -> None:
    network, images = stack("digits-cnn", (1, 8, 8)), torch.rand(3, 1, 8, 8)
    with pytest.raises(RuntimeError), shortcut(network, images):
        raise RuntimeError
    assert "forward" not in vars(network)


def test_the_next_attack_sees_the_weights_of_its_time() -> None:
    network, images = stack("digits-cnn", (1, 8, 8)), torch.rand(3, 1, 8, 8)
    for _ in range(2):
        with torch.no_grad(), shortcut(network, images):
            found = network(images)
        torch.testing.assert_close(found, network(images))
        for parameter in network.parameters():
            parameter.data.mul_(1.1)


@pytest.mark.parametrize("loss", [cross_entropy, kl_divergence])
@pytest.mark.parametrize("tau", [None, 1])
def test_attacks_end_where_they_would_without_it(
    loss: Callable[[Tensor, Tensor], Tensor], tau: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to pixels whose gradient is round-off; there are none here."""
    network = stack("digits-cnn", (1, 8, 8))
    images, labels = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(4)), torch.arange(40) % 10
    target = F.one_hot(labels, 10).float() if loss is kl_divergence else labels

    def attacked() -> Attacked:
        return pgd(
            network,
            images,
            labels,
            threat=Threat(epsilon=0.1, step=0.03, steps=5),
            generator=torch.Generator().manual_seed(5),
            loss=loss,
            target=target,
            tau=tau,
        )

    found = attacked()
    monkeypatch.setattr(import_module("fairbench.attacks.pgd"), "shortcut", lambda *_given: ExitStack())
    expected = attacked()
    torch.testing.assert_close(found.images, expected.images)
    assert torch.equal(found.survived, expected.survived)
    assert torch.equal(found.updates, expected.updates)


@pytest.mark.parametrize("name", ["digits-cnn", "cifar-cnn"])
def test_a_search_gives_an_image_the_same_bits_in_any_batch(name: str) -> None:
    """In multiples of four, as AutoAttack calls it; the smallest take another kernel and are filled up."""
    network, shape = stack(name, STACKS[name]), STACKS[name]
    images = torch.rand(48, *shape, generator=torch.Generator().manual_seed(6))
    with frozen(network):
        short = Shortened.of(network, images)
    assert short is not None
    logits, gradient = logits_and_gradient(short, images)
    for rows in (slice(0, 4), slice(4, 12), slice(12, 24), slice(8, 48)):
        found = logits_and_gradient(short, images[rows])
        assert torch.equal(found[0], logits[rows])
        assert torch.equal(found[1], gradient[rows])


def test_a_search_has_no_shortcut_through_other_networks() -> None:
    assert Shortened.of(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval(), torch.rand(1, 1, 8, 8)) is None
