"""GAIRAT's weight of an image, told by how long it withstood the attack (GAIRAT, HAM).

Zhang et al., ICLR 2021, equation 6 (https://arxiv.org/abs/2010.01736), with kappa of K iterates still correct:

    w = ( 1 + tanh( lambda + 5 (1 - 2 kappa / K) ) ) / 2
"""

import torch
from torch import Tensor

WEIGHT_FUNCTIONS = ("tanh", "sigmoid", "discrete")


def geometry_weight(survived: Tensor, *, steps: int, shift: float = -1.0, function: str = "tanh") -> Tensor:
    """The weight of every image, (batch,) fp32 in (0, 1], not normalised: larger if fewer iterates stayed correct.

    Args:
        survived: kappa, (batch,) from 0 to `steps`.
        steps: K.
        shift: lambda; a larger one makes the weights more alike. `discrete` has none.
        function: one of `WEIGHT_FUNCTIONS`.
    """
    assert function in WEIGHT_FUNCTIONS
    kappa = survived.float()
    if function == "discrete":
        return (steps + 1 - kappa) / (steps + 1)
    argument = shift + 5 * (1 - 2 * kappa / steps)
    # (1 + tanh a) / 2 is sigmoid(2 a), which does not cancel where the weights are small.
    return torch.sigmoid(argument if function == "sigmoid" else 2 * argument)
