"""The network of the search: the same function at less cost, or none but the model itself; and what the engine does."""

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairbench import Threat
from fairbench.attacks import autoattack as engine
from fairbench.attacks import search as module
from fairbench.attacks.autoattack import AutoAttack, AutoAttacked
from fairbench.attacks.frozen import frozen
from fairbench.attacks.judging import Judged
from fairbench.attacks.search import search_model
from fairbench.attacks.standard.steady import LEAST
from fairbench.models import build_model
from fairbench.protocol.attack_names import ATTACKS
from fairbench.protocol.autoattack_settings import AutoAttackSettings
from fairbench.protocol.evaluation import Evaluation
from fairbench.protocol.threat import Norm, Precision

PRECISIONS: list[Precision] = ["fp32", "bf16"]
ARCHITECTURES = {"digits-cnn": (1, 8), "mnist-cnn": (1, 12), "cifar-cnn": (3, 16), "resnet18": (3, 16)}
ARCHITECTURES |= {"preactresnet18": (3, 16), "mobilenetv2": (3, 16)}


@pytest.fixture
def images() -> Tensor:
    """Twelve grey images of 8x8 pixels."""
    return torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(1))


class Small(nn.Module):
    """A convolution with batch norm and a linear layer; subclasses do to it what real models do."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            self.convolution, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
            self.linear = nn.Linear(256, 10)
            nn.init.uniform_(self.norm.get_buffer("running_mean"), -0.5, 0.5)
            nn.init.uniform_(self.norm.get_buffer("running_var"), 0.1, 2.0)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.norm(self.convolution(images)).relu().flatten(1))
        return logits


def searching(
    model: nn.Module, images: Tensor, *, precision: Precision = "fp32", classes: int = 10
) -> tuple[Judged, Judged]:
    """The judged model and what searches in its place."""
    judged = Judged(model, classes=classes)
    with frozen(judged), torch.no_grad():
        indices = torch.arange(len(images))
        return judged, search_model(judged, images, indices=indices, precision=precision, batch_size=5)


def gradient(network: Judged, images: Tensor) -> Tensor:
    points = images.clone().requires_grad_()
    (found,) = torch.autograd.grad(network(points).logsumexp(dim=1).sum(), points)
    return found


# The same function.


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_copy_is_the_same_function(name: str, precision: Precision) -> None:
    """Logits and gradients; up to round-off in fp32. The convolutions have taken in what can be folded."""
    channels, side = ARCHITECTURES[name]
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(0)
        model = build_model(
            name, classes=10, channels=channels, size=(side, side), mean=(0.5,) * channels, std=(0.25,) * channels
        )
        images = torch.rand(8, channels, side, side)
        model(images)
    judged, search = searching(model.eval(), images, precision=precision)
    assert search is not judged
    copy = search.model.get_submodule("network")
    folded, before = (sum(isinstance(layer, nn.BatchNorm2d) for layer in one.modules()) for one in (copy, model))
    assert folded < before * (0.6 if name == "preactresnet18" else 0.1)
    expected, logits = judged(images).detach(), search(images).detach()
    assert logits.dtype == torch.float32
    scale, error = float(expected.abs().max()), float((logits - expected).abs().max())
    steepness, slope_error = gradient(judged, images), gradient(search, images) - gradient(judged, images)
    if precision == "fp32":
        assert 0 < error < 1e-5 * scale
        assert slope_error.norm() < 1e-3 * steepness.norm()
    else:
        assert 1e-4 * scale < error < 0.1 * scale
        assert slope_error.norm() < 0.5 * steepness.norm()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_logits_and_gradients_do_not_depend_on_the_batch(precision: Precision, images: Tensor) -> None:
    """In the batches of an attack, which are never smaller."""
    images = torch.cat([images, images.flip(-1), 1 - images])
    _, search = searching(Small(), images, precision=precision)
    for rows in (slice(0, LEAST), slice(LEAST, 36)):
        assert torch.equal(search(images[rows]), search(images)[rows])
        assert torch.equal(gradient(search, images[rows]), gradient(search, images)[rows])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_model_is_left_as_it_was(precision: Precision, images: Tensor) -> None:
    model = Small()
    state, random_state = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    _, search = searching(model.train(), (255 * images).byte(), precision=precision)
    search(images)
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert all(parameter.is_contiguous() for parameter in model.parameters())
    assert all(layer.training for layer in model.modules())
    assert not any(parameter.requires_grad for parameter in search.model.get_submodule("network").parameters())


# Models of which there is no copy to be trusted.


class Branching(Small):
    """Control flow that depends on the data."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images if images.mean() > 0 else 1 - images)


