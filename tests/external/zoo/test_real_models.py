"""The real zoo, where the extra is installed: architectures with weights of our own, without a network."""

from importlib import import_module
from pathlib import Path

import pytest
import torch

from fairbench.external.zoo import zoo_model, zoo_names
from fairbench.external.zoo.models import _PUBLISHED_AT_0_031, _architecture, _board
from fairbench.external.zoo.robustbench_import import quiet
from fairbench.protocol.threat import Norm

pytestmark = pytest.mark.usefixtures("real_robustbench", "no_network")


@pytest.mark.parametrize(
    ("name", "dataset", "norm"),
    [
        ("Wong2020Fast", "cifar10", "Linf"),
        ("Engstrom2019Robustness", "cifar10", "Linf"),
        ("Rade2021Helper_R18_ddpm", "cifar10", "Linf"),
        ("Debenedetti2022Light_XCiT-S12", "cifar10", "Linf"),
        ("Ding2020MMA", "cifar10", "L2"),
        ("Rice2020Overfitting", "cifar100", "Linf"),
    ],
)
def test_a_local_checkpoint_gives_the_logits_of_the_model_that_was_saved(
    tmp_path: Path, name: str, dataset: str, norm: Norm
) -> None:
    with quiet():
        original = _architecture(name, _board(dataset, norm)[name], dataset=dataset, norm=norm).eval()
    torch.save({"state_dict": {f"module.{key}": value for key, value in original.state_dict().items()}}, tmp_path / "w")
    model, _ = zoo_model(
        name, dataset=dataset, norm=norm, checkpoint=tmp_path / "w", key="", folder=tmp_path / "unused"
    )
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(model(images), original(images))
    assert not (tmp_path / "unused").exists()


def test_a_folder_of_models_of_robustbench_gives_what_its_own_loader_gives(tmp_path: Path) -> None:
    """Their layout below `robustbench`, and their choice of the entry; their loader reads the same file."""
    name = "Andriushchenko2020Understanding"
    with quiet():
        first, second = (_board("cifar10", "Linf")[name]["model"]() for _ in range(2))
    path = tmp_path / "robustbench" / "cifar10" / "Linf" / f"{name}.pt"
    path.parent.mkdir(parents=True)
    torch.save({"best": first.state_dict(), "last": second.state_dict()}, path)
    ours, remarks = zoo_model(name, dataset="cifar10", norm="Linf", checkpoint=None, key="", folder=tmp_path)
    theirs = import_module("robustbench.utils").load_model(name, model_dir=tmp_path / "robustbench")
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert all(torch.equal(value, theirs.state_dict()[key]) for key, value in ours.state_dict().items())
    assert any("by hand" in remark for remark in remarks)


@pytest.mark.parametrize(
    ("dataset", "norm", "count"), [("cifar10", "Linf", 75), ("cifar10", "L2", 21), ("cifar100", "Linf", 36)]
)
def test_names_of_the_wheel(dataset: str, norm: Norm, count: int) -> None:
    """Of 76, 21 and 38; the three that need a CUDA device are left out."""
    names = zoo_names(dataset=dataset, norm=norm)
    assert len(names) == count
    if norm == "Linf":
        assert set(_PUBLISHED_AT_0_031[dataset]) <= set(names)
