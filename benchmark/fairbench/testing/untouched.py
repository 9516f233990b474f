"""Checks of what a method must leave as it was: networks, what it is given, and the random states of others."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from fairbench.testing.check import CheckFailedError
from fairbench.testing.rehearsal import Rehearsal, watched
from fairbench.testing.trial import Trial


def networks_are_left_alone(trial: Trial) -> None:
    """What an attack or a measurement does must not stay: gradients, modes, batch-norm statistics, prerequisites."""
    rehearsal = Rehearsal(trial)
    model = rehearsal.model
    others = {role: _state(net) for role, net in rehearsal.others.items()}
    for batch in rehearsal.batches(watch=lambda hook: _untouched(model, hook)):
        before = _marks(model)

        def inspect(_loss: Tensor, before: dict[str, object] = before) -> None:
            _refuse_changes(before, _marks(model), "when the loss is returned")

        with watched(model) as forwards:
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


def inputs_are_left_alone(trial: Trial) -> None:
    """The batch belongs to whoever wraps the step, the statistics to the trainer, which selects by them."""
    rehearsal = Rehearsal(trial)
    statistics = {f"validation.statistics.{name}": getattr(rehearsal.statistics, name) for name in ("clean", "robust")}
    given = statistics | {"setup.class_counts": rehearsal.class_counts}
    with _unwritten(given):
        for batch in rehearsal.batches():
            with _unwritten({f"batch.{name}": getattr(batch, name) for name in ("images", "labels", "indices")}):
                rehearsal.step(batch)


def only_its_own_generators_are_drawn_from(trial: Trial) -> None:
    """The generators that all share stay where they are, and where they are changes nothing."""
    one, other = (_weights_of_a_rehearsal(trial, seed) for seed in (1, 2))
    # What differs by chance has no seed to blame; that is for the check of trainings to say.
    if not _same(one, other) and _same(other, _weights_of_a_rehearsal(trial, 2)):
        raise CheckFailedError("Its weights depend on where the generators of torch, numpy or Python stand.")


def _weights_of_a_rehearsal(trial: Trial, seed: int) -> dict[str, Tensor]:
    """The last ones, with the generators that all share somewhere else for every seed."""
    with _seeded(seed):
        rehearsal = Rehearsal(trial)
        for batch in rehearsal.batches(watch=_undrawn):
            with _undrawn("step"):
                rehearsal.step(batch)
        return _state(rehearsal.model)


@contextmanager
def _untouched(model: nn.Module, hook: str) -> Iterator[None]:
    """Refuses whatever a hook that takes no step leaves behind, and forwards from which batch norm learns."""
    before = _marks(model) | {"A weight or buffer": _state(model)}
    with watched(model) as forwards:
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
        "The structure of the network": {name: type(module).__name__ for name, module in model.named_modules()},
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
    return first == second


@contextmanager
def _unwritten(given: dict[str, Tensor]) -> Iterator[None]:
    """Refuses whatever is written into tensors of others."""
    before = {name: tensor.clone() for name, tensor in given.items()}
    yield
    for name, tensor in given.items():
        if not _same(before[name], tensor):
            raise CheckFailedError(f"`{name}` has been written to.")


@contextmanager
def _undrawn(hook: str) -> Iterator[None]:
    """Refuses a hook that draws from a generator which all share, or seeds it."""
    before = _random_states()
    yield
    for name, state in _random_states().items():
        if not _same(before[name], state):
            raise CheckFailedError(f"`{hook}` draws from the generator that all users of {name} share, or seeds it.")


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Moves the generators that all share, and puts them back."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  the shared one is what this is about
    with torch.random.fork_rng(devices=[]):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002  as above
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002  as above


def _random_states() -> dict[str, object]:
    """By the library whose users share them; as text where they are no tensors."""
    _, words, *rest = np.random.get_state()  # noqa: NPY002  as above
    return {
        "torch": torch.get_rng_state(),
        "numpy": {"words": torch.from_numpy(np.asarray(words).astype(np.int64)), "rest": tuple(rest)},
        "Python": random.getstate(),
    }
