"""The check that a method's cost can be counted."""

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from fairbench.testing.check import CheckFailedError
from fairbench.testing.rehearsal import Rehearsal
from fairbench.testing.trial import Trial
from fairbench.training.passes import PassCounter

UNCOUNTED = 0.02
"""Share of the arithmetic that may escape the counter: what a method computes outside of networks."""


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
