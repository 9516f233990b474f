"""Time per training step over the pure cost of its counted passes: same model, same batch, same process.

    pytest -m performance -s tests/performance

The pure cost is what autograd takes for the passes alone: K forwards and input gradients with frozen weights, then the
forwards and backwards of the update; no noise, no projection, no augmentation, no optimiser, no checks. Both are
measured in turn, many times, and the median of the ratios is printed.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fairbench import load_suite
from fairbench.attacks import frozen
from fairbench.data.dataset import Dataset, Split
from fairbench.execution.plan import Planner
from fairbench.method import registry
from fairbench.outcomes.work_folder import WorkFolder
from fairbench.training.loop import _Training

pytestmark = pytest.mark.performance

SECONDS = 8.0
FORWARDS = {"pgd-at": (0, 1), "trades": (1, 2)}
"""By method: further forwards without gradient, and forwards with weight gradients per update."""


def _ratio(action: Callable[[], None], other: Callable[[], None]) -> float:
    """Median over rounds of the ratio of two times, measured in turn so that a busy machine disturbs both."""
    ratios: list[float] = []
    began = time.perf_counter()
    while len(ratios) < 5 or time.perf_counter() - began < SECONDS:
        times = []
        for one in (action, other):
            start = time.perf_counter()
            one()
            times.append(time.perf_counter() - start)
        ratios.append(times[0] / times[1])
    return statistics.median(ratios)


def _pure(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, *, steps: int, name: str) -> None:
    """The counted passes of one update, and nothing else."""
    without, forwards = FORWARDS[name]
    with frozen(model):
        with torch.no_grad():
            for _ in range(without):
                model(images)
        for _ in range(steps):
            points = images.detach().requires_grad_(True)
            torch.autograd.grad(F.cross_entropy(model(points), labels, reduction="sum"), points)
    model.zero_grad(set_to_none=True)
    torch.stack([F.cross_entropy(model(images), labels) for _ in range(forwards)]).sum().backward()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("name", ["pgd-at", "trades"])
@pytest.mark.parametrize(
    ("architecture", "shape", "images"),
    [("digits-cnn", (1, 8, 8), 1024), ("cifar-cnn", (3, 32, 32), 256), ("resnet18", (3, 32, 32), 16)],
)
def test_overhead(name: str, architecture: str, shape: tuple[int, int, int], images: int, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    suite = load_suite("digits")
    batch = min(128, images)
    recipe = replace(suite.recipe, epochs=10_000, batch_size=batch, crop_padding=shape[1] // 8, flip=shape[0] == 3)
    suite = replace(suite, model=architecture, recipe=recipe)
    generator = np.random.default_rng(0)
    split = Split(
        torch.from_numpy(generator.integers(0, 256, (images, *shape), dtype=np.uint8)), torch.arange(images) % 10
    )
    classes = tuple(map(str, range(10)))
    dataset = Dataset(name="noise", train=split, validation=split, test=split, class_names=classes)
    method = registry.create(name, {})
    run = Planner(suite=suite, create=registry.create).plan([(name, method)], seeds=[0])[-1]
    folder = WorkFolder(tmp_path)
    training = _Training(run, method, dataset, folder=folder, device=torch.device("cpu"), prerequisites={})
    method.start()
    steps_per_epoch = len(training.batches)
    floats, labels = split.images[:batch].float() / 255, split.labels[:batch]

    def ours() -> None:
        training._train_epoch(lambda: None)

    def pure() -> None:
        for _ in range(steps_per_epoch):
            _pure(training.model, floats, labels, steps=suite.threat.steps, name=name)

    ratio = _ratio(ours, pure)
    print(f"\n{name:8} {architecture:12} step / pure passes = {ratio:.3f}", end="")
    assert ratio < 1.5
