"""The library's randomness as a source of noise, and small networks that are neither robust nor helpless."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from fairbench import Threat
from fairbench.attacks.reference import reference_attack
from fairbench.protocol.autoattack_settings import AutoAttackSettings
from fairbench.protocol.threat import Norm

EPSILON = {"Linf": 0.06, "L2": 0.4}


class LibraryNoise:
    """Torch's global generator, drawn from as the library draws: for the whole batch, one window for all images."""

    def __init__(self, norm: Norm) -> None:
        self.norm = norm

    def uniform(self, *name: str | int, indices: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Draws; those of Square on L2 are partly shared."""
        images = len(indices)
        if name[0] != "square" or (name[1] == "start" and self.norm == "Linf"):
            return torch.rand(images, *shape)
        if self.norm == "Linf":
            return torch.rand(shape).expand(images, *shape)
        *rows, numbers = shape
        shared = 1 if name[1] == "start" else 5  # the turn of a tile; two corners and the turn of a query
        drawn = [
            torch.cat([torch.rand(shared).expand(images, shared), torch.rand(images, numbers - shared)], dim=1)
            for _ in range(torch.Size(rows).numel())
        ]
        return torch.stack(drawn, dim=1).view(images, *shape)

    def normal(self, *_name: str | int, indices: Tensor, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(len(indices), *shape)


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """Images that a network classifies correctly, by definition of the labels."""

    model: nn.Module
    images: Tensor
    labels: Tensor
    targets: Tensor
    threat: Threat

    @property
    def indices(self) -> Tensor:
        return torch.arange(len(self.images))


@pytest.fixture(scope="package")
def make_case() -> Callable[..., Case]:
    """A case with random weights; half of the images or so fall to every attack."""

    def make(
        norm: Norm = "Linf",
        *,
        classes: int = 10,
        batch_norm: bool = True,
        shape: tuple[int, int, int] = (2, 8, 8),
        count: int = 24,
        epsilon: float | None = None,
    ) -> Case:
        with torch.random.fork_rng([]), torch.no_grad():
            torch.manual_seed(classes)
            features = 6 * ((shape[1] + 1) // 2) * ((shape[2] + 1) // 2)
            model = nn.Sequential(
                nn.Conv2d(shape[0], 6, 3, padding=1, stride=2),
                nn.BatchNorm2d(6) if batch_norm else nn.Identity(),
                nn.ReLU(),
                nn.Flatten(),
                nn.Linear(features, classes),
            )
            images = torch.rand(count, *shape)
            model(images)  # moves the buffers of batch norm
            model.eval().requires_grad_(requires_grad=False)
            logits = model(images)
        ranked, radius = logits.argsort(dim=1, descending=True), epsilon or EPSILON[norm]
        return Case(
            model=model,
            images=images,
            labels=ranked[:, 0],
            targets=ranked[:, 1:10],
            threat=Threat(norm=norm, epsilon=radius, step=radius),
        )

    return make


@pytest.fixture
def library() -> Callable[..., Tensor]:
    """Which images the library's class breaks, drawing from a seeded global generator."""

    def run(attack: str, case: Case, *, settings: AutoAttackSettings, seed: int = 7) -> Tensor:
        with torch.no_grad():
            classes = case.model(case.images[:1]).shape[1]
            attacked = reference_attack(
                attack,
                case.model,
                classes=classes,
                threat=case.threat,
                seed=seed,
                device=torch.device("cpu"),
                settings=settings,
            )
            with torch.random.fork_rng([]):
                adversarial = attacked(case.images, case.labels)
            logits: Tensor = case.model(adversarial)
            return logits.argmax(dim=1) != case.labels

    return run


@pytest.fixture
def library_noise() -> Iterator[Callable[..., LibraryNoise]]:
    """The library's noise, from the beginning; the generator is restored after the test."""

    def seeded(norm: Norm, *, seed: int = 7) -> LibraryNoise:
        torch.manual_seed(seed)
        return LibraryNoise(norm)

    with torch.random.fork_rng([]):
        yield seeded


@pytest.fixture
def rows_by_four(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are filled up to a multiple of four only, so that passes can be counted on four images."""
    monkeypatch.setattr("fairbench.attacks.standard.steady.LEAST", 4)
