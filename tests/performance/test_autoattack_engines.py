"""Our engine against pyautoattack, attack by attack: time, passes, and image by image whether they agree.

    pytest -m performance -s tests/performance/test_autoattack_engines.py
    FAIRBENCH_IMAGES=200 pytest -m performance -s tests/performance/test_autoattack_engines.py -k "cnn-a"

The library is used as its users do: `AutoAttack(model, version="standard")`, weights that require gradients, its checks
at the start. Ours searches in fp32 and, in columns of its own, in bf16. All attack the same images in one process, each
attack by one engine after the other, with torch's number of threads; a row is printed when all are through. Passes are
forwards and backwards of single images, for each image that is still robust after the attack. The engines draw noise of
their own, so that a few verdicts differ.
"""

import importlib.util
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyautoattack
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from fairbench import Threat, load_suite
from fairbench.attacks import autoattack as engine
from fairbench.attacks.autoattack import AutoAttack
from fairbench.attacks.watched import Watched
from fairbench.data.loading import load_dataset
from fairbench.evaluation.screening import screen
from fairbench.evaluation.tiers import attack_by_tier
from fairbench.execution.plan import Planner
from fairbench.method import registry
from fairbench.models import build_model
from fairbench.models.checkpoint import load_weights
from fairbench.outcomes.work_folder import WorkFolder
from fairbench.protocol.attack_names import ATTACKS
from fairbench.protocol.evaluation import Evaluation
from fairbench.protocol.threat import Norm, Precision
from fairbench.training.loop import model_of, train
from fairbench.training.passes import PassCounter, Passes

pytestmark = pytest.mark.performance

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
BATCH_SIZE = 250  # the library's own default
IMAGES = {"digits": 360, "cnn-a": 32, "trades-mnist": 16, "hundred": 16, "resnet18": 4}
"""By network, unless the environment says FAIRBENCH_IMAGES; a few minutes each on two cores."""

Network = tuple[nn.Module, Tensor, Tensor]
"""A network, images in [0, 1], and labels."""


class Library:
    """pyautoattack, plain.

    Attributes:
        robust: what it has not broken so far, (n,) bool.
        passes: so far.
    """

    def __init__(self, network: Network, threat: Threat) -> None:
        self._model, self._images, self._labels = network
        self._library = pyautoattack.AutoAttack(
            self._model, norm=threat.norm, eps=threat.epsilon, seed=0, version="standard", device="cpu"
        )
        self._library.fab.targeted = True
        classes = self._classes()
        self._library.apgd_targeted.n_target_classes = self._library.fab.n_target_classes = min(9, classes - 1)
        self.robust, self.passes = torch.ones_like(self._labels, dtype=torch.bool), Passes()

    def _classes(self) -> int:
        with torch.no_grad():
            return int(self._model(self._images[:1]).shape[1])

    def check(self) -> None:
        """What it does before the first attack: its checks of the model, and the clean images."""
        self._library.attacks_to_run = []
        tracer = sys.gettrace()
        _, predicted = self._library.run_standard_evaluation(self._images, self._labels, batch_size=BATCH_SIZE)
        sys.settrace(tracer)  # which the library removes
        self.robust = predicted == self._labels

    def attack(self, name: str) -> None:
        """One attack on its own survivors, and the forward by which it counts them."""
        library = self._library
        attacks = {"apgd-ce": library.apgd, "apgd-t": library.apgd_targeted, "fab-t": library.fab}
        with torch.no_grad(), PassCounter(self._model, self.passes):
            for rows in torch.split(self.robust.nonzero().flatten(), BATCH_SIZE):
                adversarial = attacks.get(name, library.square).perturb(self._images[rows], self._labels[rows])
                self.robust[rows] = self._model(adversarial).argmax(dim=1) == self._labels[rows]