class Locked(Small):
    """Something that cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class Noisy(Small):
    """Randomness as of the input."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images + 0.01 * torch.randn_like(images))


class Tossing(Small):
    """Randomness that a trace would freeze."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images + random.random() / 100)


class _Straight(torch.autograd.Function):
    @staticmethod
    def forward(_context: Any, images: Tensor) -> Tensor:
        return (8 * images).round() / 8

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> Any:
        return gradients[0]


class Quantising(Small):
    """A gradient of its own: rounding, passed straight through."""

    def forward(self, images: Tensor) -> Tensor:
        rounded: Tensor = _Straight.apply(images)
        return super().forward(rounded)


class Reusing(Small):
    """A convolution in two places, each with its own batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.again, self.other = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4).eval()
        nn.init.constant_(self.other.weight, 3.0)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.norm(self.convolution(images)).relu()
        hidden = self.other(self.again(self.norm(self.again(hidden)).relu()))
        logits: Tensor = self.linear(hidden.flatten(1))
        return logits


def hooked() -> nn.Module:
    model = Small()
    model.register_forward_hook(lambda _module, _inputs, logits: logits * 2)
    return model


FOREIGN: list[Callable[[], nn.Module]] = [Branching, Locked, Noisy, Tossing, Quantising, Reusing, hooked]


@pytest.mark.parametrize("make", FOREIGN, ids=lambda make: make.__name__)
def test_a_model_that_has_no_faithful_copy_searches_itself(make: Callable[[], nn.Module], images: Tensor) -> None:
    model, state = make(), torch.get_rng_state()
    judged, search = searching(model, images)
    assert search is judged
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("make", FOREIGN, ids=lambda make: make.__name__)
def test_without_a_copy_bf16_runs_the_model(make: Callable[[], nn.Module], images: Tensor) -> None:
    judged, search = searching(make(), images, precision="bf16")
    assert search is not judged
    expected, logits = judged(images), search(images)
    assert logits.dtype == torch.float32
    assert (logits - expected).abs().max() < 0.1 * expected.abs().max()
    assert all(parameter.dtype == torch.float32 for parameter in judged.parameters())


def test_logits_that_are_not_finite_are_the_models_word(images: Tensor) -> None:
    """An overflow of the copy is not one of the model; the other rows keep what the copy says."""
    judged = Judged(Small(), classes=10)
    broken = module._Search(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), judged, precision="fp32")
    expected = broken.network(images)
    dark = images.clone()
    dark[3] = torch.inf
    found = broken(dark)
    assert torch.equal(found[3].isnan(), judged(dark)[3].isnan())
    assert torch.equal(found[:3], expected[:3])
    with torch.no_grad():
        broken.network[1].bias[0] = torch.nan  # type: ignore[index]
    assert torch.equal(broken(images), judged(images))


