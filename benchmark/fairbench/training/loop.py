"""The training loop: schedule, precision, averaging, selection on the validation split, resume.

    trained = train(run, method, dataset, folder=WorkFolder.of(run, work_dir), device=device)

An epoch is the unit of resume (see `fairbench.training.state`). Both checkpoints are kept: `selected`, the epoch with
the best average plus worst robust accuracy on the validation split, and `last`. Test data cannot be reached from here.
"""

import copy
import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, TypedDict

import torch
from torch import Tensor, nn

from fairbench.atomic import atomic
from fairbench.attacks.judging import exact_arithmetic
from fairbench.data.batches import TrainingBatches, evaluation_batches, unit
from fairbench.data.dataset import Dataset
from fairbench.errors import TrainingFailedError, UserError
from fairbench.evaluation.screening import class_statistics
from fairbench.external.network import build_network
from fairbench.identity import file_sha256
from fairbench.machine import peak_memory
from fairbench.method.contract import ClassStatistics, Method, Setup, Validation
from fairbench.method.sampling import class_shares
from fairbench.method.schedule import learning_rate
from fairbench.models import build_model
from fairbench.models.checkpoint import save_weights
from fairbench.outcomes.work_folder import CHECKPOINTS, WorkFolder
from fairbench.progress import Progress, silent
from fairbench.protocol.factory import is_factory
from fairbench.protocol.run import Run
from fairbench.seeding import derived_seed
from fairbench.tracking.tracker import NOBODY, Epoch, Tracker
from fairbench.training.history_values import plain_value
from fairbench.training.hook_answers import admitted, reported
from fairbench.training.network_check import check_network
from fairbench.training.passes import PGD_AT_UNITS, PassCounter
from fairbench.training.returned_loss import loss_problem
from fairbench.training.same_network import check_same
from fairbench.training.state import SelectedEpoch, TrainingState

LOOKED_AT = 8
"""Validation images that the network is compared on with what it was built as."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What training leaves behind, apart from the two checkpoints; plain values.

    Attributes:
        selected_epoch: 0-based.
        history: one entry per epoch.
        passes: by network, with the cost of one of its passes relative to the trained network's.
        cost: multiple of PGD-10 adversarial training in the same suite.
        prerequisite_cost: the same for the hot start.
        teacher_cost: the same for the teacher.
        seconds: wall time, summed over interruptions.
        peak_memory: bytes.
        checkpoints: SHA-256 by rule.
    """

    selected_epoch: int
    history: list[dict[str, Any]]
    passes: dict[str, dict[str, float]]
    cost: float
    prerequisite_cost: float
    teacher_cost: float
    seconds: float
    peak_memory: int
    checkpoints: dict[str, str]


def model_of(run: Run, dataset: Dataset) -> nn.Module:
    """The run's untrained network; the same initial weights for every method of a suite and seed."""
    suite = run.suite
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(run.seed, "initial weights"))
        if is_factory(suite.model):
            return build_network(suite, **_shape(dataset))
        return build_model(suite.model, **_shape(dataset))


class _Shape(TypedDict):
    classes: int
    channels: int
    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def _shape(dataset: Dataset) -> _Shape:
    """What a network must know of the images."""
    return {
        "classes": dataset.classes,
        "channels": dataset.channels,
        "size": dataset.size,
        "mean": dataset.mean,
        "std": dataset.std,
    }


def read_trained(folder: WorkFolder) -> Trained:
    """The summary of a finished training."""
    return Trained(**json.loads(folder.summary.read_text(encoding="utf-8")))


def train(
    run: Run,
    method: Method,
    dataset: Dataset,
    *,
    folder: WorkFolder,
    device: torch.device,
    prerequisites: Mapping[str, nn.Module] | None = None,
    costs: Mapping[str, float] = MappingProxyType({}),
    progress: Progress = silent,
    tracker: Tracker = NOBODY,
) -> Trained:
    """Train a run to the end, from wherever its folder says it is.

    Args:
        run: what to train.
        method: the configured method; it is used up.
        dataset: its train and validation splits are used.
        folder: holds the state on the way, both checkpoints and the summary at the end.
        device: where to train.
        prerequisites: trained networks by role; a hot start gives the first weights.
        costs: of training the prerequisites, by role, as multiples of PGD-10 AT of their own networks.
        progress: told after every step.
        tracker: told after every epoch.

    Raises:
        TrainingFailedError: if a loss or gradient is not finite, no step of the first epoch updates the weights, or the
            model collapses to one class.
        UserError: if the folder cannot be written, or holds a state that is not one; if a hook answers what it must
            not, or rebuilds the network.
    """
    training = _Training(run, method, dataset, folder=folder, device=device, prerequisites=prerequisites or {})
    try:
        with exact_arithmetic(device):  # fp32 means fp32; who wants speed says bf16
            training.finish(progress, tracker)
        return training.summarise(costs)
    except TrainingFailedError as error:
        error.history, error.seconds = training.state.history, training.state.seconds
        raise


