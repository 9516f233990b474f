"""Attacks tried on a network that was trained on real digits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fairbench.attacks.further.trying import Tried, Trying
from fairbench.progress import silent
from fairbench.protocol.evaluation import Evaluation
from fairbench.protocol.threat import Threat


@pytest.fixture
def tried(digits: tuple[Tensor, Tensor], trained: nn.Module, tmp_path: Path) -> Callable[..., Tried]:
    """Tries an attack on the fifty digits; every default can be replaced."""

    def run(
        attack: Any,
        *,
        model: nn.Module = trained,
        images: Tensor = digits[0],
        labels: Tensor = digits[1],
        threat: Threat | None = None,
        batch_size: int = 64,
        text: str = "mine",
        folder: Path = tmp_path,
        indices: Tensor | None = None,
        progress: Any = silent,
        seed: int = 0,
    ) -> Tried:
        with torch.no_grad():
            clean = model(images).argmax(dim=1)
        trying = Trying(
            model,
            images,
            labels,
            clean=clean,
            classes=10,
            threat=threat or Threat(epsilon=0.1, step=0.02),
            evaluation=Evaluation(pgd_step=0.02, batch_size=batch_size, seed=seed),
            folder=folder,
            indices=indices,
            progress=progress,
        )
        return trying.attack(text, attack)

    return run
