"""Compute is counted, not guessed: image passes through a network, by kind.

    with PassCounter(model) as counter:
        ...                      # attacks and updates, whatever the method does
    counter.units                # forward 1, backward to the input 1, backward with weight gradients 2

One PGD-10 adversarial training step is 10 (1 + 1) + (1 + 2) = 23 units per image, the unit in which cost is reported.
"""

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from torch import Tensor, nn

PGD_AT_UNITS = 23
"""Units per image of a PGD-10 adversarial training step."""


@dataclass(kw_only=True, slots=True)
class Passes:
    """Image passes; `units` weighs them by their cost relative to one forward."""

    forwards: int = 0
    input_backwards: int = 0
    weight_backwards: int = 0

    @property
    def units(self) -> int:
        """F + Gx + 2 Gw in image passes."""
        return self.forwards + self.input_backwards + 2 * self.weight_backwards


class PassCounter:
    """Counts the passes through one network while it is entered; the network's results are unchanged."""

    def __init__(self, model: nn.Module, passes: Passes | None = None) -> None:
        self.passes = passes or Passes()
        self._model = model
        self._parameter = next(model.parameters(), None)

    def __enter__(self) -> Self:
        self._handle = self._model.register_forward_hook(self._forward)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handle.remove()

    def _forward(self, _module: nn.Module, _inputs: Any, logits: Tensor) -> None:
        count = len(logits)
        self.passes.forwards += count
        if logits.requires_grad:
            weights = self._parameter is not None and self._parameter.requires_grad
            logits.register_hook(self._weight_backward if weights else self._input_backward)  # type: ignore[no-untyped-call]

    def _weight_backward(self, gradient: Tensor) -> None:
        self.passes.weight_backwards += len(gradient)

    def _input_backward(self, gradient: Tensor) -> None:
        self.passes.input_backwards += len(gradient)
