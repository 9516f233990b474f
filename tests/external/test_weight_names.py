"""Weights under the names of others: prefixes, the usual spellings, and what a model itself makes of them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, relu
from torch.nn.utils.parametrizations import weight_norm

from fairbench.errors import UserError
from fairbench.external.foreign_weights import ForeignWeights, fit, read_weights
from fairbench.external.weight_names import prefixes
from fairbench.models.preactivation import PreActivationNetwork, preactresnet18
from fairbench.models.resnet import resnet18


def weights(tensors: Mapping[str, Tensor]) -> ForeignWeights:
    return ForeignWeights(tensors=dict(tensors), sha256="")


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))


def prefixed(prefix: str, model: nn.Module) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in model.state_dict().items()}


class TestPrefixes:
    @pytest.mark.parametrize("prefix", ["1", "backbone", "module.encoder.net", "a.b.c"])
    def test_one_that_all_names_have_is_seen_through(self, prefix: str) -> None:
        """`nn.Sequential(normalise, network)` calls its network `1`."""
        theirs, ours = net(), net()
        (remark,) = fit(ours, weights(prefixed(prefix, theirs)), origin="w.pt")
        assert f"'{prefix}.0.weight' for '0.weight'" in remark
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))

    @pytest.mark.parametrize("spell", [str.upper, lambda name: name.replace(".", "_"), lambda n: n.replace(".", "")])
    def test_dots_underscores_and_capitals_are_seen_through(self, spell: Callable[[str], str]) -> None:
        """Averages keep their weights as buffers, whose names have no dots."""
        theirs, ours = net(), net()
        fit(ours, weights({spell(name): value for name, value in theirs.state_dict().items()}), origin="w.pt")
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))

    def test_of_several_networks_each_is_named(self) -> None:
        held = prefixed("student", net()) | prefixed("teacher.model", net())
        assert prefixes(net().state_dict(), held) == ("student", "teacher.model")
        with pytest.raises(UserError, match=r"network lies below 'student', 'teacher\.model'; take one .* with --key"):
            fit(net(), weights(held), origin="w.pt")

    @pytest.mark.parametrize(
        ("content", "key"),
        [
            (lambda one, other: prefixed("student", one) | prefixed("teacher", other), "student"),
            (lambda one, other: {"model": prefixed("a.model", one) | prefixed("a.attacker.model", other)}, "a.model"),
            (lambda one, other: {"model": prefixed("x", one) | prefixed("y", other)}, "model.x"),
            (lambda one, _: {"state_dict": prefixed("model", one) | {"criterion.weight": torch.ones(2)}}, "model"),
        ],
    )
    def test_a_key_takes_one_of_them(self, content: Any, key: str, tmp_path: Path) -> None:
        one, ours = net(), net()
        torch.save(content(one, net()), tmp_path / "w.pt")
        found = read_weights(tmp_path / "w.pt", key=key)
        fit(ours, found, origin="w.pt")
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), one.parameters(), strict=True))
        assert "were taken; left out: '" in found.remarks[-1]

    def test_an_entry_of_that_name_comes_first(self, tmp_path: Path) -> None:
        """As before there were prefixes."""
        torch.save({"ema": net().state_dict(), "last": prefixed("ema", net())}, tmp_path / "w.pt")
        assert list(read_weights(tmp_path / "w.pt", key="ema").tensors) == list(net().state_dict())

    def test_a_key_in_two_dictionaries_is_refused(self, tmp_path: Path) -> None:
        torch.save({"best": prefixed("student", net()), "last": prefixed("student", net())}, tmp_path / "w.pt")
        with pytest.raises(UserError, match="several sets of weights; choose one with --key: 'best', 'last'"):
            read_weights(tmp_path / "w.pt", key="student")
        assert len(read_weights(tmp_path / "w.pt", key="last.student").tensors) == 4

    def test_a_normalisation_that_is_left_out_is_said(self, tmp_path: Path) -> None:
        held = prefixed("1", net()) | {"0.mean": torch.tensor([0.5, 0.25, 0.125]).view(1, 3, 1, 1)}
        torch.save(held, tmp_path / "w.pt")
        remark = read_weights(tmp_path / "w.pt", key="1").remarks[-1]
        assert remark == (
            "What was left out normalises images (0.mean = 0.5,0.25,0.125): give it with --mean and --std."
        )


class TestIgnored:
    def test_weights_are_left_out_on_purpose(self, tmp_path: Path) -> None:
        theirs = net()
        torch.save(prefixed("module", theirs) | {"module.unused.a": torch.ones(1), "b": torch.ones(1)}, tmp_path / "w")
        with pytest.raises(UserError, match="leave it out with --ignore unused --ignore b"):
            fit(net(), read_weights(tmp_path / "w"), origin="w")
        found = read_weights(tmp_path / "w", ignored=("unused", "b"))
        assert found.remarks == (
            "Left out on purpose, because of --ignore unused: 'module.unused.a'.",
            "Left out on purpose, because of --ignore b: 'b'.",
        )
        fit(net(), found, origin="w")

    @pytest.mark.parametrize("start", ["unuse", "x", "0.weigh"])
    def test_a_beginning_that_no_weight_has_is_refused(self, start: str, tmp_path: Path) -> None:
        torch.save(prefixed("module", net()) | {"module.unused.a": torch.ones(1)}, tmp_path / "w.pt")
        with pytest.raises(UserError, match=f"no weight to ignore that begins with '{start}'; it has 'module"):
            read_weights(tmp_path / "w.pt", ignored=(start,))

    def test_what_the_model_needs_is_still_missed(self, tmp_path: Path) -> None:
        torch.save(net().state_dict(), tmp_path / "w.pt")
        with pytest.raises(UserError, match=r"the file lacks '1\.weight', '1\.bias'"):
            fit(net(), read_weights(tmp_path / "w.pt", ignored=("1",)), origin="w.pt")


class _PreActBlock(nn.Module):
    """As PreActResNets for CIFAR are usually written."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False))

    def forward(self, features: Tensor) -> Tensor:
        active = relu(self.bn1(features))
        shortcut: nn.Module | None = getattr(self, "shortcut", None)
        passed: Tensor = features if shortcut is None else shortcut(active)
        residual: Tensor = self.conv2(relu(self.bn2(self.conv1(active))))
        return passed + residual


