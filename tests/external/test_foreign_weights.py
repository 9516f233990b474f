"""Weights are found in what people save around them, and fit a model completely or not at all."""

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from fairbench.errors import UserError
from fairbench.external.foreign_weights import ForeignWeights, fit, read_weights
from fairbench.external.weight_names import without_wrappers
from fairbench.models import build_model, model_names

WEIGHTS = {"weight": torch.arange(6.0).view(2, 3), "bias": torch.tensor([1.0, -2.0])}
WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "network.")


def weights(tensors: Mapping[str, Tensor]) -> ForeignWeights:
    return ForeignWeights(tensors=dict(tensors), sha256="")


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_equal(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert list(found) == list(expected)
    for name, tensor in found.items():
        assert tensor.dtype == expected[name].dtype, name
        assert torch.equal(tensor, expected[name]), name


class TestNoWeights:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ({"shadow_params": [torch.ones(2)], "decay": 0.9}, "a list of tensors without names.*save its state_dict"),
            ([torch.ones(2)], "a list of tensors without names"),
            ({"weight": torch.ones(2, 3, dtype=torch.int8)}, "its tensors are of type int8, and weights are floating"),
            ({}, "there is no dictionary of named tensors in it"),
        ],
        ids=["averaged parameters", "list", "quantised", "empty"],
    )
    def test_what_is_there_instead_is_named(self, content: object, said: str, tmp_path: Path) -> None:
        torch.save(content, tmp_path / "w.pt")
        with pytest.raises(UserError, match=f"holds no weights: .*{said}"):
            read_weights(tmp_path / "w.pt")


class TestRead:
    @pytest.mark.parametrize(
        ("content", "key"),
        [
            (WEIGHTS, ""),
            ({"state_dict": WEIGHTS, "epoch": 3, "best_acc": torch.tensor(0.9)}, ""),
            ({"net": WEIGHTS, "rng": {"cpu": torch.zeros(8, dtype=torch.uint8)}}, ""),
            ({"checkpoint": {"models": {"student": WEIGHTS}}}, ""),
            ({"best": WEIGHTS, "last": {"weight": torch.zeros(2, 3)}}, "best"),
            ({"ema": {"decay": 0.99, "shadow": WEIGHTS}, "model": {"weight": torch.zeros(2, 3)}}, "ema.shadow"),
            ({"ema": {"decay": 0.99, "shadow": WEIGHTS}, "model": {"weight": torch.zeros(2, 3)}}, "ema"),
            ({"best": WEIGHTS, "last": WEIGHTS}, "last"),
            ({**WEIGHTS, "ema": {"weight": torch.zeros(2, 3)}}, "."),
        ],
    )
    def test_at_any_depth(self, content: object, key: str, tmp_path: Path) -> None:
        path = tmp_path / "w.pt"
        torch.save(content, path)
        found = read_weights(path, key=key)
        assert_equal(found.tensors, WEIGHTS)
        assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()

    def test_what_was_done_is_said(self, tmp_path: Path) -> None:
        torch.save({"state_dict": {**WEIGHTS, "epoch": 3}}, tmp_path / "w.pt")
        assert read_weights(tmp_path / "w.pt").remarks == (
            "The weights are the entry 'state_dict' of w.pt.",
            "Entries of w.pt that are no tensors were left out: 'epoch'.",
        )
        save_file(WEIGHTS, tmp_path / "w.safetensors")
        assert read_weights(tmp_path / "w.safetensors").remarks == ()

    def test_what_an_optimiser_keeps_is_no_candidate(self, tmp_path: Path) -> None:
        """A training state has one set of weights, beside as many momenta."""
        model = nn.Linear(3, 2)
        for optimiser in (torch.optim.SGD(model.parameters(), momentum=0.9), torch.optim.Adam(model.parameters())):
            model(torch.ones(1, 3)).sum().backward()
            optimiser.step()
            torch.save({"model": model.state_dict(), "optimizer": optimiser.state_dict()}, tmp_path / "w.pt")
            assert_equal(read_weights(tmp_path / "w.pt").tensors, snapshot(model))

    @pytest.mark.parametrize(
        ("content", "key", "said"),
        [
            (
                {"best": WEIGHTS, "last": WEIGHTS},
                "",
                "several sets of weights; choose one with --key: 'best', 'last'",
            ),
            ({"ema": {"a": dict(WEIGHTS), "b": dict(WEIGHTS)}}, "ema", "several .* --key: 'ema.a', 'ema.b'"),
            ({**WEIGHTS, "ema": dict(WEIGHTS)}, "", r"several .* --key: '\.', 'ema'"),
            ({"best": WEIGHTS}, "last", "no weights in 'last'; give --key one of 'best'"),
            (WEIGHTS, "last", "no entry 'last': it holds the weights directly. Leave out --key"),
            ({"epoch": 3, "loss": torch.tensor(0.1)}, "", "holds no weights"),
            (torch.zeros(3), "", "holds no weights"),
            ([WEIGHTS], "", "holds no weights"),
        ],
    )
    def test_several_or_none_are_named(self, content: object, key: str, said: str, tmp_path: Path) -> None:
        torch.save(content, tmp_path / "w.pt")
        with pytest.raises(UserError, match=rf"w\.pt .*{said}"):
            read_weights(tmp_path / "w.pt", key=key)

    def test_a_file_that_contains_itself_ends(self, tmp_path: Path) -> None:
        content: dict[str, object] = {"state_dict": WEIGHTS}
        content["self"] = content
        torch.save(content, tmp_path / "w.pt")
        assert_equal(read_weights(tmp_path / "w.pt").tensors, WEIGHTS)


