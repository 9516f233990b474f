"""CPU time of attacks with and without the shortcut through the network: same weights, same batch, same process.

    pytest -m performance -s tests/performance/test_shortcut.py

Both are measured in turn, many times, in CPU time of the process, so that a busy machine disturbs both and waiting
counts for neither; a cell is the lower quartile in milliseconds, and the ratio the median of the ratios of neighbours.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fairbench import load_suite
from fairbench.attacks import frozen, pgd
from fairbench.attacks.judging import Judged
from fairbench.attacks.search import search_model
from fairbench.attacks.shortcut import Shortened, shortcut
from fairbench.data.loading import load_dataset
from fairbench.execution.freed_memory import keep_freed_memory
from fairbench.execution.plan import Planner
from fairbench.method import registry
from fairbench.models import build_model
from fairbench.outcomes.work_folder import WorkFolder
from fairbench.protocol.threat import Threat
from fairbench.training.loop import _Training, model_of

pytestmark = pytest.mark.performance

SECONDS = 10.0
"""CPU time of a line of the table."""

Shorten = Callable[[nn.Module, Tensor], AbstractContextManager[None]]


@pytest.fixture(autouse=True)
def as_a_worker() -> Iterator[None]:
    """One thread, and memory as runs have it."""
    keep_freed_memory()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Shorten], None]:
    """Which shortcut the engine takes."""

    def put(shorten: Shorten) -> None:
        monkeypatch.setattr(import_module("fairbench.attacks.pgd"), "shortcut", shorten)

    return put


def _none(_model: nn.Module, _images: Tensor) -> AbstractContextManager[None]:
    return nullcontext()


def _compare(name: str, plain: Callable[[], object], short: Callable[[], object]) -> float:
    """Print a line; the ratio of plain to short."""
    times: list[tuple[float, float]] = []
    began = time.process_time()
    while len(times) < 6 or time.process_time() - began < SECONDS:
        pair = []
        for one in (plain, short):
            start = time.process_time()
            one()
            pair.append(time.process_time() - start)
        times.append((pair[0], pair[1]))
    columns = [
        sorted(1000 * column)[len(times) // 4] for column in torch.tensor(times[1:], dtype=torch.float64).T.numpy()
    ]
    ratio = statistics.median(one / other for one, other in times[1:])
    print(f"\n{name:28} {columns[0]:8.1f} -> {columns[1]:8.1f} ms {ratio:6.2f}x", end="")
    return ratio


@pytest.mark.parametrize(
    ("name", "shape", "least"),
    [
        ("digits-cnn", (1, 8, 8), 1.3),
        ("digits-cnn-wide", (1, 8, 8), 1.1),
        ("mnist-cnn", (1, 28, 28), 1.0),
        ("cifar-cnn", (3, 32, 32), 1.0),
    ],
)
def test_an_attack(name: str, shape: tuple[int, int, int], least: float, use: Callable[[Shorten], None]) -> None:
    """Ten steps on 128 images."""
    channels = shape[0]
    model = build_model(
        name, classes=10, channels=channels, size=shape[1:], mean=(0.5,) * channels, std=(0.25,) * channels
    ).eval()
    images, labels = torch.rand(128, *shape), torch.arange(128) % 10

    def attack(shorten: Shorten) -> None:
        use(shorten)
        pgd(model, images, labels, threat=Threat(epsilon=0.1, step=0.03), generator=torch.Generator())

    assert _compare(f"pgd-10, {name}", lambda: attack(_none), lambda: attack(shortcut)) > least


@pytest.mark.parametrize("name", ["pgd-at", "trades", "absld", "adaad", "fat"])
def test_an_epoch_of_digits(name: str, use: Callable[[Shorten], None], tmp_path: Path) -> None:
    """Nine steps; without the PGD-20 on validation."""
    training = _digits(name, tmp_path)

    def epoch(shorten: Shorten) -> None:
        use(shorten)
        training.state.step = 0
        training._train_epoch(lambda: None)

    assert _compare(f"digits epoch, {name}", lambda: epoch(_none), lambda: epoch(shortcut)) > 1


def test_the_validation_of_digits(use: Callable[[Shorten], None], tmp_path: Path) -> None:
    """PGD-20 on 179 images."""
    training = _digits("pgd-at", tmp_path)

    def judge(shorten: Shorten) -> None:
        use(shorten)
        training._statistics(training.model)

    assert _compare("digits validation", lambda: judge(_none), lambda: judge(shortcut)) > 1


@pytest.mark.parametrize("gradient", [False, True])
def test_a_search_of_autoattack(gradient: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forward, alone and with the gradient, of 360 digits: against the folded copy of the model."""
    model = build_model("digits-cnn", classes=10, channels=1, size=(8, 8), mean=(0.5,), std=(0.25,)).eval()
    judged, images = Judged(model, classes=10), torch.rand(360, 1, 8, 8)
    with frozen(judged), torch.no_grad():
        networks = []
        for shortened in (lambda *_given: None, Shortened.of):  # Shortened.of is bound before it is replaced
            monkeypatch.setattr(Shortened, "of", shortened)
            networks.append(search_model(judged, images, indices=torch.arange(360), precision="fp32", batch_size=600))

    def one(network: nn.Module) -> None:
        points = images.clone().requires_grad_(gradient)
        logits = network(points)
        if gradient:
            torch.autograd.grad(logits.sum(), points)

    what = "with gradient" if gradient else "forward"
    assert _compare(f"search, {what}", lambda: one(networks[0]), lambda: one(networks[1])) > (1 if gradient else 0.8)


def _digits(name: str, folder: Path) -> _Training:
    suite = load_suite("digits")
    suite = replace(suite, recipe=replace(suite.recipe, epochs=10_000))
    dataset = load_dataset(suite.dataset, folder=suite.folder, data_dir=folder)
    method = registry.create(name, {})
    run = Planner(suite=suite, create=registry.create).plan([(name, method)], seeds=[0])[-1]
    others = {role: model_of(replace(other, seed=9), dataset) for role, other in run.prerequisites}
    training = _Training(
        run, method, dataset, folder=WorkFolder(folder), device=torch.device("cpu"), prerequisites=others
    )
    method.start()
    return training