class _PreActResNet18(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        for group, (inputs, outputs) in enumerate([(64, 64), (64, 128), (128, 256), (256, 512)], start=1):
            blocks = (_PreActBlock(inputs, outputs, 1 if group == 1 else 2), _PreActBlock(outputs, outputs, 1))
            setattr(self, f"layer{group}", nn.Sequential(*blocks))
        self.bn, self.linear = nn.BatchNorm2d(512), nn.Linear(512, 10)

    def forward(self, images: Tensor) -> Tensor:
        features = self.conv1(images)
        for group in range(1, 5):
            features = getattr(self, f"layer{group}")(features)
        logits: Tensor = self.linear(relu(self.bn(features)).mean(dim=(2, 3)))
        return logits


class _WideBlock(nn.Module):
    """As Wide ResNets for adversarial training are usually written."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.convShortcut = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False) if inputs != outputs else None

    def forward(self, features: Tensor) -> Tensor:
        active = relu(self.bn1(features))
        residual: Tensor = self.conv2(relu(self.bn2(self.conv1(active))))
        return residual + (features if self.convShortcut is None else self.convShortcut(active))


class _Group(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(_WideBlock(inputs, outputs, stride), _WideBlock(outputs, outputs, 1))

    def forward(self, features: Tensor) -> Tensor:
        found: Tensor = self.layer(features)
        return found


class _WideResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.block1, self.block2, self.block3 = _Group(4, 8, 1), _Group(8, 16, 2), _Group(16, 32, 2)
        self.bn1, self.fc = nn.BatchNorm2d(32), nn.Linear(32, 10)

    def forward(self, images: Tensor) -> Tensor:
        features = relu(self.bn1(self.block3(self.block2(self.block1(self.conv1(images))))))
        logits: Tensor = self.fc(avg_pool2d(features, 8).flatten(1))
        return logits


def _stirred(model: nn.Module) -> nn.Module:
    """With statistics that no fresh model has."""
    for tensor in model.buffers():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape) + 0.5)
    return model.eval()


@pytest.mark.parametrize("prefix", ["", "module.", "model.backbone."])
def test_networks_of_others_give_the_same_logits_in_ours(prefix: str) -> None:
    """PreActResNet-18 and Wide ResNets, under the names that their published weights have."""
    torch.manual_seed(0)
    images = torch.rand(2, 3, 32, 32)
    small = PreActivationNetwork(classes=10, channels=3, stem=4, widths=(8, 16, 32), blocks=2)
    pairs = [(_WideResNet(), small), (_PreActResNet18(), preactresnet18(classes=10, channels=3, size=(32, 32)))]
    for theirs, ours in pairs:
        saved = {f"{prefix}{name}": tensor for name, tensor in _stirred(theirs).state_dict().items()}
        (remark,) = fit(ours, weights(saved), origin="w.pt")
        assert "weights have other names" in remark
        with torch.no_grad():
            assert torch.equal(ours.eval()(images), theirs(images))


def test_resnet18_by_shortcut_and_linear() -> None:
    ours, theirs = (resnet18(classes=10, channels=3, size=(32, 32)) for _ in range(2))
    spelt = {n.replace("downsample", "shortcut").replace("fc.", "linear."): t for n, t in theirs.state_dict().items()}
    fit(ours, weights({f"module.{name}": tensor for name, tensor in spelt.items()}), origin="w.pt")
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_another_architecture_is_not_taken_for_one_that_is_spelt_otherwise() -> None:
    with pytest.raises(UserError, match="does not fit the model"):
        fit(preactresnet18(classes=10, channels=3, size=(32, 32)), weights(_WideResNet().state_dict()), origin="w.pt")
    saved = resnet18(classes=10, channels=3, size=(32, 32)).state_dict()
    with pytest.raises(UserError, match="does not fit the model"):
        fit(preactresnet18(classes=10, channels=3, size=(32, 32)), weights(saved), origin="w.pt")


def test_other_names_for_the_same_shapes_are_not_guessed() -> None:
    with pytest.raises(UserError, match="The shapes are the same, so it may be that only the names differ"):
        fit(net(), weights({name.replace("0", "zero"): t for name, t in net().state_dict().items()}), origin="w.pt")


class TestByTheModelItself:
    @pytest.mark.parametrize("prefix", ["", "module."])
    def test_old_weight_norm(self, prefix: str) -> None:
        """Torch's own hook knows `weight_g` and `weight_v`."""
        linear = weight_norm(nn.Linear(3, 4))
        ours = nn.Sequential(linear, nn.ReLU())
        old = {"0.weight_g": torch.rand(4, 1) + 0.5, "0.weight_v": torch.randn(4, 3), "0.bias": torch.randn(4)}
        remarks = fit(ours, weights({f"{prefix}{name}": tensor for name, tensor in old.items()}), origin="w.pt")
        assert remarks == ("The weights have other names, which the model itself understands.",)
        direction = old["0.weight_v"] / old["0.weight_v"].norm(dim=1, keepdim=True)
        assert torch.allclose(linear.weight, old["0.weight_g"] * direction)

    def test_a_hook_that_renames_and_reshapes(self) -> None:
        model: Any = net()

        def rename(_module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
            for name in [name for name in state if name.startswith("old")]:
                state[prefix + name.removeprefix("old")] = state.pop(name).T if "weight" in name else state.pop(name)

        model.register_load_state_dict_pre_hook(rename)
        theirs = net().state_dict()
        held = {f"old{name}": tensor.T if "weight" in name else tensor for name, tensor in theirs.items()}
        fit(model, weights(held), origin="w.pt")
        assert all(torch.equal(value, theirs[name]) for name, value in model.state_dict().items())

    @pytest.mark.parametrize("problem", ["missing", "nan", "raises"])
    def test_what_it_refuses_leaves_it_unchanged(self, problem: str) -> None:
        model: Any = nn.Sequential(weight_norm(nn.Linear(3, 4)), nn.Linear(4, 2))
        held = {"0.weight_g": torch.ones(4, 1), "0.weight_v": torch.ones(4, 3), "0.bias": torch.ones(4)}
        held |= {"1.weight": torch.ones(2, 4), "1.bias": torch.ones(2)}
        if problem == "missing":
            del held["1.bias"]
        elif problem == "nan":
            held["0.weight_g"] = torch.full((4, 1), torch.nan)
        else:

            def refuse(*_: Any) -> None:
                raise KeyError("no such version")

            model[1].register_load_state_dict_pre_hook(refuse)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        with pytest.raises(UserError, match="NaN or infinity" if problem == "nan" else "does not fit the model"):
            fit(model, weights(held), origin="w.pt")
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
