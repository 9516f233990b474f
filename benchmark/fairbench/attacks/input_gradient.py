"""The gradient that an attack follows."""

import torch
from torch import Tensor


def input_gradient(values: Tensor, points: Tensor) -> Tensor:
    """Of values, (n,), each by its own point, (n, ...); zero where it is NaN.

    A root has an infinite slope at zero, and infinity times zero is NaN: a model may predict well and have no gradient
    there. A point moved by NaN would be no image any more, and end the attack of a norm without a break; zero leaves it
    where it is, and is counted as the masked gradient that it is.
    """
    return torch.autograd.grad(values.sum(), points)[0].nan_to_num(nan=0.0)


def logits_gradient(logits: Tensor, slope: Tensor, points: Tensor) -> Tensor:
    """The same of a loss whose gradient to the logits, (n, classes), is known; of logits by their own points."""
    return torch.autograd.grad(logits, points, slope)[0].nan_to_num(nan=0.0)