class Ours:
    """Our engine in one precision; see `Library`."""

    def __init__(self, network: Network, threat: Threat, *, search: Precision, folder: Path) -> None:
        model, images, labels = network
        with torch.no_grad():
            clean = torch.cat([model(batch) for batch in torch.split(images, BATCH_SIZE)])
        self._attacking = AutoAttack(
            model,
            images,
            labels,
            clean=clean.argmax(dim=1),
            classes=clean.shape[1],
            threat=threat,
            evaluation=Evaluation(pgd_step=threat.step, search=search, batch_size=BATCH_SIZE),
            folder=folder,
        )
        self.passes = Passes()

    @property
    def robust(self) -> Tensor:
        return self._attacking.robust

    def attack(self, name: str) -> None:
        """One attack, and the verification of what it found."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engine, "Watched", _counted(self.passes))
            self._attacking.attack(name)


def _counted(passes: Passes) -> type[Watched]:
    class Counted(Watched):
        def __call__(self, points: Tensor) -> Tensor:
            passes.forwards += len(points)
            passes.input_backwards += len(points) * points.requires_grad
            return super().__call__(points)

    return Counted


@pytest.fixture(scope="module")
def cifar10() -> tuple[Tensor, Tensor]:
    """The first test images that are stored without loss."""
    meta = np.load(SHARED / "cifar10" / "meta.npz")
    sheet = np.asarray(Image.open(SHARED / "cifar10" / "test_00.webp").convert("RGB"))
    tiles = sheet.reshape(25, 32, 40, 32, 3).transpose(0, 2, 4, 1, 3).reshape(1000, 3, 32, 32)
    keep = np.flatnonzero(meta["test_lossless"][:1000])
    images = torch.from_numpy(tiles[keep].copy()).float() / 255
    return images, torch.from_numpy(meta["test_labels"][keep].astype(np.int64))


def _published(factory: str, weights: str) -> nn.Module:
    specification = importlib.util.spec_from_file_location("shared_zoo", SHARED / "models" / "zoo.py")
    assert specification is not None
    assert specification.loader is not None
    zoo = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(zoo)
    model: nn.Module = getattr(zoo, factory)()
    model.load_state_dict(torch.load(SHARED / "models" / weights, weights_only=True))
    return model


def _trained_on_digits(method_name: str, folder: Path) -> Network:
    """Forty epochs of the suite's recipe."""
    suite = load_suite("digits")
    suite = replace(suite, recipe=replace(suite.recipe, epochs=40))
    dataset = load_dataset(suite.dataset, folder=suite.folder, data_dir=folder)
    method = registry.create(method_name, {})
    (run,) = Planner(suite=suite, create=registry.create).plan([(method_name, method)], seeds=[0])
    work = WorkFolder(folder)
    train(run, method, dataset, folder=work, device=torch.device("cpu"))
    model = model_of(run, dataset)
    load_weights(work.checkpoint("selected"), model)
    images = dataset.test.images
    return model, images.float() / 255 if images.dtype == torch.uint8 else images, dataset.test.labels


def _hundred_classes(images: Tensor) -> Network:
    """Random weights, batch norm with the statistics of the images; the labels are its predictions."""
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(0)
        model = build_model("cifar-cnn", classes=100, channels=3, size=(32, 32), mean=(0.5,) * 3, std=(0.25,) * 3)
        for _ in range(50):
            model.train()(images[:250])
        labels = model.eval()(images).argmax(dim=1)
    return model, images, labels


def _resnet18() -> nn.Module:
    """The example inside pyautoattack, trained without attacks."""
    model = build_model("resnet18", classes=10, channels=3, size=(32, 32), mean=(0.0,) * 3, std=(1.0,) * 3)
    path = Path(pyautoattack.__file__).parent / "examples" / "model_test.pt"
    weights = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(
        {"network." + key.replace("shortcut", "downsample").replace("linear", "fc"): v for key, v in weights.items()},
        strict=False,
    )
    return model


@pytest.mark.parametrize("method_name", ["pgd-at", "trades"])
def test_digits(method_name: str, tmp_path: Path) -> None:
    """Batch norm, 8x8 images, L-inf 0.15."""
    network = _trained_on_digits(method_name, tmp_path)
    compare(f"digits, {method_name}", "digits", network, _threat("Linf", 0.15), folder=tmp_path)


shared = pytest.mark.skipif(not SHARED.exists(), reason="needs the shared folder with real images and checkpoints")


