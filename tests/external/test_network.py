"""Networks of one's own in training: what identifies them, how they are built, and what is refused beforehand."""

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from fairbench import Suite, UserError, load_suite
from fairbench.external.network import build_network, check_trainable, source_sha256, with_sources
from fairbench.method import registry
from fairbench.models.normalised import Normalised
from fairbench.protocol.factory import Factory

NETS = """
import torch
from torch import nn
from .sizes import HIDDEN

def net(*, classes, channels, size, width=HIDDEN, dropout=0.0):
    pixels = channels * size[0] * size[1]
    hidden = nn.Sequential(nn.Linear(pixels, width), nn.ReLU(), nn.Dropout(dropout))
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(width, classes))

def hundred(num_classes=100):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))

class Normalising(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.5]))
        self.network = hundred(classes)
    def forward(self, images):
        return self.network(images - self.mean)

class Keeping(nn.Linear):
    def get_extra_state(self):
        return {"version": 2}
    def set_extra_state(self, state):
        pass

def keeping(classes):
    return nn.Sequential(nn.Flatten(), Keeping(64, classes))

def batch_norm(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, classes))

def frozen(classes):
    return batch_norm(classes).requires_grad_(False)

class Auxiliary(nn.Sequential):
    def forward(self, images):
        logits = super().forward(images)
        return (logits, logits) if self.training else logits

def auxiliary(classes):
    return Auxiliary(nn.Flatten(), nn.Linear(64, classes))

class Growing(Auxiliary):
    def forward(self, images):
        if self.training and not hasattr(self, "extra"):
            self.extra = nn.Linear(10, 10)
        return nn.Sequential.forward(self, images)

def growing(classes):
    return Growing(nn.Flatten(), nn.Linear(64, classes))

def lazy(classes):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))
"""


@pytest.fixture
def nets(tmp_path: Path) -> Path:
    """A file with factories, and one beside it."""
    (tmp_path / "sizes.py").write_text("HIDDEN = 4\n", encoding="utf-8")
    path = tmp_path / "nets.py"
    path.write_text(NETS, encoding="utf-8")
    return path


@pytest.fixture
def suite(nets: Path) -> Suite:
    return replace(load_suite("digits"), model="nets.py:net", folder=str(nets.parent))


def built(suite: Suite, *, classes: int = 10) -> nn.Module:
    return build_network(suite, classes=classes, channels=1, size=(8, 8), mean=(0.3,), std=(0.4,))


class TestBuilt:
    def test_by_arguments_and_by_what_it_asks_for_behind_a_normalisation(self, suite: Suite) -> None:
        """`classes`, `channels` and `size` are given to who has parameters of these names."""
        network = built(replace(suite, model_factory=Factory(arguments=(("width", 6),))), classes=3)
        assert isinstance(network, Normalised)
        assert network.state_dict()["network.1.weight"].shape == (6, 64)
        images = torch.rand(2, 1, 8, 8)
        assert torch.equal(network(images), network.network((images - 0.3) / 0.4))

    def test_the_callers_seed_decides_on_the_weights(self, suite: Suite) -> None:
        found = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            found.append(built(suite).state_dict()["network.1.weight"])
        assert torch.equal(found[0], found[1])
        assert not torch.equal(found[0], found[2])

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("hundred", "nets.py:hundred distinguishes 100 classes, the dataset has 10.*num_classes = 10 under"),
            ("Normalising", "nets.py:Normalising normalises images itself, by its buffer 'mean'"),
            ("nett", r"has no function 'nett'; it defines: .*Keeping, Normalising, .*net"),
        ],
    )
    def test_what_cannot_be_trained_on_is_told(self, name: str, said: str, suite: Suite) -> None:
        with pytest.raises(UserError, match=said):
            built(replace(suite, model=f"nets.py:{name}"))

    def test_an_argument_that_it_has_not_is_told(self, suite: Suite) -> None:
        with pytest.raises(UserError, match=r"called with classes=10, .*, depth=3: TypeError: .*'depth'"):
            built(replace(suite, model_factory=Factory(arguments=(("depth", 3),))))

    def test_a_network_of_torchvision(self) -> None:
        arguments = (("num_classes", 10),)
        suite = replace(
            load_suite("cifar10"), model="torchvision.models:resnet18", model_factory=Factory(arguments=arguments)
        )
        network = build_network(suite, classes=10, channels=3, size=(32, 32), mean=(0.5,) * 3, std=(0.2,) * 3)
        check_trainable(network, called="It", image=torch.rand(3, 32, 32), last_batch=2)
        with pytest.raises(UserError, match="has one image: choose another batch_size"):
            check_trainable(network, called="It", image=torch.rand(3, 32, 32), last_batch=1)

    @pytest.mark.parametrize(
        "arguments",
        [
            {"model_name": "vit_tiny_patch16_224", "img_size": 32, "patch_size": 8},
            {"model_name": "convnext_atto", "patch_size": 2},
        ],
        ids=["vit", "convnext"],
    )
    def test_a_network_of_timm(self, arguments: dict[str, str | int]) -> None:
        """Transformers and modern convolutions on images of 32x32, and a last batch of one image."""
        pytest.importorskip("timm")
        given = tuple(sorted({**arguments, "num_classes": 10}.items()))
        suite = replace(load_suite("cifar10"), model="timm:create_model", model_factory=Factory(arguments=given))
        network = build_network(suite, classes=10, channels=3, size=(32, 32), mean=(0.5,) * 3, std=(0.2,) * 3)
        check_trainable(network, called="It", image=torch.rand(3, 32, 32), last_batch=1)


