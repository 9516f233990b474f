"""Architectures: sizes, classes and channels of a suite, pinned weight counts, normalisation inside."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from fairbench.errors import UserError
from fairbench.models import build_model, describe, model_names
from fairbench.models.preactivation import PreActivationBlock
from fairbench.protocol.suite_file import load_suite, suite_names

# Ten classes; grey 8x8 and 28x28 images for digits and MNIST, colour 32x32 otherwise. ResNet-18, WRN-28-10 and
# WRN-34-10 agree with the literature; PreActResNet-18 has the last batch norm (1,024 weights) that some copies lack.
WEIGHTS = {
    "cifar-cnn": 224_842,
    "digits-cnn": 15_418,
    "digits-cnn-wide": 58_474,
    "mnist-cnn": 96_554,
    "mobilenetv2": 2_236_682,
    "preactresnet18": 11_172_170,
    "resnet18": 11_173_962,
    "strided-cnn": 52_202,
    "strided-cnn-wide": 186_314,
    "wrn-28-10": 36_479_194,
    "wrn-34-10": 46_160_474,
}
LARGE = ("wrn-28-10", "wrn-34-10")
STRIDED = ("strided-cnn", "strided-cnn-wide")
EIGHTHS = ("mobilenetv2", "preactresnet18", "resnet18", *STRIDED)


def smallest(name: str) -> int:
    """Height and width of the smallest images that a network takes."""
    return 16 if name in STRIDED else 9 if name in EIGHTHS else 5


def model(name: str, *, classes: int = 10, channels: int = 3, size: tuple[int, int] = (32, 32)) -> nn.Module:
    torch.manual_seed(0)
    return build_model(
        name, classes=classes, channels=channels, size=size, mean=(0.4,) * channels, std=(0.2,) * channels
    )


def test_every_architecture_has_a_pinned_number_of_weights() -> None:
    assert model_names() == sorted(WEIGHTS)
    native = {"digits-cnn": (1, (8, 8)), "digits-cnn-wide": (1, (8, 8)), "mnist-cnn": (1, (28, 28))}
    for name, expected in WEIGHTS.items():
        channels, size = native.get(name, (3, (32, 32)))
        with torch.device("meta"):
            network = model(name, channels=channels, size=size)
        assert sum(parameter.numel() for parameter in network.parameters()) == expected, name


@pytest.mark.parametrize("name", model_names())
@pytest.mark.parametrize(
    ("classes", "channels", "size"), [(10, 3, (32, 32)), (3, 1, (28, 28)), (100, 3, (24, 40)), (2, 1, (17, 19))]
)
def test_logits_have_the_asked_shape(name: str, classes: int, channels: int, size: tuple[int, int]) -> None:
    with torch.device("meta"):
        network = model(name, classes=classes, channels=channels, size=size)
        assert network(torch.rand(2, channels, *size)).shape == (2, classes)


@pytest.mark.parametrize("name", [name for name in model_names() if name not in LARGE])
def test_a_network_gives_finite_logits_and_a_gradient_to_every_weight(name: str) -> None:
    size = max(10, smallest(name))
    network = model(name, size=(size, size))
    loss = network(torch.rand(2, 3, size, size)).square().sum()
    loss.backward()
    assert torch.isfinite(loss)
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name


@pytest.mark.parametrize("name", model_names())
def test_the_last_convolution_sees_the_resolution_of_the_literature(name: str) -> None:
    """An eighth of the image in ResNets, MobileNetV2 and strided-cnn, a quarter in Wide ResNets and the others."""
    shapes: list[torch.Size] = []
    with torch.device("meta"):
        network = model(name, size=(40, 24))
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(lambda _module, _inputs, features: shapes.append(features.shape))
        network(torch.rand(2, 3, 40, 24))
    assert shapes[-1][2:] == ((5, 3) if name in EIGHTHS else (10, 6))
    assert shapes[0][2:] == ((20, 12) if name in ("cifar-cnn", *STRIDED) else (40, 24))


def test_a_shortcut_takes_the_activated_input_where_shapes_change_and_the_input_elsewhere() -> None:
    features = torch.randn(2, 3, 8, 8)
    changing, keeping = PreActivationBlock(3, 5, stride=2).eval(), PreActivationBlock(3, 3, stride=1).eval()
    for block in (changing, keeping):
        nn.init.zeros_(block.conv2.weight)  # no residual: what passes is the shortcut alone
    assert changing.shortcut is not None
    with torch.no_grad():
        assert torch.equal(keeping(features), features)
        torch.testing.assert_close(changing(features), changing.shortcut(changing.norm1(features).relu()))


def test_a_wide_network_runs_on_a_real_image() -> None:
    network = model("wrn-28-10", size=(8, 8)).eval()
    with torch.no_grad():
        assert torch.isfinite(network(torch.rand(1, 3, 8, 8))).all()


@pytest.mark.parametrize("name", [name for name in model_names() if name not in LARGE])
def test_in_eval_mode_an_image_does_not_see_its_neighbours(name: str) -> None:
    size = max(12, smallest(name))
    network = model(name, size=(size, size)).eval()
    images = torch.rand(5, 3, size, size)
    with torch.no_grad():
        together = network(images)
        alone = torch.cat([network(image[None]) for image in images])
        assert torch.equal(together, network(images))
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in model_names() if name not in LARGE])
def test_a_last_batch_of_one_image_can_be_trained_on_at_the_smallest_size(name: str) -> None:
    size = smallest(name)
    network = model(name, size=(size, size)).train()
    assert torch.isfinite(network(torch.rand(1, 3, size, size))).all()
    with pytest.raises(UserError, match=f"'{name}' cannot take images of {size - 1}x40.*{size}x{size} or"):
        model(name, size=(size - 1, 40))


def test_normalisation_is_the_first_layer_and_travels_with_the_weights() -> None:
    torch.manual_seed(0)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    network = build_model("cifar-cnn", classes=10, channels=3, size=(32, 32), mean=mean, std=std).eval()
    images = torch.rand(2, 3, 32, 32)
    by_hand = torch.stack([(images[:, c] - mean[c]) / std[c] for c in range(3)], dim=1)
    inner = network.get_submodule("network")
    with torch.no_grad():
        torch.testing.assert_close(network(images), inner(by_hand))
    other = model("cifar-cnn").eval()
    other.load_state_dict(network.state_dict())
    with torch.no_grad():
        assert torch.equal(other(images), network(images))
    assert "mean" not in dict(network.named_parameters())


def test_the_same_seed_gives_the_same_weights() -> None:
    first, second = model("resnet18").state_dict(), model("resnet18").state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("given", "close"), [("resnet-18", "resnet18"), ("wrn-28", "wrn-28-10"), ("CNN", "mnist-cnn")])
def test_an_unknown_name_gets_a_suggestion(given: str, close: str) -> None:
    with pytest.raises(UserError, match=f"Unknown model '{given}'. Did you mean '{close}'"):
        model(given)
    with pytest.raises(UserError, match="Known: cifar-cnn, digits-cnn"):
        describe(given)


def test_every_architecture_is_described_and_every_suite_names_one() -> None:
    assert all(describe(name) for name in model_names())
    for suite in map(load_suite, suite_names()):
        assert {suite.model, suite.teacher} <= set(model_names())


def test_listing_imports_no_torch() -> None:
    code = (
        "import sys; from fairbench.models import describe, model_names; "
        "from fairbench.data.sources import dataset_names; import fairbench.data.digest; "
        "list(map(describe, model_names())); dataset_names(); "
        "sys.exit(', '.join({'torch', 'torchvision', 'sklearn'} & set(sys.modules)) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    assert result.returncode == 0, result.stderr
