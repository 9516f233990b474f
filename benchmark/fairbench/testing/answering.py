"""Checks of what hooks answer, and of what a method says of networks that it was not written for."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from fairbench.testing.check import CheckFailedError
from fairbench.testing.rehearsal import Rehearsal
from fairbench.testing.stepping import take_finite_steps
from fairbench.testing.trial import Trial
from fairbench.training.hook_answers import admitted, kept, reported

WIDTH = 8
"""Channels of the networks that are tried."""


def hooks_answer_what_the_trainer_reads(trial: Trial) -> None:
    """From `refuses` to `state_dict`; what is asked when a run is planned has checks of its own."""
    rehearsal = Rehearsal(trial)
    refusal: object = trial.cls().refuses(rehearsal.model)  # before it is given a network, as the trainer asks
    if not isinstance(refusal, str):
        raise CheckFailedError(f"`refuses` returned {refusal!r}; allowed: what the network lacks, in a sentence, or ''")
    for batch in rehearsal.batches():
        rehearsal.step(batch)
    read = {"admits": admitted, "end_epoch": reported, "state_dict": kept}
    for hook, answer in rehearsal.answers:
        read[hook](answer, method=rehearsal.method)


def any_network_is_trained_or_refused(trial: Trial) -> None:
    """Finite steps on other networks, or a word on what they lack before there is one."""
    classes, channels = trial.dataset.classes, trial.dataset.channels
    for called, build in _NETWORKS.items():
        network = partial(build, classes, channels)
        with torch.random.fork_rng(devices=[]):  # weights at the start, and drop-out
            if trial.cls().refuses(network()):
                continue
            try:
                take_finite_steps(Rehearsal(trial, network=network))
            except Exception as error:
                error.add_note(f"with {called}, which `refuses` lets pass")
                raise


def _without_batch_norm(classes: int, channels: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, WIDTH, 3, padding=1),
        nn.GroupNorm(2, WIDTH),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * WIDTH, classes),
    )


def _without_linear_layer(classes: int, channels: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, WIDTH, 3, padding=1),
        nn.BatchNorm2d(WIDTH),
        nn.ReLU(),
        nn.Conv2d(WIDTH, classes, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def _with_drop_out(classes: int, channels: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, WIDTH, 3, padding=1),
        nn.BatchNorm2d(WIDTH),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(4 * WIDTH, classes),
    )


_NETWORKS: dict[str, Callable[[int, int], nn.Module]] = {
    "a network without batch norm": _without_batch_norm,
    "a network without a linear layer": _without_linear_layer,
    "a network with drop-out": _with_drop_out,
}
