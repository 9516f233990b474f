"""A tiny dataset, models of a stranger, and the command line in this process, in a folder of its own."""

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from fairbench.cli import main
from fixture_types import Cli

MODELS = """
import torch
from torch import nn

def linear(classes=3):
    return nn.Sequential(nn.Flatten(), nn.Linear(48, classes))

def pale():
    model = linear()
    nn.init.constant_(model[1].weight, 0.01)
    return model

def five():
    return linear(5)

class Diverged(nn.Module):
    def forward(self, images):
        return images.flatten(1)[:, :3] * float("nan")

class Picky(nn.Module):
    def forward(self, images):
        if len(images) > 2:
            raise ValueError("no such colours")
        return images.flatten(1)[:, :3]

class Large(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = linear()
    def forward(self, images):
        if len(images) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.network(images)
"""


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Calls it in a folder with `tiny.npz` (30 images, 3 classes, one hard), `models.py` and `weights.pt`."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 3
    images = rng.integers(0, 100, (30, 4, 4, 3), dtype=np.uint8)
    images[np.arange(30), :, :, labels] += np.array([100, 75, 50], np.uint8)[labels, None, None]
    names = np.array(["[red]apple", "lemon", "pear"])  # names are text, not markup
    np.savez(tmp_path / "tiny.npz", test_images=images, test_labels=labels, class_names=names)
    (tmp_path / "models.py").write_text(MODELS)
    weights = torch.eye(3).repeat_interleave(16, dim=1)
    torch.save({"1.weight": weights, "1.bias": torch.zeros(3)}, tmp_path / "weights.pt")
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])