@shared
@pytest.mark.parametrize(("norm", "epsilon"), [("Linf", 2 / 255), ("Linf", 8 / 255), ("L2", 0.5)])
def test_cnn_a(norm: Norm, epsilon: float, cifar10: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    """Published for L-inf 2/255, without batch norm."""
    network = (_published("cifar_cnn_a", "cifar_cnn_a_adv.pt"), *cifar10)
    compare(f"CIFAR-10 CNN-A, {norm} {epsilon:.4f}", "cnn-a", network, _threat(norm, epsilon), folder=tmp_path)


@shared
def test_trades_mnist(tmp_path: Path) -> None:
    """Published for L-inf 0.3, without batch norm."""
    found = np.load(SHARED / "mnist" / "mnist_test.npz")
    images = torch.from_numpy(found["images"][:1000].reshape(-1, 1, 28, 28)).float() / 255
    labels = torch.from_numpy(found["labels"][:1000].astype(np.int64))
    network = _published("trades_mnist", "trades_mnist_smallcnn.pt"), images, labels
    compare("MNIST, TRADES, Linf 0.3", "trades-mnist", network, _threat("Linf", 0.3), folder=tmp_path)


@shared
def test_hundred_classes(cifar10: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    """Batch norm, 32x32 images."""
    network = _hundred_classes(cifar10[0])
    compare("a hundred classes, Linf 0.001", "hundred", network, _threat("Linf", 0.001), folder=tmp_path)


@shared
@pytest.mark.parametrize("pixels", [0.25, 1.5])
def test_resnet18(pixels: float, cifar10: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    """At radii that most images survive, or a few, although nothing was done for them."""
    network = (_resnet18(), *cifar10)
    title = f"CIFAR-10 ResNet-18, Linf {pixels}/255"
    compare(title, "resnet18", network, _threat("Linf", pixels / 255), folder=tmp_path)


def _threat(norm: Norm, epsilon: float) -> Threat:
    return Threat(norm=norm, epsilon=epsilon, step=epsilon / 4)


def compare(title: str, name: str, network: Network, threat: Threat, *, folder: Path) -> None:
    """Print the table; all engines end with nearly the same robust accuracy."""
    count = int(os.environ.get("FAIRBENCH_IMAGES", IMAGES[name]))
    model, images, labels = network[0].eval(), network[1][:count], network[2][:count]
    network = model, images, labels
    library = Library(network, threat)
    ours: list[Ours] = []
    watches = [_Watch(), _Watch(), _Watch()]
    for watch, search in zip(watches[1:], _PRECISIONS, strict=True):
        with watch.running():
            ours.append(Ours(network, threat, search=search, folder=folder))
    with watches[0].running():
        library.check()
    engines: tuple[Library | Ours, ...] = (library, *ours)
    print(f"\n\n{title}: {len(labels)} images, {int(library.robust.sum())} correct, {torch.get_num_threads()} threads")
    print(f"{'':9} {'pyautoattack':>20} {'fp32 search':>23} {'bf16 search':>23}   forwards/backwards per survivor")
    print(f"{'':9} {'wall':>10} {'CPU':>9} {'wall':>13} {'CPU':>9} {'wall':>13} {'CPU':>9}")
    _row("start", watches)
    totals = [(watch.wall, watch.cpu) for watch in watches]
    for attack in ATTACKS:
        watches = [_Watch(), _Watch(), _Watch()]
        before = [(one.passes.forwards, _backwards(one.passes)) for one in engines]
        for watch, one in zip(watches, engines, strict=True):
            with watch.running():
                one.attack(attack)
        totals = [(w + watch.wall, c + watch.cpu) for (w, c), watch in zip(totals, watches, strict=True)]
        passes = " ".join(
            f"{(one.passes.forwards - f) / max(int(one.robust.sum()), 1):8.0f}/"
            f"{(_backwards(one.passes) - b) / max(int(one.robust.sum()), 1):.0f}"
            for one, (f, b) in zip(engines, before, strict=True)
        )
        _row(attack, watches, passes)
    _row("total", [_Watch(wall=wall, cpu=cpu) for wall, cpu in totals])
    for search in _PRECISIONS:
        fast = _Watch()
        with fast.running():
            tier = _fast(network, threat, search=search, folder=folder / f"fast-{search}")
        ratios = f"wall {totals[0][0] / fast.wall:.2f}x, CPU {totals[0][1] / fast.cpu:.2f}x"
        print(f"tier fast, {search} search: {fast.wall:.1f} s, {ratios}; it ended as {tier}", flush=True)
    for label, one in zip(("pyautoattack", "fp32 search", "bf16 search"), engines, strict=True):
        differing = int((one.robust != library.robust).sum())
        average, worst = _accuracies(one.robust, labels)
        more = one.robust.float() - library.robust.float()
        above = max(float(more[labels == label].mean()) for label in torch.unique(labels))
        print(
            f"{label:12} robust {average:6.1%}, worst class {worst:6.1%}, {differing} other verdicts than the library, "
            f"above it by {more.mean():+.2%} on average, {above:+.2%} in a class at most",
            flush=True,
        )
        assert differing <= 0.05 * len(labels) + 1


_PRECISIONS: tuple[Precision, Precision] = ("fp32", "bf16")


class _Watch:
    """Wall and CPU time."""

    def __init__(self, *, wall: float = 0.0, cpu: float = 0.0) -> None:
        self.wall, self.cpu = wall, cpu

    @contextmanager
    def running(self) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall, self.cpu = self.wall + time.perf_counter() - wall, self.cpu + time.process_time() - cpu


def _row(name: str, watches: list[_Watch], passes: str = "") -> None:
    first, *others = watches
    cells = "".join(f" {one.wall:7.1f} s{first.wall / one.wall:5.2f}x {first.cpu / one.cpu:7.2f}x" for one in others)
    print(f"{name:9} {first.wall:8.1f} s {first.cpu:7.1f} s {cells}  {passes}", flush=True)


def _backwards(passes: Passes) -> int:
    return passes.input_backwards + passes.weight_backwards


def _accuracies(robust: Tensor, labels: Tensor) -> tuple[float, float]:
    """Average and worst class among those with images."""
    classes = [robust[labels == label].float().mean() for label in torch.unique(labels)]
    return float(robust.float().mean()), float(torch.stack(classes).min())


def _fast(network: Network, threat: Threat, *, search: Precision, folder: Path) -> str:
    """Tier `fast`, PGD-20 included; the tier it ends in."""
    model, images, labels = network
    evaluation = Evaluation(pgd_step=threat.step, tier="fast", search=search, batch_size=BATCH_SIZE)
    with torch.no_grad():
        classes = int(model(images[:1]).shape[1])
    screened = screen(model, images, labels, classes=classes, threat=threat, evaluation=evaluation)
    attacking = AutoAttack(
        model,
        images,
        labels,
        clean=screened.clean,
        classes=classes,
        threat=threat,
        evaluation=evaluation,
        folder=folder,
    )
    reached = attack_by_tier(attacking, screened, labels, classes=classes, evaluation=evaluation)
    return f"{reached.tier} ({reached.promotion})" if reached.promotion else reached.tier
