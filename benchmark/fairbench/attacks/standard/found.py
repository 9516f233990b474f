"""What an attack of `standard` needs and what it hands back; the same for all four."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Predict = Callable[[Tensor], Tensor]
"""Images (batch, channels, height, width), float32 in [0, 1], to logits (batch, classes), float32."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """The claims of one attack, in input order.

    Attributes:
        images: the adversarial image where the attack claims one, the clean image elsewhere, (n, channels, height,
            width).
        broken: whether it claims one, (n,) bool.
    """

    images: Tensor
    broken: Tensor