class TestFit:
    def test_data_parallel_compiled_and_averaged_models(self, digits: nn.Module) -> None:
        """As torch itself saves them, and into a model that is wrapped itself."""
        expected = snapshot(digits)
        compiled: Any = torch.compile(nn.DataParallel(digits))
        for saved in (nn.DataParallel(digits), compiled, AveragedModel(digits)):
            fresh = build_model("digits-cnn", classes=10, channels=1, size=(8, 8), mean=(0.0,), std=(1.0,))
            (remark,) = fit(fresh, weights(saved.state_dict()), origin="w.pt")
            assert re.match(r"\d+ weights have other names, as '(module|_orig_mod)\.", remark)
            assert_equal(fresh.state_dict(), expected)
        wrapped = nn.DataParallel(build_model("digits-cnn", classes=10, channels=1, size=(8, 8), mean=(0,), std=(1,)))
        fit(wrapped, weights(expected), origin="w.pt")
        assert_equal(wrapped.module.state_dict(), expected)

    def test_counters_are_optional_and_all_else_is_not(self, digits: nn.Module) -> None:
        held = {name: t for name, t in snapshot(digits).items() if not name.endswith("num_batches_tracked")}
        expected = snapshot(digits)
        assert fit(digits, weights(held), origin="w.pt") == ()
        assert_equal(digits.state_dict(), expected)
        for name in held:
            with pytest.raises(UserError, match=f"w.pt does not fit the model: the file lacks '{name}'"):
                fit(digits, weights({other: t for other, t in held.items() if other != name}), origin="w.pt")

    def test_a_mismatch_names_the_first_of_every_kind_and_changes_nothing(self) -> None:
        model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2), nn.Linear(2, 10))
        before = snapshot(model)
        held = {f"extra{i}": torch.zeros(1) for i in range(5)} | {n: t for n, t in before.items() if n[0] != "1"}
        held["2.weight"] = torch.zeros(100, 2)
        with pytest.raises(
            UserError,
            match=r"lacks '1\.weight', '1\.bias'; the model has no 'extra0', 'extra1', 'extra2' and 2 more; "
            r"'2\.weight' has shape \(100, 2\) where the model wants \(10, 2\)\. Check .* the number of classes",
        ):
            fit(model, weights(held), origin="w.pt")
        assert_equal(model.state_dict(), before)

    def test_wrapper_words_that_tell_weights_apart_stay(self) -> None:
        """Two networks whose names differ by nothing else are not confused."""
        model = nn.ModuleDict({"model": nn.Linear(2, 2), "network": nn.Linear(2, 2)})
        expected = snapshot(model)
        fresh = nn.ModuleDict({"model": nn.Linear(2, 2), "network": nn.Linear(2, 2)})
        assert fit(fresh, weights(expected), origin="w.pt") == ()
        assert_equal(fresh.state_dict(), expected)
        with pytest.raises(UserError, match="does not fit"):
            fit(nn.Linear(2, 2), weights(expected), origin="w.pt")

    @pytest.mark.parametrize("given", [torch.float16, torch.bfloat16, torch.float64])
    def test_other_precisions_are_converted_and_said(self, given: torch.dtype, digits: nn.Module) -> None:
        held = {name: t.to(given) if t.is_floating_point() else t for name, t in snapshot(digits).items()}
        before = snapshot(digits)
        remarks = fit(digits, weights(held), origin="w.pt")
        assert remarks == (f"Weights were converted from {str(given).removeprefix('torch.')} to float32.",)
        assert_equal(digits.state_dict(), {name: tensor.to(before[name].dtype) for name, tensor in held.items()})

    @pytest.mark.parametrize(
        ("tensor", "said"),
        [
            (torch.tensor([[1.0, float("nan")]]), "contains NaN or infinity"),
            (torch.tensor([[1.0, float("inf")]]), "contains NaN or infinity"),
            (torch.tensor([[1.0, 1e300]], dtype=torch.float64), "contains NaN or infinity"),
            (torch.tensor([[1, 2]], dtype=torch.int8), "of type int8.*wants of type float32"),
            (torch.ones(1, 2).to_sparse(), "sparse_coo"),
            (torch.ones(1, 2, device="meta"), "without values"),
        ],
    )
    def test_what_is_no_number_is_refused_by_name(self, tensor: Tensor, said: str) -> None:
        model = nn.Linear(2, 1)
        before = snapshot(model)
        with pytest.raises(UserError, match=f"w.pt: 'weight' .*{said}"):
            fit(model, weights({"weight": tensor, "bias": torch.zeros(1)}), origin="w.pt")
        assert_equal(model.state_dict(), before)


