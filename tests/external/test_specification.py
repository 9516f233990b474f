"""Every way to name a model leads to one that takes images in [0, 1], or to a sentence that says what to change."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fairbench.errors import UserError
from fairbench.external.normalisation import Normalisation
from fairbench.external.specification import External, load_external
from fairbench.identity import file_sha256
from fairbench.models.checkpoint import save_weights
from fairbench.models.normalised import Normalised

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
GIVEN = Normalisation(mean=(0.3,), std=(0.37,))  # as the model of the fixture `digits` has it
Load = Callable[..., External]

FACTORIES = """
import torch
from torch import nn

def plain(classes=10):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))

def hundred():
    return plain(100)

class Normalising(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mu", torch.tensor([0.5]))
        self.network = plain()
    def forward(self, images):
        return self.network(images - self.mu)

class Pair(nn.Module):
    def forward(self, images):
        return images.flatten(1)[:, :10], None

class Predicting(nn.Module):
    def forward(self, images):
        return images.flatten(1).argmax(dim=1)

class Vector(nn.Module):
    def forward(self, images):
        return images.flatten(1).sum(dim=1)

class Noisy(nn.Module):
    def forward(self, images):
        return torch.rand(len(images), 10)

def convolutional():
    return nn.Sequential(nn.Conv2d(3, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
"""


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """`load_external` for grey images of 8x8 pixels and ten classes."""

    def call(given: str, **changes: Any) -> External:
        values: dict[str, Any] = {"classes": 10, "channels": 1, "size": (8, 8), "dataset": "digits", "norm": "Linf"}
        return load_external(given, **values | {"folder": tmp_path} | changes)

    return call


@pytest.fixture
def factories(tmp_path: Path) -> str:
    """A file with factories."""
    path = tmp_path / "factories.py"
    path.write_text(FACTORIES, encoding="utf-8")
    return str(path)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(2))


class TestArchitectureOfOurs:
    def test_with_our_own_checkpoint(self, load: Load, digits: nn.Module, images: Tensor, tmp_path: Path) -> None:
        path = tmp_path / "selected.safetensors"
        save_weights(path, digits.state_dict())
        for normalisation in (None, GIVEN, Normalisation(mean=(0.3002,), std=(0.3698,))):
            found = load("digits-cnn", checkpoint=path, normalisation=normalisation)
            assert torch.equal(found.model(images), digits(images))
            assert (found.specification, found.file_sha256, found.remarks) == ("digits-cnn", file_sha256(path), ())
            assert not any(module.training for module in found.model.modules())

    def test_a_normalisation_is_never_contradicted(self, load: Load, digits: nn.Module, tmp_path: Path) -> None:
        path = tmp_path / "selected.safetensors"
        save_weights(path, digits.state_dict())
        for given in (Normalisation(mean=(0.0,), std=(1.0,)), Normalisation(mean=(0.3,), std=(0.35,))):
            with pytest.raises(
                UserError, match=r"contradicts .*selected\.safetensors, which holds --mean 0\.3 --std 0\.37"
            ):
                load("digits-cnn", checkpoint=path, normalisation=given)

    def test_a_bare_network_needs_one(self, load: Load, digits: nn.Module, images: Tensor, tmp_path: Path) -> None:
        assert isinstance(digits, Normalised)
        path = tmp_path / "best.pth"
        torch.save({"state_dict": nn.DataParallel(digits.network).state_dict()}, path)
        with pytest.raises(UserError, match=r"fits, but .* normalisation.*--mean 0\.4914.*--mean 0 --std 1"):
            load("digits-cnn", checkpoint=path)
        found = load("digits-cnn", checkpoint=path, normalisation=GIVEN)
        assert torch.equal(found.model(images), digits(images))
        assert found.remarks[-1] == "Images are normalised as given: --mean 0.3 --std 0.37."
        assert "entry 'state_dict'" in found.remarks[0]
        as_it_is = load("digits-cnn", checkpoint=path, normalisation=Normalisation.parse("0", "1"))
        assert torch.equal(as_it_is.model(images), digits.network(images))

    def test_another_dataset_or_architecture_is_refused(self, load: Load, digits: nn.Module, tmp_path: Path) -> None:
        path = tmp_path / "w.safetensors"
        save_weights(path, digits.state_dict())
        with pytest.raises(UserError, match=r"has shape \(10, .*wants \(7, .*number of classes"):
            load("digits-cnn", checkpoint=path, classes=7)
        with pytest.raises(UserError, match=r"w\.safetensors does not fit the model: .*Check that the architecture"):
            load("mobilenetv2", checkpoint=path, size=(32, 32))
        save_weights(path, digits.state_dict() | {"std": torch.zeros(1, 1, 1, 1)})
        with pytest.raises(UserError, match="no standard deviation may be 0"):
            load("digits-cnn", checkpoint=path)

    def test_a_checkpoint_and_a_known_name_are_needed(self, load: Load, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"digits-cnn is an architecture without weights; .*--checkpoint"):
            load("digits-cnn")
        with pytest.raises(UserError, match=r"Unknown model 'digit-cnn'\. Did you mean 'digits-cnn'.*file\.py:factory"):
            load("digit-cnn", checkpoint=tmp_path / "w.pt")
        with pytest.raises(UserError, match="--key ema names an entry of a checkpoint; give the file"):
            load("digits-cnn", key="ema")


class TestFactory:
    def test_with_its_own_weights_the_same_every_time(self, load: Load, factories: str, images: Tensor) -> None:
        before = torch.random.get_rng_state()
        first, second = load(f"{factories}:plain"), load(f"{factories}:plain")
        assert torch.equal(before, torch.random.get_rng_state())
        assert torch.equal(first.model(images), second.model(images))
        assert (first.specification, first.file_sha256) == ("factories.py:plain", "")
        assert "the weights are those that the factory gave" in first.remarks[0]

    def test_with_a_checkpoint_and_a_normalisation(
        self, load: Load, factories: str, images: Tensor, tmp_path: Path
    ) -> None:
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        torch.save(
            {"best": network.state_dict(), "last": load(f"{factories}:plain").model.state_dict()}, tmp_path / "w"
        )
        given: dict[str, Any] = {"checkpoint": tmp_path / "w", "key": "best"}
        assert torch.equal(load(f"{factories}:plain", **given).model(images), network(images))
        found = load(f"{factories}:plain", normalisation=GIVEN, **given)
        assert torch.allclose(found.model(images), network((images - 0.3) / 0.37))
        assert found.remarks[-1].startswith("Images are normalised as given")

    def test_one_that_normalises_is_not_normalised_twice(self, load: Load, factories: str) -> None:
        with pytest.raises(UserError, match=r"normalises images itself, by its buffer 'mu'.*normalised twice"):
            load(f"{factories}:Normalising", normalisation=GIVEN)
        assert load(f"{factories}:Normalising").model is not None

    def test_a_package_keeps_its_name(self, load: Load) -> None:
        with pytest.raises(
            UserError, match=r"torchvision\.models:resnet18 distinguishes 1000 classes, the dataset has 10"
        ):
            load("torchvision.models:resnet18", channels=3, size=(32, 32))

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("hundred", "distinguishes 100 classes, the dataset has 10. Check which dataset it was trained on"),
            ("Pair", "returns a tuple; a model returns logits alone"),
            ("Predicting", r"returns a tensor of torch\.int64; a model returns logits alone"),
            ("Vector", r"turns 2 images into an output of shape \(2,\); logits have the shape \(2, 10\)"),
            ("convolutional", r"cannot take images of 1x8x8 \(channels, height, width\): RuntimeError.*3 channels"),
        ],
    )
    def test_what_is_no_classifier_of_this_dataset_is_named(
        self, name: str, said: str, load: Load, factories: str
    ) -> None:
        with pytest.raises(UserError, match=said):
            load(f"{factories}:{name}")

    def test_the_first_call_leaves_the_random_state(self, load: Load, factories: str) -> None:
        before = torch.random.get_rng_state()
        load(f"{factories}:Noisy")
        assert torch.equal(before, torch.random.get_rng_state())


class TestZoo:
    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        """What the zoo was asked for; it answers with an identity on flat images."""
        asked: dict[str, Any] = {}

        def zoo_model(name: str, **given: Any) -> tuple[nn.Module, tuple[str, ...]]:
            asked.update(given, name=name)
            return nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), ("As published.",)

        monkeypatch.setattr("fairbench.external.zoo.zoo_model", zoo_model)
        return asked

    def test_is_asked_with_everything_it_needs(self, load: Load, asked: dict[str, Any], tmp_path: Path) -> None:
        (tmp_path / "w.pt").write_bytes(b"weights")
        found = load("robustbench:Wong2020Fast", checkpoint=tmp_path / "w.pt", key="last", norm="L2", dataset="cifar10")
        assert (found.specification, found.remarks) == ("robustbench:Wong2020Fast", ("As published.",))
        assert found.file_sha256 == file_sha256(tmp_path / "w.pt")
        assert asked == {
            "name": "Wong2020Fast",
            "dataset": "cifar10",
            "norm": "L2",
            "checkpoint": tmp_path / "w.pt",
            "key": "last",
            "folder": tmp_path,
        }

    def test_normalises_itself(self, load: Load, asked: dict[str, Any]) -> None:
        with pytest.raises(UserError, match="robustbench:Wong2020Fast normalises images itself; leave out --mean"):
            load("robustbench:Wong2020Fast", normalisation=GIVEN)
        assert not asked


def test_other_forms_import_no_zoo(load: Load, factories: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fairbench.external.zoo", None)
    assert load(f"{factories}:plain").model is not None


@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared folder with published checkpoints")
class TestPublished:
    def test_mnist_network_of_trades(self, load: Load) -> None:
        """99.48 % clean on the whole test set."""
        found = load(
            f"{SHARED / 'models' / 'zoo.py'}:trades_mnist",
            checkpoint=SHARED / "models" / "trades_mnist_smallcnn.pt",
            size=(28, 28),
        )
        data = np.load(SHARED / "mnist" / "mnist_test.npz")
        predicted = found.model(torch.from_numpy(data["images"][:500]).view(-1, 1, 28, 28).float() / 255).argmax(dim=1)
        assert float((predicted == torch.from_numpy(data["labels"][:500].astype(np.int64))).float().mean()) > 0.985

    def test_cifar10_network_is_not_normalised_twice(self, load: Load) -> None:
        given: dict[str, Any] = {
            "checkpoint": SHARED / "models" / "cifar_cnn_a_adv.pt",
            "channels": 3,
            "size": (32, 32),
        }
        name = f"{SHARED / 'models' / 'zoo.py'}:cifar_cnn_a"
        assert load(name, **given).remarks == ()
        with pytest.raises(UserError, match=r"buffer '0\.mean'"):
            load(name, normalisation=Normalisation.parse("0.4914,0.4822,0.4465", "0.2471,0.2435,0.2616"), **given)
        with pytest.raises(UserError, match="does not fit the model"):
            load("cifar-cnn", **given)