class TestTrainable:
    def test_weights_that_do_not_exist_yet_are_told(self, suite: Suite) -> None:
        with pytest.raises(UserError, match=r"before its first call \('network\.1\.weight'\): call it once"):
            built(replace(suite, model="nets.py:lazy"))

    @pytest.mark.parametrize(
        ("name", "last", "said"),
        [
            ("keeping", 2, r"It keeps 'network\.1\._extra_state' in its state, which is no tensor"),
            ("batch_norm", 1, r"on a batch of 1 images: ValueError: .*more than 1 value.*choose another batch_size\."),
            ("frozen", 2, "It has no weight that can be trained"),
            ("auxiliary", 2, "It returns a tuple in train mode; a model returns logits alone.* auxiliary outputs off"),
            ("growing", 2, r"It changes its own layers when it is called in train mode \('network\.extra\.bias'\)"),
        ],
    )
    def test_what_would_break_a_training_is_refused(self, name: str, last: int, said: str, suite: Suite) -> None:
        network = built(replace(suite, model=f"nets.py:{name}"))
        with pytest.raises(UserError, match=said):
            check_trainable(network, called="It", image=torch.rand(1, 8, 8), last_batch=last)

    def test_the_network_and_the_random_state_are_left_alone(self, suite: Suite) -> None:
        network = built(replace(suite, model="nets.py:batch_norm"))
        before, state = {n: t.clone() for n, t in network.state_dict().items()}, torch.random.get_rng_state()
        check_trainable(network, called="It", image=torch.rand(1, 8, 8), last_batch=5)
        torch.random.set_rng_state(state)
        check_trainable(network, called="It", image=torch.ones(1, 8, 8), last_batch=5)
        assert torch.equal(state, torch.random.get_rng_state())
        assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
        assert all(parameter.grad is None for parameter in network.parameters())


class TestSources:
    @pytest.fixture
    def package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        folder = tmp_path / "site" / "their_nets"
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("", encoding="utf-8")
        (folder / "deep.py").write_text("def net(): raise RuntimeError('not run to be hashed')\n", encoding="utf-8")
        monkeypatch.syspath_prepend(str(folder.parent))
        importlib.invalidate_caches()
        yield folder
        sys.modules.pop("their_nets", None)

    def test_an_edit_of_a_file_or_of_one_beside_it_is_another_network(self, suite: Suite, nets: Path) -> None:
        def code() -> str:
            return with_sources(suite).model_factory.code

        first = code()
        assert first == code()
        (nets.parent / "sizes.py").write_text("HIDDEN = 5\n", encoding="utf-8")
        second = code()
        nets.write_text(NETS + "\n", encoding="utf-8")
        assert len({first, second, code()}) == 3
        assert with_sources(suite).teacher_factory == Factory()

    def test_where_it_lies_is_no_matter(self, nets: Path, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        for name in ("nets.py", "sizes.py"):
            (tmp_path / "elsewhere" / name).write_bytes((nets.parent / name).read_bytes())
        assert source_sha256(f"{nets}:net") == source_sha256("nets.py:net", folder=str(tmp_path / "elsewhere"))

    def test_of_a_package_every_file_counts_and_none_is_run(self, package: Path) -> None:
        first = source_sha256("their_nets.deep:net")
        assert first == source_sha256("their_nets:other")
        (package / "deep.py").write_text("def net(): ...\n", encoding="utf-8")
        assert source_sha256("their_nets.deep:net") != first

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ("no_such_package.nets:net", "there is no package 'no_such_package' here. Install it or set PYTHONPATH"),
            ("no/such/nets.py:net", "Cannot read the model .*No such file"),
            (":net", "there is no package '' here"),
        ],
    )
    def test_what_is_not_there_is_named(self, given: str, said: str) -> None:
        with pytest.raises(UserError, match=said):
            source_sha256(given)


REFUSING: list[tuple[str, dict[str, float], str]] = [
    ("net", {}, "has none; leave it at 'eval'"),
    ("net", {"dropout": 0.5}, "has none; leave it at 'eval'"),
    ("batch_norm", {}, ""),
]


@pytest.mark.parametrize("method", ["pgd-at", "cfa-at", "ard", "fair-ard"])
@pytest.mark.parametrize(("name", "arguments", "said"), REFUSING)
def test_a_method_says_what_it_needs(
    method: str, name: str, arguments: dict[str, float], said: str, suite: Suite
) -> None:
    network = built(replace(suite, model=f"nets.py:{name}", model_factory=Factory(arguments=tuple(arguments.items()))))
    reason = registry.create(method, {"attack_bn": "train"}).refuses(network)
    assert said in reason if said else reason == ""
    assert not registry.create(method, {}).refuses(network)


def test_drop_out_in_an_attack_is_refused() -> None:
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.5))
    assert "would drop units at random at every step of the attack, in '1'" in registry.create(
        "pgd-at", {"attack_bn": "train"}
    ).refuses(network)
