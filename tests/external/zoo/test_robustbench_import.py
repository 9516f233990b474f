"""RobustBench imports where its dependencies have gone, and leaves no trace but itself."""

import logging
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fairbench.errors import UserError
from fairbench.external.zoo.robustbench_import import OldAutoAttack, robustbench


class Brightness(nn.Module):
    """Dark is class 0, bright class 1, and nothing one of the other eight; far from grey, an image is robust."""

    def forward(self, images: Tensor) -> Tensor:
        bright = 10 * (images.flatten(1).mean(dim=1, keepdim=True) - 0.5)
        return torch.cat([-bright, bright, bright - torch.arange(5.0, 13.0)], dim=1)


def grey_images(size: int) -> tuple[Tensor, Tensor]:
    """Eight images of one grey each: four whose class an attack of 0.1 changes, four whose class it cannot."""
    greys = torch.tensor([0.45, 0.47, 0.53, 0.55, 0.1, 0.2, 0.8, 0.9])
    return greys.reshape(-1, 1, 1, 1).expand(-1, 3, size, size).contiguous(), (greys > 0.5).long()


@pytest.mark.usefixtures("small_robustbench")
def test_imports_without_pkg_resources_and_autoattack() -> None:
    found = robustbench()
    assert found.utils.loaders.NAMES == "a file beside the module"
    assert found.eval.AutoAttack is OldAutoAttack


@pytest.mark.usefixtures("small_robustbench")
def test_leaves_everything_else_as_found(capsys: pytest.CaptureFixture[str]) -> None:
    modules, filters, handlers = set(sys.modules), list(warnings.filters), list(logging.root.handlers)
    robustbench()  # warns, which would be an error here; and prints
    added = {name.partition(".")[0] for name in set(sys.modules) - modules}
    assert added == {"robustbench", "gdown", "timm"}
    assert warnings.filters == filters
    assert logging.root.handlers == handlers
    assert capsys.readouterr() == ("", "RobustBench prints\n")


@pytest.mark.usefixtures("small_robustbench")
def test_modules_that_are_there_are_used_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Any = type(sys)("autoattack")
    real.AutoAttack, real.EvaluationState = object, object
    monkeypatch.setitem(sys.modules, "autoattack", real)
    monkeypatch.setitem(sys.modules, "autoattack.state", real)
    assert robustbench().eval.AutoAttack is object
    assert sys.modules["autoattack"] is real


@pytest.mark.parametrize("missing", ["robustbench", "gdown", "timm"])
def test_the_error_names_the_command_that_installs_it(
    small_robustbench: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    before = set(sys.modules)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, missing, None)
        with pytest.raises(UserError, match=rf"no module '{missing}'.*pip install 'fairbench\[zoo\]'"):
            robustbench()
    assert not {"autoattack", "autoattack.state", "pkg_resources"} & (set(sys.modules) - before)
    assert small_robustbench.is_dir()


def test_another_version_of_a_library_is_explained(small_robustbench: Path) -> None:
    (small_robustbench / "timm" / "__init__.py").write_text("from torch import no_such_name", encoding="utf-8")
    with pytest.raises(UserError, match=r"cannot be imported \(cannot import name 'no_such_name'.*fairbench\[zoo\]"):
        robustbench()


@pytest.mark.usefixtures("small_robustbench")
def test_benchmark_runs_end_to_end(tmp_path: Path) -> None:
    """On the images that its first attack breaks: the later ones, which would take long, have nothing left to do."""
    images, labels = (part[:4] for part in grey_images(2))
    evaluate, model = robustbench().eval.benchmark, Brightness().eval()
    assert evaluate(model, images, labels, eps=0.1) == 0
    assert evaluate(model, images, labels, eps=0.1, state_path=tmp_path / "state.json") == 0
    assert (tmp_path / "state.json").exists()


def test_the_original_interface_returns_labels_only_if_asked() -> None:
    images, labels = grey_images(2)
    adversary = OldAutoAttack(
        Brightness().eval(), "Linf", 0.1, 0, attacks_to_run=["apgd-ce"], version="custom", device="cpu", log_path=None
    )
    alone = adversary.run_standard_evaluation(images, labels, bs=3)
    attacked, predicted = adversary.run_standard_evaluation(images, labels, bs=3, return_labels=True)
    assert isinstance(alone, Tensor)
    assert torch.equal(alone, attacked)
    assert (predicted != labels).tolist() == [True] * 4 + [False] * 4


@pytest.mark.usefixtures("real_robustbench")
def test_the_real_package_imports_silently() -> None:
    """In a fresh interpreter where every warning is an error; the standard output belongs to the command."""
    check = """
import logging, sys
from fairbench.external.zoo import robustbench_import
before = set(sys.modules)
assert "robustbench" not in before
package = robustbench_import.robustbench()
assert package.utils.load_model and package.eval.benchmark
assert "autoattack" not in sys.modules and not logging.root.handlers
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", check], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.usefixtures("real_robustbench")
def test_the_real_benchmark_runs_end_to_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    package = robustbench()
    monkeypatch.setattr(import_module("robustbench.eval"), "load_clean_dataset", lambda *_: grey_images(4))
    clean, robust = package.benchmark(Brightness().eval(), n_examples=8, dataset="cifar10", eps=0.1, batch_size=8)
    assert (clean, robust) == (1.0, 0.5)
    assert "Adversarial accuracy: 50.00%" in capsys.readouterr().out
