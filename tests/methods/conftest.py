"""A small world in which any method can take real steps: a network, a threat, batches with views, an optimiser."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fairbench.data.augmentation import VIEWS
from fairbench.method.contract import Batch, ClassStatistics, Method, Setup, Validation
from fairbench.protocol.recipe import Recipe
from fairbench.protocol.threat import Threat
from fairbench.seeding import generator

SIZE = 6

MakeNet = Callable[..., nn.Module]
Prepare = Callable[..., Method]
MakeBatch = Callable[..., Batch]
Step = Callable[..., Tensor | None]


class SmallNet(nn.Module):
    """Two convolutions with batch norm, normalisation inside; 6x6 images of one channel."""

    def __init__(self, classes: int, *, batch_norm: bool) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.BatchNorm2d(8) if batch_norm else nn.Identity(),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, stride=2, padding=1),
            nn.BatchNorm2d(8) if batch_norm else nn.Identity(),
            nn.ReLU(),
        )
        self.head = nn.Linear(8 * 9, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features((images - 0.5) / 0.25).flatten(1))
        return logits


@pytest.fixture
def make_net() -> MakeNet:
    """Networks by class count, seed and batch norm: same seed, same weights; buffers away from their defaults."""

    def make(classes: int = 10, *, seed: int = 0, batch_norm: bool = True) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = SmallNet(classes, batch_norm=batch_norm)
            with torch.no_grad():
                net.head.weight.mul_(4)  # confident enough for attacks to matter
                net(torch.rand(64, 1, SIZE, SIZE))
        return net

    return make


def no_view(name: str, rows: Tensor, strength: Tensor | None = None) -> Tensor:
    """Of a batch that nobody trains on."""
    raise AssertionError((name, rows, strength))


@pytest.fixture
def threat() -> Threat:
    return Threat(epsilon=8 / 255, step=2 / 255, steps=10)


@pytest.fixture
def prepare(make_net: MakeNet, threat: Threat) -> Prepare:
    """Gives a method its setup, starts it and begins an epoch."""

    def make(
        method: Method,
        *,
        classes: int = 10,
        seed: int = 0,
        model: nn.Module | None = None,
        teacher: nn.Module | None = None,
        recipe: Recipe | None = None,
        epoch: int = 0,
        statistics: ClassStatistics | None = None,
        epsilon: float = threat.epsilon,
    ) -> Method:
        model = model or make_net(classes, seed=seed)
        networks = {"teacher": (teacher or make_net(classes, seed=99)).eval().requires_grad_(False)}
        method.setup = Setup(
            model=model.train(),
            threat=replace(threat, epsilon=epsilon, step=min(threat.step, epsilon)),
            recipe=method.recipe(recipe or Recipe(epochs=100, schedule="steps", drops=(0.75, 0.9))),
            classes=classes,
            class_counts=torch.full((classes,), 10),
            noise=generator(seed, "noise"),
            generator=generator(seed, "method"),
            prerequisites={need.role: networks[need.role] for need in method.prerequisites() if need.role in networks},
            device=torch.device("cpu"),
        )
        drawn = torch.Generator().manual_seed(seed)
        images = torch.rand(2 * classes, 1, SIZE, SIZE, generator=drawn)
        labels = torch.arange(2 * classes) % classes
        split = Batch(images=images, labels=labels, indices=torch.arange(len(labels)), progress=0.0, view=no_view)
        method.setup = replace(method.setup, train_batches=lambda: iter((split,)))
        method.start()
        even = torch.full((classes,), 0.8, dtype=torch.float64)
        statistics = statistics or ClassStatistics(counts=even * 100, clean=even, robust=even / 2)
        method.begin_epoch(epoch, Validation(statistics=statistics, batches=lambda: iter(())))
        return method

    return make


@pytest.fixture
def make_batch() -> MakeBatch:
    """Batches by size, classes, seed or labels: images with saturated pixels; the view darkens and flips."""

    def make(count: int = 12, *, classes: int = 10, seed: int = 0, labels: Sequence[int] | None = None) -> Batch:
        drawn = torch.Generator().manual_seed(seed)
        images = torch.rand(count, 1, SIZE, SIZE, generator=drawn).mul(1.4).sub(0.2).clamp(0, 1)
        chosen = torch.randint(0, classes, (count,), generator=drawn) if labels is None else torch.tensor(labels)

        def view(name: str, rows: Tensor, strength: Tensor | None = None) -> Tensor:
            assert name in VIEWS
            darker = 0.3 * (torch.ones(len(rows)) if strength is None else strength)
            return images[rows].flip(-1) * (1 - darker.view(-1, 1, 1, 1))

        return Batch(images=images, labels=chosen, indices=torch.arange(count), progress=0.0, view=view)

    return make


@pytest.fixture
def step() -> Step:
    """Takes one update as the trainer makes it, and returns the loss."""

    def take(method: Method, batch: Batch, *, bf16: bool = False) -> Tensor | None:
        optimiser = torch.optim.SGD(method.model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
        seen: list[Any] = []

        def update(loss: Tensor | None) -> None:
            seen.append(loss)
            if loss is None:
                return
            optimiser.zero_grad(set_to_none=True)
            with torch.autocast("cpu", enabled=False):
                loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()

        method.model.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16, cache_enabled=False):
            method.step(batch, update)
        (loss,) = seen
        return None if loss is None else loss.detach()

    return take


@pytest.fixture
def same_training(make_batch: MakeBatch, step: Step) -> Callable[[Method, Method], bool]:
    """Whether two methods train alike bit for bit: losses, parameters, buffers and noise after three steps."""

    def compare(first: Method, second: Method) -> bool:
        for seed in range(3):
            losses = [step(method, make_batch(seed=seed)) for method in (first, second)]
            if losses[0] is None or losses[1] is None or not torch.equal(losses[0], losses[1]):
                return False
        states = [method.model.state_dict() for method in (first, second)]
        noises = [method.noise.get_state() for method in (first, second)]
        return all(torch.equal(states[0][name], states[1][name]) for name in states[0]) and torch.equal(*noises)

    return compare