def test_the_choice_does_not_depend_on_the_order(images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The images compared are the first of the test set, whichever come first here."""
    monkeypatch.setattr(module, "COMPARED", 4)
    seen: list[Tensor] = []
    judged = Judged(Small(), classes=10)
    judged.register_forward_hook(lambda _module, inputs, _logits: seen.append(inputs[0].detach()))
    for order in (torch.arange(12), torch.randperm(12, generator=torch.Generator().manual_seed(0))):
        with frozen(judged):
            search_model(judged, images[order], indices=order, precision="fp32", batch_size=3)
        assert torch.equal(torch.cat(seen), images[:4])
        seen.clear()


# In the engine.


@pytest.fixture(scope="module")
def trained() -> tuple[nn.Module, Tensor, Tensor]:
    """A small network with batch norm that half of its images leave under attack, and forty images."""
    generator = torch.Generator().manual_seed(0)
    prototypes = torch.rand(10, 1, 8, 8, generator=generator)
    labels = torch.arange(400) % 10
    images = (prototypes[labels] + 0.25 * torch.randn(400, 1, 8, 8, generator=generator)).clamp(0, 1)
    model = Small().train()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for rows in torch.split(torch.randperm(1600, generator=generator).remainder(400), 32):
        optimiser.zero_grad()
        torch.autograd.backward(F.cross_entropy(model(images[rows]), labels[rows]))
        optimiser.step()
    return model.eval(), images[:40], labels[:40]


def attacked(
    trained: tuple[nn.Module, Tensor, Tensor],
    *,
    folder: Path,
    norm: Norm = "Linf",
    search: Precision = "fp32",
    rows: Tensor | None = None,
    batch_size: int = 500,
) -> AutoAttacked:
    model, images, labels = trained
    rows = torch.arange(len(labels)) if rows is None else rows
    with torch.no_grad():
        clean = model(images[rows]).argmax(dim=1)
    radius = 0.14 if norm == "Linf" else 0.9
    return AutoAttack(
        model,
        images[rows],
        labels[rows],
        clean=clean,
        classes=10,
        threat=Threat(norm=norm, epsilon=radius, step=radius / 4),
        evaluation=Evaluation(pgd_step=0.01, search=search, batch_size=batch_size),
        folder=folder,
        indices=rows,
        settings=AutoAttackSettings(apgd_iterations=15, fab_iterations=8, square_queries=120, targets=4),
    ).attack(*ATTACKS)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("search", PRECISIONS)
def test_verdicts_do_not_depend_on_batches_or_order(
    search: Precision, norm: Norm, trained: tuple[nn.Module, Tensor, Tensor], tmp_path: Path
) -> None:
    """One by one, in sevens, in another order: image by image the same, down to the class it turns into."""
    whole = attacked(trained, folder=tmp_path / "whole", search=search, norm=norm)
    assert 0.2 < (whole.predictions == trained[2]).float().mean() < 0.8
    assert len(set(whole.broken_by)) > 2
    order = torch.randperm(40, generator=torch.Generator().manual_seed(3))
    for size in (1, 7, 250):
        part = attacked(trained, folder=tmp_path / str(size), search=search, norm=norm, rows=order, batch_size=size)
        assert torch.equal(part.predictions, whole.predictions[order])
        assert part.broken_by == [whole.broken_by[row] for row in order]


@pytest.mark.parametrize("search", PRECISIONS)
def test_every_break_is_one_of_the_model(
    search: Precision, trained: tuple[nn.Module, Tensor, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as the model itself finds, all of them verified in fp32 during the search."""
    found = attacked(trained, folder=tmp_path / "search", search=search)
    monkeypatch.setattr(engine, "search_model", lambda judged, *_images, **_options: judged)
    plain = attacked(trained, folder=tmp_path / "plain")
    assert found.unverified == plain.unverified == 0
    differing = int(((found.predictions == trained[2]) != (plain.predictions == trained[2])).sum())
    assert differing <= {"fp32": 0, "bf16": 2}[search]


def test_a_search_that_lies_breaks_nothing_that_holds(
    trained: tuple[nn.Module, Tensor, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network with other logits than the model: what it claims falls only where the model does, and is verified."""
    labels = trained[2]

    def lie(judged: Judged, *_images: Tensor, **_options: Any) -> Judged:
        return Judged(nn.Sequential(judged.model, nn.Linear(10, 10).requires_grad_(requires_grad=False)), classes=10)

    plain = attacked(trained, folder=tmp_path / "plain")
    monkeypatch.setattr(engine, "search_model", lie)
    found = attacked(trained, folder=tmp_path / "lying")
    assert found.unverified == 0
    fallen, expected = found.predictions != labels, plain.predictions != labels
    assert int((fallen & ~expected).sum()) <= 2  # as between two seeds
    assert not torch.equal(fallen, torch.ones_like(fallen))


def test_the_reference_engine_searches_with_the_model(
    trained: tuple[nn.Module, Tensor, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_arguments: Any, **_options: Any) -> Judged:
        raise AssertionError

    monkeypatch.setattr(engine, "search_model", never)
    model, images, labels = trained
    evaluation = replace(Evaluation(pgd_step=0.01), engine="reference")
    found = AutoAttack(
        model,
        images[:4],
        labels[:4],
        clean=labels[:4],
        classes=10,
        threat=Threat(epsilon=0.1, step=0.03),
        evaluation=evaluation,
        folder=tmp_path,
        settings=AutoAttackSettings(apgd_iterations=3, fab_iterations=2, square_queries=5, targets=2),
    ).attack(*ATTACKS)
    assert len(found.broken_by) == 4


def test_a_buffer_of_any_rank_is_no_obstacle(trained: tuple[nn.Module, Tensor, Tensor]) -> None:
    """Channels-last is an order of images; what else a model holds stays as it is."""

    class Holding(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network
            self.register_buffer("five", torch.zeros(1, 1, 3, 1, 1))

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.network(images)
            return logits

    network, images, _ = trained
    judged = Judged(Holding(network).eval().requires_grad_(requires_grad=False), classes=10)
    found = search_model(judged, images, indices=torch.arange(len(images)), precision="fp32", batch_size=50)
    with torch.no_grad():
        torch.testing.assert_close(found(images[:8]), judged(images[:8]), rtol=1e-4, atol=1e-4)
