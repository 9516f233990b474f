"""Checks of the steps that a method takes."""

from collections.abc import Iterator, Mapping
from dataclasses import Field, fields, replace
from typing import Any

import torch
from torch import Tensor

from fairbench.method.contract import Batch, Method
from fairbench.method.hyperparameter import allowed_by
from fairbench.protocol.suite import Parameter
from fairbench.testing.check import CheckFailedError
from fairbench.testing.rehearsal import Rehearsal, watched
from fairbench.testing.trial import Trial
from fairbench.training.returned_loss import loss_problem

LOSS_TOLERANCE = (0.05, 0.02)
"""Relative and absolute distance that bf16, with its three digits, may put between losses."""

GRADIENT_LEFT = 0.2
"""Share of a weight's gradient that must be left in bf16; what rounding takes is a few per cent."""


def losses_and_gradients_are_finite(trial: Trial) -> None:
    """From the first step to the last, also in a batch of one image."""
    take_finite_steps(Rehearsal(trial, last=1))


def any_number_of_classes_works(trial: Trial) -> None:
    """Two of them, and a hundred, most of which are absent from each batch."""
    for classes in (2, 100):
        try:
            take_finite_steps(Rehearsal(trial, classes=classes))
        except Exception as error:
            error.add_note(f"with {classes} classes")
            raise


def every_choice_takes_finite_steps(trial: Trial) -> None:
    """Also the options that the defaults never reach, each with what it has an effect with."""
    for changes in _choices(trial.cls):
        try:
            take_finite_steps(Rehearsal(trial, method=trial.cls(**changes), last=1))
        except Exception as error:
            error.add_note("with " + " and ".join(f"{name}={value!r}" for name, value in changes.items()))
            raise


def half_precision_is_close(trial: Trial) -> None:
    """Under bf16 autocast, from the same weights, losses are near those of fp32 and no weight loses its gradient."""
    full, half = Rehearsal(trial), Rehearsal(trial, precision="bf16")
    for batch, same in zip(full.batches(), half.batches(), strict=True):
        expected, loss = full.step(batch), half.step(same)
        where = f"{batch.progress:.0%} into the training"
        if (loss is None) != (expected is None):
            raise CheckFailedError(f"There is a loss in {'fp32' if loss is None else 'bf16'} only {where}.")
        if loss is not None and expected is not None:
            relative, absolute = LOSS_TOLERANCE
            if not torch.isclose(loss.float(), expected.float(), rtol=relative, atol=absolute):
                raise CheckFailedError(f"The loss is {loss:.3g} in bf16 and {expected:.3g} in fp32 {where}.")
            _compare_gradients(full, half, where)
        half.model.load_state_dict(full.model.state_dict())


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

        with watched(rehearsal.model) as forwards:
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


def take_finite_steps(rehearsal: Rehearsal) -> None:
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
    if found := loss_problem(loss):
        raise CheckFailedError(f"`loss` returned {found} {where}; allowed: a tensor of shape (), or None.")
    assert isinstance(loss, Tensor)
    if not loss.isfinite():
        raise CheckFailedError(f"The loss became {loss.item()} {where}.")
    if not loss.requires_grad:
        raise CheckFailedError(f"The loss does not depend on the weights {where}.")


def _compare_gradients(full: Rehearsal, half: Rehearsal, where: str) -> None:
    """No weight may be cut off from the loss by the arithmetic."""
    rounded = dict(half.model.named_parameters())
    for name, parameter in full.model.named_parameters():
        found, expected = (0.0 if p.grad is None else float(p.grad.abs().sum()) for p in (rounded[name], parameter))
        if not found >= GRADIENT_LEFT * expected:
            raise CheckFailedError(f"In bf16, {found / expected:.0%} of the gradient of {name} is left {where}.")


def _choices(cls: type[Method]) -> Iterator[Mapping[str, Any]]:
    """For every value of an option but the default: what to set."""
    known = {field.name: field for field in fields(cls) if field.init}
    for name, field in known.items():
        values = (False, True) if isinstance(field.default, bool) else allowed_by(field).choices
        for value in values:
            if value != field.default:
                yield {name: value, **_needed(known, name)}


def _needed(known: Mapping[str, Field[Any]], name: str) -> dict[str, Parameter]:
    """What else must be set for a hyper-parameter to have an effect, by its `only_with`."""
    rule = known[name].metadata.get("only_with")
    if rule is None:
        return {}
    other, *effective = rule
    changed = {} if known[other].default in effective else {other: effective[0]}
    return changed | _needed(known, other)
