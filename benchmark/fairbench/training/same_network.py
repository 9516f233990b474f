"""Whether the network in training is still the one that will be judged, which is built anew from the stored weights.

A method that adds a layer to the network trains weights that fit nowhere; one that exchanges an activation trains
weights that mean something else in the network that is judged. Both would be found when everything is paid for.
"""

import torch
from torch import Tensor, nn

from fairbench.attacks import frozen
from fairbench.attacks.judging import private_randomness
from fairbench.errors import UserError

TOLERANCE = 1e-3
"""Relative and absolute distance of logits that arithmetic may explain; other layers are further away."""


def check_same(trained: nn.Module, fresh: nn.Module, images: Tensor, *, method: str) -> None:
    """Refuse a network that a method has rebuilt.

    Args:
        trained: left as it is.
        fresh: as it was built; it is given the weights, and left in eval mode.
        images: a few, in [0, 1], on their device.
        method: whose hooks were called.

    Raises:
        UserError: if the weights do not fit the network as it was built, or give other logits there.
    """
    advice = (
        "Training changes a network's weights alone: what a method needs beside them is its own, kept by its "
        "`state_dict`; another network is named by a suite."
    )
    state, expected = trained.state_dict(), fresh.state_dict()
    if strange := sorted(set(state) ^ set(expected)):
        raise UserError(f"{method} has rebuilt the network, which differs in {', '.join(strange[:3])}. {advice}")
    fresh.load_state_dict(state)
    with frozen(trained):
        found = _logits(trained, images)
    wanted = _logits(fresh.eval(), images)  # a copy of a scripted network has weights that cannot be frozen
    if not torch.allclose(found, wanted, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
        raise UserError(f"{method} has rebuilt the network, which gives other logits from the same weights. {advice}")


def _logits(network: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad(), private_randomness(0):
        logits: Tensor = network(images)
    return logits