@cache
def trained(name: str) -> tuple[nn.Module, dict[str, Tensor]]:
    """A model of ours, and weights for it."""
    torch.manual_seed(0)
    size, channels = {"d": ((8, 8), 1), "m": ((28, 28), 1), "c": ((32, 32), 3)}[name[0]]
    model = build_model(name, classes=10, channels=channels, size=size, mean=(0.4,) * channels, std=(0.2,) * channels)
    return model, snapshot(model)


@settings(max_examples=60)
@given(
    name=st.sampled_from(["digits-cnn", "digits-cnn-wide", "mnist-cnn", "cifar-cnn"]),
    prefix=st.lists(st.sampled_from(WRAPPERS), max_size=4).map("".join),
    path=st.lists(st.sampled_from(["state_dict", "model", "net", "ema", "best"]), max_size=3),
    beside=st.dictionaries(st.sampled_from(["epoch", "lr", "arch"]), st.integers() | st.text(max_size=5)),
    file=st.sampled_from(["zip", "legacy", "safetensors"]),
)
def test_models_of_ours_return_from_any_wrapping(
    name: str,
    prefix: str,
    path: list[str],
    beside: dict[str, object],
    file: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    model, expected = trained(name)
    tensors = {prefix + key: tensor for key, tensor in expected.items()}
    saved = tmp_path_factory.mktemp("saved") / "w"
    if file == "safetensors":
        save_file(tensors, saved)
    else:
        content: dict[str, object] = dict(tensors)
        for entry in path:
            content = {**beside, entry: content}
        torch.save(content, saved, _use_new_zipfile_serialization=file == "zip")
    for tensor in model.state_dict().values():
        tensor.zero_()
    fit(model, read_weights(saved), origin="w")
    assert_equal(model.state_dict(), expected)


@pytest.mark.parametrize("name", model_names())
def test_no_model_of_ours_has_names_that_only_wrappers_tell_apart(name: str) -> None:
    with torch.device("meta"):
        model = build_model(name, classes=10, channels=3, size=(32, 32), mean=(0.4,) * 3, std=(0.2,) * 3)
    bare = without_wrappers(model.state_dict())
    assert not any(word in bare_name.split(".") for bare_name in bare for word in ("network", "module"))
