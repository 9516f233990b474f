"""A method on trial: short trainings on the real digits, each done once, whichever checks ask for it."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor, nn

from fairbench.data import loading
from fairbench.data.arrays import Arrays
from fairbench.data.dataset import Dataset
from fairbench.data.sources import load_source
from fairbench.method.asking import recipe_of
from fairbench.method.contract import Batch, Card, Method
from fairbench.method.losses import cross_entropy
from fairbench.models.checkpoint import load_weights
from fairbench.outcomes.work_folder import WorkFolder
from fairbench.progress import Progress, silent
from fairbench.protocol.run import Run
from fairbench.protocol.suite import Suite
from fairbench.protocol.suite_file import load_suite
from fairbench.training.loop import Trained, model_of, train

EPOCHS = 3
"""Epochs of a trial: enough to learn the digits from, and to be interrupted in."""


class Trial:
    """One class of methods, with its default hyper-parameters.

    Args:
        cls: the method.
        plugins: files in which methods that it builds on are looked for as well.
    """

    def __init__(self, cls: type[Method], *, plugins: Sequence[Path] = ()) -> None:
        self.cls = cls
        self.plugins = plugins

    @cached_property
    def run(self) -> Run:
        """Its training."""
        return short_run(self.cls())

    @cached_property
    def dataset(self) -> Dataset:
        """The digits, as their suite splits them."""
        return _digits(self.run.suite)

    @cached_property
    def first(self) -> Trained:
        """An undisturbed training."""
        return self.train()

    @cached_property
    def second(self) -> Trained:
        """The same once more."""
        return self.train()

    @cached_property
    def poisoned(self) -> Trained:
        """The same with other test images, for whoever loads them while it lasts."""
        with mock.patch.object(loading, "load_source", _poisoned_source):
            return self.train(_digits(self.run.suite))

    def train(
        self, dataset: Dataset | None = None, *, folder: WorkFolder | None = None, progress: Progress = silent
    ) -> Trained:
        """Train with a method of its own; prerequisites are short clean trainings.

        Args:
            dataset: another one than the digits.
            folder: where to go on; a fresh one by default.
            progress: told after every step.

        Raises:
            TrainingFailedError: as `fairbench.training.loop.train`.
        """
        with tempfile.TemporaryDirectory(prefix="fairbench-") as fresh, torch.random.fork_rng(devices=[]):
            return train(
                self.run,
                self.cls(),
                dataset or self.dataset,
                folder=folder or WorkFolder(Path(fresh)),
                device=torch.device("cpu"),
                prerequisites=self._prerequisites(),
                progress=progress,
            )

    def _prerequisites(self) -> Mapping[str, nn.Module]:
        return {role: self._load(role, weights) for role, weights in self._trained_prerequisites.items()}

    def _load(self, role: str, weights: Mapping[str, Tensor]) -> nn.Module:
        model = model_of(_prerequisite(self.run.suite, role), self.dataset)
        model.load_state_dict(weights)
        return model

    @cached_property
    def _trained_prerequisites(self) -> dict[str, dict[str, Tensor]]:
        """Weights by role."""
        found: dict[str, dict[str, Tensor]] = {}
        for role in dict.fromkeys(need.role for need in self.cls().prerequisites()):
            run = _prerequisite(self.run.suite, role)
            model = model_of(run, self.dataset)
            with tempfile.TemporaryDirectory(prefix="fairbench-") as fresh, torch.random.fork_rng(devices=[]):
                folder = WorkFolder(Path(fresh))
                train(run, _Clean(), self.dataset, folder=folder, device=torch.device("cpu"))
                load_weights(folder.checkpoint("last"), model)
            found[role] = model.state_dict()
        return found


def short_run(method: Method) -> Run:
    """A training of at least three epochs, where the method lets the suite decide (fine-tuning is shorter)."""
    lengths = (EPOCHS * 2**k for k in range(6))
    suites = (_short_suite(epochs) for epochs in lengths)
    suite = next((s for s in suites if recipe_of(method, s.recipe).epochs >= EPOCHS), _short_suite(EPOCHS))
    return _run(method, suite)


@contextmanager
def interruption(step: int) -> Iterator[Progress]:
    """A progress that ends a training after so many steps, and the place where it is caught."""

    def progress(stage: str, done: int, total: int) -> None:
        del stage, total
        if done == step:
            raise _InterruptedError

    with suppress(_InterruptedError):
        yield progress


class _InterruptedError(Exception):
    """A training was killed on purpose."""


@dataclass(kw_only=True)
class _Clean(Method):
    """Training on clean images, for the prerequisites of a trial."""

    card = Card(
        title="Clean",
        authors="-",
        venue="-",
        year=2026,
        link="https://example.org",
        bibtex="@misc{clean}",
        code_licence="-",
    )

    def loss(self, batch: Batch) -> Tensor:
        """Mean CE(z(x), y)."""
        return cross_entropy(self.model(batch.images), batch.labels).mean()


def _short_suite(epochs: int) -> Suite:
    """The digits suite, attacked by three steps and judged by two; a step of eps / 2 reaches the ball's border."""
    suite = load_suite("digits")
    step = suite.threat.epsilon / 2
    return replace(
        suite,
        recipe=replace(suite.recipe, epochs=epochs, batch_size=64, warmup=0.5),
        threat=replace(suite.threat, steps=3, step=step),
        evaluation=replace(suite.evaluation, tier="screen", pgd_steps=2, pgd_step=step),
    )


def _digits(suite: Suite) -> Dataset:
    return loading.load_dataset(suite.dataset, folder=suite.folder, data_dir=Path())


def _poisoned_source(name: str, *, data_dir: Path, image_size: int = 0) -> Arrays:
    """A dataset with negatives for test images, under labels in reverse order."""
    arrays = load_source(name, data_dir=data_dir, image_size=image_size)
    return replace(arrays, test_images=255 - arrays.test_images, test_labels=arrays.test_labels[::-1].copy())


def _prerequisite(suite: Suite, role: str) -> Run:
    """A short clean training on the architecture of its role, of another seed than the trial."""
    taught = suite.teaching() if role == "teacher" else suite
    return _run(_Clean(), replace(taught, recipe=replace(suite.recipe, epochs=EPOCHS)), seed=9)


def _run(method: Method, suite: Suite, *, seed: int = 0) -> Run:
    return Run(
        suite=suite,
        method=type(method).__name__,
        parameters=tuple(sorted(method.parameters().items())),
        recipe=recipe_of(method, suite.recipe),
        seed=seed,
    )
