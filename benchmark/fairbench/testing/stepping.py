"""Checks that watch a method at work: its steps, and the hooks around them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from fairbench.method.contract import Batch
from fairbench.testing.check import CheckFailedError
from fairbench.testing.rehearsal import Rehearsal
from fairbench.testing.trial import Trial
from fairbench.training.passes import PassCounter

UNCOUNTED = 0.02
"""Share of the arithmetic that may escape the counter: what a method computes outside of networks."""


def losses_and_gradients_are_finite(trial: Trial) -> None:
    """From the first step to the last, also in a batch of one image."""
    _take_finite_steps(Rehearsal(trial, last=1))


def any_number_of_classes_works(trial: Trial) -> None:
    """Two of them, and a hundred, most of which are absent from each batch."""
    for classes in (2, 100):
        try:
            _take_finite_steps(Rehearsal(trial, classes=classes))
        except Exception as error:
            error.add_note(f"with {classes} classes")
            raise


def networks_are_left_alone(trial: Trial) -> None:
    """What an attack or a measurement does must not stay: gradients, modes, batch-norm statistics, prerequisites."""
    rehearsal = Rehearsal(trial)
    model = rehearsal.model
    others = {role: _state(net) for role, net in rehearsal.others.items()}
    for batch in rehearsal.batches(watch=lambda hook: _untouched(model, hook)):
        before = _marks(model)

        def inspect(_loss: Tensor, before: dict[str, object] = before) -> None:
            _refuse_changes(before, _marks(model), "when the loss is returned")

        with _watched(model) as forwards:
            rehearsal.step(batch, inspect=inspect)
        for images, trained_on in forwards:
            if not trained_on:
                during = "an attack" if images.requires_grad else "a measurement"
                raise CheckFailedError(f"The model is in train mode during {during}, so batch norm learns from it.")
    for role, net in rehearsal.others.items():
        if any(module.training for module in net.modules()) or any(p.requires_grad for p in net.parameters()):
            raise CheckFailedError(f"The {role} is no longer frozen in eval mode.")
        if not _same(others[role], _state(net)) or any(p.grad is not None for p in net.parameters()):
            raise CheckFailedError(f"The weights, buffers or gradients of the {role} have changed.")


def training_points_stay_inside_the_threat(trial: Trial) -> None:
    """In [0, 1], and near an image of the batch or one of its views."""
    rehearsal = Rehearsal(trial)
    radii = trial.cls.largest_radius
    limit = radii * rehearsal.threat.epsilon
    for batch in rehearsal.batches():
        clean = [batch.images]

        def view(
            name: str,
            rows: Tensor,
            strength: Tensor | None = None,
            *,
            batch: Batch = batch,
            clean: list[Tensor] = clean,
        ) -> Tensor:
            clean.append(batch.view(name, rows, strength))
            return clean[-1]

        with _watched(rehearsal.model) as forwards:
            rehearsal.step(replace(batch, view=view))
        for images in (images.detach() for images, trained_on in forwards if trained_on):
            low, high = float(images.min()), float(images.max())
            if not (low >= -1e-6 and high <= 1 + 1e-6):
                raise CheckFailedError(f"It trains on pixels from {low:.3g} to {high:.3g}; allowed: [0, 1].")
            distance = torch.cdist(images.flatten(1), torch.cat(clean).flatten(1), p=torch.inf).amin(dim=1).max()
            if distance > limit + 1e-6:
                raise CheckFailedError(
                    f"It trains on a point {distance:.3g} away from every image of the batch, under a threat of radius "
                    f"{rehearsal.threat.epsilon:.3g}; allowed: {radii:g} times that (`largest_radius`)."
                )


def its_cost_is_counted(trial: Trial) -> None:
    """The passes that the trainer sees account for all arithmetic that happens."""
    rehearsal = Rehearsal(trial)
    networks = [rehearsal.model, *rehearsal.others.values()]
    counters = [PassCounter(net) for net in networks]
    happened = _Arithmetic()
    with ExitStack() as entered:
        for counter in counters:
            entered.enter_context(counter)
        entered.enter_context(happened)
        for batch in rehearsal.batches():
            images = batch.images[:1]
            rehearsal.step(batch)
    seen = sum(
        counter.passes.units * _multiply_adds(net, images) for counter, net in zip(counters, networks, strict=True)
    )
    total = happened.total
    if counters[0].passes.weight_backwards == 0:
        raise CheckFailedError("Not one backward pass with weight gradients went through `self.model`.")
    if total > (1 + UNCOUNTED) * seen:
        raise CheckFailedError(f"The counter sees {seen / total:.0%} of the arithmetic that happens in the hooks.")


def _take_finite_steps(rehearsal: Rehearsal) -> None:
    """Raises at the first step that is not finite, or if there was none that could teach anything."""
    learned = False
    for batch in rehearsal.batches():
        where = f"in a batch of {len(batch.labels)} images, {batch.progress:.0%} into the training"
        loss = rehearsal.step(batch, inspect=lambda loss, where=where: _check_loss(loss, where))  # type: ignore[misc]
        if loss is None:
            continue
        gradients = [p.grad for p in rehearsal.model.parameters() if p.grad is not None]
        if not all(gradient.isfinite().all() for gradient in gradients):
            raise CheckFailedError(f"A gradient is not finite {where}.")
        learned = learned or any(bool(gradient.any()) for gradient in gradients)
    if not learned:
        raise CheckFailedError("No step gave any weight a gradient.")


def _check_loss(loss: object, where: str) -> None:
    if not isinstance(loss, Tensor) or loss.shape != ():
        found = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise CheckFailedError(f"`loss` returned {found} {where}; allowed: a tensor of shape (), or None.")
    if not loss.isfinite():
        raise CheckFailedError(f"The loss became {loss.item()} {where}.")
    if not loss.requires_grad:
        raise CheckFailedError(f"The loss does not depend on the weights {where}.")


@contextmanager
def _watched(model: nn.Module) -> Iterator[list[tuple[Tensor, bool]]]:
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


@contextmanager
def _untouched(model: nn.Module, hook: str) -> Iterator[None]:
    """Refuses whatever a hook that takes no step leaves behind, and forwards from which batch norm learns."""
    before = _marks(model) | {"A weight or buffer": _state(model)}
    with _watched(model) as forwards:
        yield
    if forwards:
        raise CheckFailedError(
            f"The model is in train mode during a forward in `{hook}`, so batch norm learns from it."
        )
    _refuse_changes(before, _marks(model) | {"A weight or buffer": _state(model)}, f"after `{hook}`")


def _refuse_changes(before: dict[str, object], after: dict[str, object], when: str) -> None:
    for name, value in before.items():
        if not _same(value, after[name]):
            raise CheckFailedError(f"{name} is not as it was {when}.")


def _marks(model: nn.Module) -> dict[str, object]:
    """What must be the same before and after a loss is computed."""
    return {
        "`.grad`": {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()},
        "`requires_grad`": {name: p.requires_grad for name, p in model.named_parameters()},
        "The train mode": {name: module.training for name, module in model.named_modules()},
    }


def _state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _same(first: object, second: object) -> bool:
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_same(value, second[name]) for name, value in first.items())
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return torch.equal(first, second)
    return first is second


def _multiply_adds(net: nn.Module, images: Tensor) -> int:
    """Arithmetic of one forward of one image."""
    net.eval()
    arithmetic = _Arithmetic()
    with torch.no_grad(), arithmetic:
        net(images)
    return arithmetic.total


class _Arithmetic(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own class is not typed
    """Counts multiply-adds, whoever asks for them; torch's own counter refuses the gradients that attacks take."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        found = func(*args, **(kwargs or {}))
        if (count := flop_registry.get(func.overloadpacket)) is not None:
            self.total += int(count(*args, **(kwargs or {}), out_val=found))
        return found
