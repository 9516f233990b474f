"""What stands between a network's last layer and what it returns: nothing, or a function that flattens gradients.

    squashed_by(model, images[:8])          # "a tanh" for 5 * tanh(logits) - 2, "" for logits

A sigmoid of the logits leaves every prediction as it is and hides the network from attacks on the cross-entropy, also
where it is stretched to another interval than [0, 1]. The graph of the gradients says so, whatever the numbers are.
"""

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

_SQUASHING = {
    "Sigmoid": "a sigmoid",
    "Softmax": "a softmax",
    "Tanh": "a tanh",
    "Hardtanh": "a clamp",
    "Hardsigmoid": "a hard sigmoid",
    "Clamp": "a clamp",
    "ClampMin": "a clamp",
    "ClampMax": "a clamp",
    "Atan": "an arc tangent",
    "Erf": "an error function",
}
_PASSING = {
    *("Add", "Sub", "Rsub", "Mul", "Div", "Neg"),  # with a number, or with a weight for each class
    *("Alias", "Clone", "View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze", "ToCopy", "T", "Transpose"),
}


def squashed_by(model: nn.Module, images: Tensor) -> str:
    """The function that a model applies to its logits, in words; "" if none is known.

    Args:
        model: images to logits; in eval mode, with frozen weights.
        images: a few, float32 in [0, 1].
    """
    with torch.enable_grad():
        node = model(images.detach().clone().requires_grad_()).grad_fn
    while node is not None:
        kind = node.name().partition("Backward")[0]
        if kind in _SQUASHING:
            return _SQUASHING[kind]
        before = [parent for parent, _ in node.next_functions if parent is not None and not _is_leaf(parent)]
        if kind not in _PASSING or len(before) != 1:
            return ""
        node = before[0]
    return ""


def _is_leaf(node: Node) -> bool:
    return "AccumulateGrad" in node.name()
