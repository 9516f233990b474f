"""Equalising the norms of the last layer's rows: a change of any checkpoint that costs nothing.

    HeadNorm.parse("head-norm:0.5").apply(model, shape=(3, 32, 32))      # what was changed, as a sentence

Under adversarial training the row of a class in the last layer grows with its robust accuracy (ICLR 2026, submission
14772), so that whoever sees a gap between classes asks what is left of it without the rows' norms. With the norms n_c
and their mean n,

    w_c <- w_c (n / n_c)^tau,    biases as they are

tau = 1 makes all norms equal, 0 changes nothing. The submission's own update rule is not published, hence
`RECONSTRUCTION`.
"""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from fairbench.attacks import frozen
from fairbench.attacks.judging import private_randomness
from fairbench.errors import UserError

NAME = "head-norm"

RECONSTRUCTION = (
    "The norms of the last layer's rows were equalised after training; the authors' own rule for this is not published."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadNorm:
    """The transform.

    Attributes:
        tau: how far norms are equalised, in [0, 1].
    """

    tau: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `head-norm` or `head-norm:TAU`.

        Raises:
            UserError: for anything else.
        """
        name, colon, tau = text.partition(":")
        try:
            value = float(tau) if colon else 1.0
        except ValueError:
            value = -1.0
        if name != NAME or not 0 <= value <= 1:
            raise UserError(
                f"--transform {text} is not allowed; allowed: head-norm, or head-norm:TAU with TAU from 0 (nothing "
                "changes) to 1 (equal norms, the default)."
            )
        return cls(tau=value)

    def __str__(self) -> str:
        """As it is parsed, every setting said."""
        return f"{NAME}:{self.tau:g}"

    def apply(self, model: nn.Module, *, shape: tuple[int, int, int]) -> str:
        """Change the last layer in place; the norms before and after, as a sentence.

        Args:
            model: images in [0, 1] to logits.
            shape: of an image.

        Raises:
            UserError: if the network does not end in a linear layer with weights of its own.
        """
        weight = _head(model, shape=shape)
        with torch.no_grad():
            norms = weight.norm(dim=1, keepdim=True)
            factors = torch.where(norms > 0, (norms.mean() / norms) ** self.tau, 1.0)
            weight.mul_(factors)
            after = weight.norm(dim=1)
        return (
            f"{RECONSTRUCTION} {self}: they went from {norms.min():.3g} to {norms.max():.3g}, and go from "
            f"{after.min():.3g} to {after.max():.3g}."
        )


def _head(model: nn.Module, *, shape: tuple[int, int, int]) -> Tensor:
    """The weight of the linear layer whose outputs are the logits, (classes, features)."""
    calls: list[tuple[nn.Linear, Tensor]] = []

    def remember(layer: Any, _inputs: object, output: Tensor) -> None:
        calls.append((layer, output))

    handles = [layer.register_forward_hook(remember) for layer in model.modules() if isinstance(layer, nn.Linear)]
    device = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
    try:
        with frozen(model), private_randomness(0), torch.no_grad():
            logits = model(torch.full((2, *shape), 0.5, device=device))
    finally:
        for handle in handles:
            handle.remove()
    ending = [layer for layer, output in calls if output.shape == logits.shape and torch.equal(output, logits)]
    if not ending or "weight" not in dict(ending[-1].named_parameters(recurse=False)):
        raise UserError(
            f"{NAME} changes a last layer of type torch.nn.Linear with a plain weight, whose outputs are the logits; "
            "this network ends otherwise. Leave --transform out."
        )
    return ending[-1].weight