class _Training:
    """One training in progress."""

    def __init__(
        self,
        run: Run,
        method: Method,
        dataset: Dataset,
        *,
        folder: WorkFolder,
        device: torch.device,
        prerequisites: Mapping[str, nn.Module],
    ) -> None:
        self.run, self.method, self.dataset, self.folder = run, method, dataset, folder
        self.model = model_of(run, dataset).to(device)
        check_network(run, method, dataset, network=self.model)
        self.averaged = copy.deepcopy(self.model)  # receives the averaged weights
        self.others = {role: network.to(device).eval().requires_grad_(False) for role, network in prerequisites.items()}
        if "hot start" in self.others:
            self.model.load_state_dict(self.others["hot start"].state_dict())
        self.state = TrainingState(run, method, model=self.model, networks=("model", *self.others))
        streams = self.state.generators
        self.train_split, self.validation_split = dataset.train.to(device), dataset.validation.to(device)
        self.batches = TrainingBatches(
            self.train_split,
            recipe=run.recipe,
            order=streams["order"],
            augmentation=streams["augmentation"],
            views=streams["views"],
        )
        method.setup = Setup(
            model=self.model,
            threat=run.suite.threat,
            recipe=run.recipe,
            classes=dataset.classes,
            class_counts=torch.tensor(dataset.train_counts, device=device),
            noise=streams["noise"],
            generator=streams["method"],
            prerequisites=self.others,
            device=device,
            train_batches=self.batches.in_order,
        )

    def finish(self, progress: Progress, tracker: Tracker) -> None:
        """Every epoch that is missing."""
        state, steps = self.state, self.run.recipe.epochs * len(self.batches)
        with ExitStack() as counters:
            self._count(counters)
            self.method.start()  # on a resume the stored counts, which include it, take the place of these
        state.resume(self.folder.state)
        if state.step:
            self._check_updates(epoch=state.epoch - 1)
        progress("training", state.step, steps)
        if state.epoch == 0 and self._steers:
            state.statistics = self._statistics(self.model, counted=True)
        while state.epoch < self.run.recipe.epochs:
            began = time.monotonic()
            loss = self._train_epoch(lambda: progress("training", state.step, steps))
            self._check_updates(epoch=state.epoch)
            self._close_epoch(loss)
            state.seconds += time.monotonic() - began
            state.peak_memory = max(state.peak_memory, peak_memory(state.device))
            state.epoch += 1
            state.save(self.folder.state)
            tracker.on_epoch(_watched(state.history[-1]))

    def _train_epoch(self, stepped: Callable[[], None]) -> float | None:
        """Train on every image once; the mean loss of the steps that had one."""
        state, recipe = self.state, self.run.recipe
        losses: list[Tensor] = []

        def update(loss: Tensor | None) -> None:
            if loss is None:
                return
            self._check_loss(loss)
            if not torch.isfinite(loss):
                raise TrainingFailedError(f"the loss became {loss.item()} in step {state.step}", epoch=state.epoch)
            state.optimiser.zero_grad(set_to_none=True)
            with torch.autocast(state.device.type, enabled=False):
                loss.backward()  # type: ignore[no-untyped-call]
            gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
            norm = float(torch.nn.utils.get_total_norm(gradients))
            if not math.isfinite(norm):
                raise TrainingFailedError(f"a gradient is not finite in step {state.step}", epoch=state.epoch)
            state.optimiser.step()
            state.updates += norm > 0
            losses.append(loss.detach())

        # Without the cache of cast weights: a method that moves the weights between two forwards would not be seen.
        bf16 = torch.autocast(
            state.device.type, torch.bfloat16, enabled=recipe.precision == "bf16", cache_enabled=False
        )
        with ExitStack() as counters:
            self._count(counters)
            self.method.begin_epoch(state.epoch, self._validation())
            sampling = partial(class_shares, self.method)
            for batch in self.batches.epoch(state.epoch, recipe.epochs, sampling=sampling):
                for group in state.optimiser.param_groups:
                    group["lr"] = learning_rate(recipe, step=state.step, steps_per_epoch=len(self.batches))
                self.model.train()
                with bf16:
                    self.method.step(batch, update)
                state.step += 1
                stepped()
        return float(torch.stack(losses).mean()) if losses else None

    def _check_updates(self, *, epoch: int) -> None:
        """End a training whose first epoch taught it nothing; from the second on an epoch may freeze all weights."""
        if not self.state.updates:
            raise TrainingFailedError(
                f"no step updated the weights: in all {self.state.step} steps `loss` returned None, or a value without "
                "a gradient",
                epoch=epoch,
            )

    def _check_loss(self, loss: Tensor) -> None:
        """Refuse what an author returned by mistake; it is no result, and may be right after an edit."""
        name = type(self.method).__name__
        if problem := loss_problem(loss):
            raise UserError(
                f"The loss of {name} is {problem}; allowed: a tensor of shape (), the mean over images, or None."
            )
        if not loss.requires_grad:
            raise UserError(f"The loss of {name} does not depend on the weights: compute it from `self.model(images)`.")

    def _close_epoch(self, loss: float | None) -> None:
        """Average, validate, select, and write the history of the epoch."""
        state, method = self.state, self.method
        seen = unit(self.validation_split.images[: min(LOOKED_AT, self.run.recipe.batch_size)])
        check_same(self.model, self.averaged, seen, method=type(method).__name__)
        if self._steers:  # by what the gate and the next epoch are given
            last = state.epoch + 1 == self.run.recipe.epochs
            state.statistics = self._statistics(self.model, counted=not last or state.average.due(state.epoch))
        with ExitStack() as counters:
            self._count(counters)
            if state.average.due(state.epoch) and admitted(method.admits(self._validation()), method=method):
                state.average.add(self.model)
            told = reported(method.end_epoch(state.epoch), method=method)
        deployed, found = self.model, state.statistics
        if state.average.weights:
            state.average.copy_to(self.averaged)
            deployed, found = self.averaged, None
        found = found or self._statistics(deployed)
        score = float(found.robust.nanmean() + found.robust[found.counts > 0].min())
        single = bool((found.clean == 1).sum() == 1 and found.clean.nansum() == 1)
        if (not single, score) > (not state.best.single_class, state.best.score):
            state.best = SelectedEpoch(epoch=state.epoch, score=score, single_class=single)
            state.selected = {name: tensor.detach().cpu().clone() for name, tensor in deployed.state_dict().items()}
        state.history.append(
            {
                "epoch": state.epoch,
                "learning_rate": state.optimiser.param_groups[0]["lr"],
                "loss": loss,
                "validation_clean": plain_value(found.clean.tolist()),
                "validation_robust": plain_value(found.robust.tolist()),
                "method": told,
            }
        )

    @property
    def _steers(self) -> bool:
        return self.method.validation in ("attacked", "both")

    def _statistics(self, model: nn.Module, *, counted: bool = False) -> ClassStatistics:
        """Validation accuracies per class; passes count where the method, not the selection, asks for them."""
        with ExitStack() as counters:
            if counted:
                self._count(counters)
            return class_statistics(
                model,
                self.validation_split.images,
                self.validation_split.labels,
                classes=self.dataset.classes,
                threat=self.run.suite.threat,
                evaluation=self.run.suite.evaluation,
            )

    def _validation(self) -> Validation:
        """The held-out split and what is known of it, for the model as it is."""
        return Validation.declared_by(
            self.method,
            statistics=self.state.statistics,
            batches=partial(evaluation_batches, self.validation_split, batch_size=self.run.recipe.batch_size),
        )

    def _count(self, counters: ExitStack) -> None:
        for name, network in {"model": self.model, **self.others}.items():
            counters.enter_context(PassCounter(network, self.state.passes[name]))

    def summarise(self, costs: Mapping[str, float]) -> Trained:
        """Write what remains of the state: both checkpoints, then the summary, which says that training is over."""
        state = self.state
        if state.best.single_class:
            raise TrainingFailedError("the model predicts a single class", epoch=state.best.epoch)
        last = state.average.weights or self.model.state_dict()
        save_weights(self.folder.checkpoint("selected"), state.selected)
        save_weights(self.folder.checkpoint("last"), last)
        image = unit(self.train_split.images[:1])
        multiply_adds = {name: _multiply_adds(net, image) for name, net in {"model": self.model, **self.others}.items()}
        relative = {name: count / multiply_adds["model"] for name, count in multiply_adds.items()}
        units = sum(passes.units * relative[name] for name, passes in state.passes.items())
        trained = Trained(
            selected_epoch=state.best.epoch,
            history=state.history,
            passes={name: {**asdict(passes), "relative_cost": relative[name]} for name, passes in state.passes.items()},
            cost=units / (PGD_AT_UNITS * len(self.train_split.labels) * self.run.suite.recipe.epochs),
            prerequisite_cost=costs.get("hot start", 0.0),
            teacher_cost=costs.get("teacher", 0.0) * relative.get("teacher", 1.0),
            seconds=state.seconds,
            peak_memory=state.peak_memory,
            checkpoints={rule: file_sha256(self.folder.checkpoint(rule)) for rule in CHECKPOINTS},
        )
        with atomic(self.folder.summary) as temporary:
            temporary.write_text(json.dumps(asdict(trained), allow_nan=False), encoding="utf-8")
        self.folder.state.unlink(missing_ok=True)
        return trained


def _watched(entry: Mapping[str, Any]) -> Epoch:
    """An entry of the history, for whoever watches."""
    return Epoch(
        number=entry["epoch"],
        learning_rate=entry["learning_rate"],
        loss=entry["loss"],
        clean=tuple(entry["validation_clean"]),
        robust=tuple(entry["validation_robust"]),
        reported=entry["method"],
    )


def _multiply_adds(model: nn.Module, image: Tensor) -> int:
    """Cost of one forward, for comparing networks."""
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415  it imports half of torch's compiler

    model.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(image)
    return max(int(counter.get_total_flops()), 1)
