"""Two submissions of a stranger, made once: a method of their own on a tiny suite, and a network trained elsewhere."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from fairbench.cli import main
from fixture_types import Cli

PLUGIN = '''
from dataclasses import dataclass

from fairbench import Batch, Card, Method, cross_entropy, hyperparameter, pgd
from helper import softened


@dataclass(kw_only=True)
class SmoothAT(Method):
    """Adversarial training with a little less confidence."""

    card = Card(
        title="Smooth AT",
        authors="A. Stranger",
        venue="preprint",
        year=2026,
        link="https://example.org/smooth",
        bibtex="@misc{smooth, title={Smooth AT}, author={Stranger, A.}, year={2026}}",
        code_licence="MIT",
    )
    smoothing: float = hyperparameter(0.1, "share of the target spread over all classes", at_least=0, at_most=1)

    def loss(self, batch: Batch):
        attacked = pgd(self.model, batch.images, batch.labels, threat=self.threat, generator=self.noise)
        return softened(cross_entropy(self.model(attacked.images), batch.labels), self.smoothing)
'''

HELPER = "def softened(losses, smoothing):\n    return (1 - smoothing) * losses.mean()\n"

SUITE = """
title = "tiny"
model = "digits-cnn"
teacher = "digits-cnn"
[dataset]
name = "tiny"
file = "tiny.npz"
validation = 0.25
[threat]
epsilon = 0.1
step = 0.05
steps = 1
[recipe]
epochs = 2
batch_size = 30
crop_padding = 0
flip = false
[evaluation]
tier = "screen"
pgd_steps = 5
pgd_step = 0.05
"""

NETWORK = """
from torch import nn

def network():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
"""


def _called(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def _write_folder(folder: Path) -> None:
    rng = np.random.default_rng(0)

    def images(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count) % 3
        found = rng.integers(0, 90, (count, 8, 8, 3), dtype=np.uint8)
        found[np.arange(count), :, :, labels] += np.array([90, 70, 45], np.uint8)[labels, None, None]
        return found, labels

    (train_images, train_labels), (test_images, test_labels) = images(120), images(60)
    np.savez(
        folder / "tiny.npz",
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        class_names=np.array(["apple", "lemon", "pear"]),
    )
    (folder / "tiny.toml").write_text(SUITE)
    (folder / "mine.py").write_text(PLUGIN)
    (folder / "helper.py").write_text(HELPER)
    (folder / "network.py").write_text(NETWORK)
    weights = torch.eye(3).repeat_interleave(64, dim=1)
    torch.save({"state_dict": {"module.1.weight": weights, "module.1.bias": torch.zeros(3)}}, folder / "weights.pt")


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with results, checkpoints and both bundles; only to be copied."""
    folder = tmp_path_factory.mktemp("desk")
    _write_folder(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        evaluate = ("evaluate", "--dataset", "tiny.npz", "--eps", "0.1", "--name")
        for arguments in (
            ("run-all", "--suite", "tiny.toml", "--method", "pgd-at", "--jobs", 1),
            ("run-all", "--suite", "tiny.toml", "--method", "smooth-at", "--plugin", "mine.py", "--jobs", 1),
            (*evaluate, "flat", "--model", "network.py:network", "--checkpoint", "weights.pt"),
            (*evaluate, "plain", "--model", "digits-cnn", "--checkpoint", "ours.safetensors", "--tier", "screen"),
        ):
            if "digits-cnn" in arguments:
                (trained,) = folder.glob("runs/tiny/pgd-at/seed0-*/selected.safetensors")
                shutil.copy(trained, folder / "ours.safetensors")
            done = _called(*arguments)
            assert done.exit_code == 0, done.output
    return folder


def _called_in_copy(made: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    return _called


@pytest.fixture
def desk(_made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line in a copy of it, in which the test may do what it likes."""
    return _called_in_copy(_made, tmp_path / "desk", monkeypatch)


METHOD = ("submit", "results/tiny/smooth-at", "--suite", "tiny.toml", "--dataset", "tiny.npz", "--plugin", "mine.py")
SIGNED = ("--by", "A. Stranger", "--link", "https://example.org", "--licence", "MIT")
FLAT = ("submit", "results/tiny/external-flat", "--dataset", "tiny.npz", "--checkpoint", "weights.pt", *SIGNED)
PLAIN = ("submit", "results/tiny/external-plain", "--dataset", "tiny.npz", "--checkpoint", "ours.safetensors", *SIGNED)


@pytest.fixture
def submit_method(desk: Cli) -> Cli:
    """Bundles the method; more options may follow."""
    return lambda *options: desk(*METHOD, *options)


@pytest.fixture
def submit_flat(desk: Cli) -> Cli:
    """Bundles the network that code of theirs builds."""
    return lambda *options: desk(*FLAT, *options)


@pytest.fixture
def submit_plain(desk: Cli) -> Cli:
    """Bundles the weights of an architecture of ours: no code belongs to it."""
    return lambda *options: desk(*PLAIN, *options)


@pytest.fixture(scope="session")
def _bundled(_made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same folder with all three bundles in it, and a board of a keeper on which nothing stands yet."""
    folder = tmp_path_factory.mktemp("bundled") / "desk"
    shutil.copytree(_made, folder)
    (folder / "empty").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for arguments in (METHOD, FLAT, PLAIN):
            done = _called(*arguments)
            assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def keeper(_bundled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line in a copy of it, in which the test may do what it likes."""
    return _called_in_copy(_bundled, tmp_path / "keeper", monkeypatch)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Installs the method as a package of some version, as pip would; returns the folder that holds it."""

    def add(version: str) -> Path:
        folder = tmp_path / f"packages-{version}"
        info = folder / f"stranger-{version}.dist-info"
        info.mkdir(parents=True)
        (folder / "stranger.py").write_text(PLUGIN.replace("from helper import softened\n", HELPER))
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: stranger\nVersion: {version}\n")
        (info / "entry_points.txt").write_text("[fairbench.methods]\nsmooth-at = stranger:SmoothAT\n")
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.delitem(sys.modules, "stranger", raising=False)
        return folder

    return add
