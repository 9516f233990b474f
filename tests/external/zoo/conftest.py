"""A RobustBench in small, with the real one's defects, written to disk and imported in earnest."""

import sys
from collections.abc import Iterator
from importlib.abc import MetaPathFinder
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent
from typing import Never

import pytest

SMALL = {
    "robustbench/__init__.py": """
        from .eval import benchmark
        from . import utils
    """,
    "robustbench/loaders.py": """
        import pkg_resources
        with open(pkg_resources.resource_filename(__name__, "names.txt")) as file:
            NAMES = file.read()
    """,
    "robustbench/names.txt": "a file beside the module",
    "robustbench/utils.py": """
        import warnings
        import gdown
        import timm
        from . import loaders
        from .model_zoo import model_dicts
        warnings.warn("timm.models.layers is deprecated", FutureWarning)
        print("RobustBench prints")
    """,
    "robustbench/eval.py": """
        from autoattack import AutoAttack
        from autoattack.state import EvaluationState

        def benchmark(model, images, labels, eps, state_path=None):
            adversary = AutoAttack(model, norm="Linf", eps=eps, version="standard", device="cpu", log_path=None)
            adversarial = adversary.run_standard_evaluation(images, labels, bs=4, state_path=state_path)
            return (model(adversarial).argmax(dim=1) == labels).float().mean().item()
    """,
    "robustbench/model_zoo/__init__.py": """
        from .enums import BenchmarkDataset, ThreatModel
        from .networks import Ensemble, Mixture, Plain

        linf = {
            "Wong2020Fast": {"model": Plain, "gdrive_id": "drive-wong"},
            "Andriushchenko2020Understanding": {"model": Plain, "gdrive_id": "drive-andriushchenko"},
            "Zhang2019Theoretically": {"model": Plain, "gdrive_id": "drive-trades"},
            "Chen2020Adversarial": {"model": Ensemble, "gdrive_id": ["drive-first", "drive-second"]},
            "Bai2024MixedNUTS": {"model": Mixture, "gdrive_id": ["drive-standard", "drive-robust"]},
            "Bai2023Improving_edm": {"model": Ensemble, "gdrive_id": ["a", "b", "c"]},
            "Debenedetti2022Light_XCiT-S12": {"model": None, "gdrive_id": None},
        }
        l2 = {"Augustin2020Adversarial": linf["Wong2020Fast"]}
        model_dicts = {
            BenchmarkDataset.cifar_10: {ThreatModel.Linf: linf, ThreatModel.L2: l2},
            BenchmarkDataset.cifar_100: {ThreatModel.Linf: {}},
        }
    """,
    "robustbench/model_zoo/enums.py": """
        from enum import Enum

        class BenchmarkDataset(Enum):
            cifar_10 = "cifar10"
            cifar_100 = "cifar100"

        class ThreatModel(Enum):
            Linf = "Linf"
            L2 = "L2"
    """,
    "robustbench/model_zoo/networks.py": """
        import torch
        from torch import nn

        class Plain(nn.Module):
            def __init__(self):
                super().__init__()
                print("RobustBench prints while it builds")
                self.linear = nn.Linear(12, 10)
                self.register_buffer("mu", torch.full((1, 3, 1, 1), 0.5))
                self.register_buffer("sigma", torch.full((1, 3, 1, 1), 0.25))

            def forward(self, images):
                return self.linear(((images - self.mu) / self.sigma).flatten(1))

        class Ensemble(nn.Module):
            def __init__(self):
                super().__init__()
                self.models = nn.ModuleList([Plain(), Plain()])

            def forward(self, images):
                return sum(model(images) for model in self.models)

        class Mixture(nn.Module):
            def __init__(self):
                super().__init__()
                self.std_model, self.rob_model = Plain(), Plain()

            def forward(self, images):
                return self.std_model(images) + self.rob_model(images)
    """,
    "gdown/__init__.py": """
        def download(url, output, use_cookies):
            raise OSError("Network is unreachable")
    """,
    "gdown/exceptions.py": "class FileURLRetrievalError(Exception): pass",
    "timm/__init__.py": """
        from collections import OrderedDict
        import torch
        from torch import nn

        class Normalise(nn.Module):
            def __init__(self):
                super().__init__()
                self.register_buffer("mean", torch.full((1, 3, 1, 1), 0.5))
                self.register_buffer("std", torch.full((1, 3, 1, 1), 0.25))

            def forward(self, images):
                return (images - self.mean) / self.std

        class Xcit(nn.Module):
            def __init__(self, num_classes):
                super().__init__()
                self.pretrained_cfg = {"url": "https://example.org/xcit.pth.tar"}
                self.pos_embed = nn.Linear(12, 12)
                self.cls_attn_blocks = nn.ModuleList([nn.Linear(12, num_classes)])

            def forward(self, images):
                return self.cls_attn_blocks[0](self.pos_embed(images.flatten(1)))

        def create_model(name, num_classes):
            assert name == "debenedetti2022light_xcit_s12_cifar10_linf"
            return nn.Sequential(OrderedDict(normalize=Normalise(), model=Xcit(num_classes)))
    """,
    "timm/models/__init__.py": "",
    "timm/models/xcit.py": """
        def checkpoint_filter_fn(tensors, model):
            return {name.replace("pos_embeder.", "pos_embed."): tensor for name, tensor in tensors.items()}
    """,
}
"""Path -> content. Images are 2 x 2, so that AutoAttack takes a second."""

PACKAGES = {"robustbench", "gdown", "timm", "autoattack", "pkg_resources"}


class Absent(MetaPathFinder):
    """Modules that this environment has not, whether it has them or not."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        del path, target
        if fullname.partition(".")[0] in {"pkg_resources", "autoattack"}:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


@pytest.fixture
def small_robustbench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that holds the small package, on the path, with `pkg_resources` and `autoattack` absent."""
    root = tmp_path / "site-packages"
    for name, content in SMALL.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(content), encoding="utf-8")
    with monkeypatch.context() as patch:
        for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES]:
            patch.delitem(sys.modules, name)
        patch.setattr(sys, "path", [str(root), *sys.path])
        patch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
        yield root
        for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES]:
            del sys.modules[name]


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens a connection fails the test."""

    def refuse(*_arguments: object) -> Never:
        pytest.fail("a connection was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)


@pytest.fixture
def real_robustbench() -> None:
    """Skip where the extra `zoo` is not installed."""
    if find_spec("robustbench") is None:
        pytest.skip("the extra `zoo` is not installed")
