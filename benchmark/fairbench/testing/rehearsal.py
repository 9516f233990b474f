"""A method on small batches, every hook in the trainer's order, where each of them can be watched."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from fairbench.data.batches import TrainingBatches, evaluation_batches
from fairbench.data.dataset import Split
from fairbench.method.contract import Batch, ClassStatistics, Method, Setup, Validation
from fairbench.method.sampling import class_shares
from fairbench.models import build_model
from fairbench.protocol.threat import Precision, Threat
from fairbench.seeding import derived_seed, generator
from fairbench.testing.trial import Trial, short_run

BATCH = 16
"""Images per step."""

LossOf = Callable[[Tensor], None]
Watch = Callable[[str], AbstractContextManager[object]]


class Rehearsal:
    """Untrained networks, a few of the digits under any labels, an optimiser.

    Args:
        trial: whose method to rehearse, for as many epochs as its training has.
        method: an instance with other hyper-parameters than the defaults.
        classes: number of classes; every one of them has images, most are absent from a batch if there are many.
        last: images of the last batch of an epoch; 0 for full batches only.
        precision: of the steps; `bf16` is autocast, as in the trainer.
        network: builds another network than the suite's.

    Attributes:
        answers: what hooks returned whose answers the trainer reads, by their names, as `batches` goes on.
    """

    def __init__(
        self,
        trial: Trial,
        *,
        method: Method | None = None,
        classes: int = 10,
        last: int = 0,
        precision: Precision = "fp32",
        network: Callable[[], nn.Module] | None = None,
    ) -> None:
        run = short_run(method) if method else trial.run
        suite = run.suite
        self.method = method or trial.cls()
        self.recipe = replace(run.recipe, batch_size=BATCH, precision=precision)
        self.threat = Threat(epsilon=8 / 255, step=4 / 255, steps=3)
        count = BATCH * max(2, math.ceil(classes / BATCH)) + last
        self._split = Split(trial.dataset.train.images[:count], torch.arange(count) % classes)
        self.answers: list[tuple[str, object]] = []
        self.model = self._network(network or suite.model, trial, classes, name="model")
        self.others: dict[str, nn.Module] = {}
        for need in self.method.prerequisites():
            architecture = suite.teacher if need.role == "teacher" else network or suite.model
            other = self._network(architecture, trial, classes, name=need.role)
            self.others[need.role] = other.eval().requires_grad_(False)
        self._optimiser = torch.optim.SGD(self.model.parameters(), lr=0.05, momentum=0.9)
        clean = torch.linspace(0.9, 0.5, classes, dtype=torch.float64)
        self.statistics = ClassStatistics(counts=torch.full_like(clean, 10), clean=clean, robust=clean / 2)
        self.class_counts = torch.bincount(self._split.labels, minlength=classes)
        self.method.setup = Setup(
            model=self.model,
            threat=self.threat,
            recipe=self.recipe,
            classes=classes,
            class_counts=self.class_counts,
            noise=generator("rehearsal", "noise"),
            generator=generator("rehearsal", "method"),
            prerequisites=self.others,
            device=torch.device("cpu"),
            train_batches=lambda: self._train_batches().in_order(),
        )

    def batches(self, *, watch: Watch = nullcontext) -> Iterator[Batch]:
        """Go through the training; whoever iterates takes the steps.

        Every method is asked what it admits: any suite may average weights.

        Args:
            watch: entered around every hook but `step`, with its name.
        """
        batches = self._train_batches()

        def sampling() -> Tensor | None:
            with watch("sampling"):
                return class_shares(self.method)

        with watch("refuses"):
            self.method.refuses(self.model)
        with watch("start"):
            self.method.start()
        for epoch in range(self.recipe.epochs):
            with watch("begin_epoch"):
                self.method.begin_epoch(epoch, self._validation())
            for batch in batches.epoch(epoch, self.recipe.epochs, sampling=sampling):
                self.model.train()
                yield batch
            with watch("admits"):
                self.answers.append(("admits", self.method.admits(self._validation())))
            with watch("end_epoch"):
                self.answers.append(("end_epoch", self.method.end_epoch(epoch)))
            with watch("state_dict"):
                self.answers.append(("state_dict", self.method.state_dict()))

    def step(self, batch: Batch, *, inspect: LossOf | None = None) -> Tensor | None:
        """One update as the trainer makes it; its loss.

        Args:
            batch: to train on.
            inspect: called with the loss, before it is differentiated.
        """
        losses: list[Tensor] = []

        def update(loss: Tensor | None) -> None:
            if loss is None:
                return
            if inspect is not None:
                inspect(loss)
            self._optimiser.zero_grad(set_to_none=True)
            with torch.autocast("cpu", enabled=False):
                loss.backward()  # type: ignore[no-untyped-call]
            self._optimiser.step()
            losses.append(loss.detach())

        with torch.autocast("cpu", torch.bfloat16, enabled=self.recipe.precision == "bf16", cache_enabled=False):
            self.method.step(batch, update)
        return losses[-1] if losses else None

    def _train_batches(self) -> TrainingBatches:
        streams = {name: generator("rehearsal", name) for name in ("order", "augmentation", "views")}
        return TrainingBatches(self._split, recipe=self.recipe, **streams)

    def _validation(self) -> Validation:
        """Accuracies that differ between classes, and the training's own images."""
        batches = partial(evaluation_batches, self._split, batch_size=BATCH)
        return Validation.declared_by(self.method, statistics=self.statistics, batches=batches)

    @staticmethod
    def _network(architecture: str | Callable[[], nn.Module], trial: Trial, classes: int, *, name: str) -> nn.Module:
        dataset = trial.dataset
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed("rehearsal", name))
            if not isinstance(architecture, str):
                return architecture()
            return build_model(
                architecture,
                classes=classes,
                channels=dataset.channels,
                size=dataset.size,
                mean=dataset.mean,
                std=dataset.std,
            )


@contextmanager
def watched(model: nn.Module) -> Iterator[list[tuple[Tensor, bool]]]:
    """Inputs of every forward in train mode, and whether it is one to train on: with gradients for the weights only."""
    forwards: list[tuple[Tensor, bool]] = []

    def remember(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if module.training:
            trainable = torch.is_grad_enabled() and any(p.requires_grad for p in module.parameters())
            forwards.append((inputs[0], trainable and not inputs[0].requires_grad))

    handle = model.register_forward_pre_hook(remember)
    try:
        yield forwards
    finally:
        handle.remove()
