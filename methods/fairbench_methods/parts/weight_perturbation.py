"""Worst weights nearby, the mechanism of AWP and of whatever trains on a flat loss (AT-AWP, TRADES-AWP, FAAL).

Wu et al., NeurIPS 2020 (https://arxiv.org/abs/2004.05884). Every weight tensor l of at least two dimensions moves by a
share of its own length, along the gradient of a loss; biases and batch norm stay:

    v_l = size |w_l| g_l / (|g_l| + 1e-20),   g_l = dL/dw_l

    moves = adversarial_moves(model, loss, size=0.01)    # loss: a function of the network
    with moved(model, moves):
        update(loss(model))                              # differentiated and stepped at w + v

The released code takes g from an SGD step of a copy in train mode. Here the copy is the model itself with batch-norm
buffers of its own, so that its passes are counted, and its gradient is asked for rather than accumulated.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

Network = Callable[[Tensor], Tensor]
"""Images (batch, channels, height, width) to logits (batch, classes): a model, or what stands in for it."""


def adversarial_moves(model: nn.Module, loss: Callable[[Network], Tensor], *, size: float) -> dict[str, Tensor]:
    """The moves v by name and in the shape of their weights, |v_l| = size |w_l|; 0 where the gradient is 0.

    Args:
        model: in the mode of the loss; its buffers and `.grad` stay as they are.
        loss: the scalar to raise, of a network with the model's weights and buffers to spare.
        size: gamma, the length of a move relative to its weight's.
    """
    weights = {name: p for name, p in model.named_parameters() if p.ndim >= 2 and p.requires_grad}
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    value = loss(lambda images: functional_call(model, buffers, (images,)))
    with torch.autocast(value.device.type, enabled=False):  # as the trainer's update: bf16 forward, fp32 gradients
        gradients = torch.autograd.grad(value, list(weights.values()), allow_unused=True, materialize_grads=True)
    return {
        name: size * weight.detach().norm() / (gradient.norm() + 1e-20) * gradient
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
    }


@contextmanager
def moved(model: nn.Module, moves: Mapping[str, Tensor]) -> Iterator[None]:
    """Add the moves to the weights, and take them off again, whatever became of the weights in between.

    Args:
        model: back to its weights afterwards, up to rounding, plus what an optimiser added; also after an exception.
        moves: by name of the weight; none leave the model alone.
    """
    _add(model, moves, sign=1)
    try:
        yield
    finally:
        _add(model, moves, sign=-1)


def _add(model: nn.Module, moves: Mapping[str, Tensor], *, sign: int) -> None:
    with torch.no_grad():
        for name, move in moves.items():
            model.get_parameter(name).add_(move, alpha=sign)
