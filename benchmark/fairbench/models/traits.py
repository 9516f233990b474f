"""What a network is made of, for methods that need something of it and say so before training.

batch_norms(network)        # names of its batch-norm layers; () for a transformer
drop_outs(network)          # names of what drops units or paths in train mode
linear_head(network)        # the linear layer that gives the logits, or None
"""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

_DROPPING = ("p", "drop_prob")


def batch_norms(network: nn.Module) -> tuple[str, ...]:
    """Names of the layers that normalise by the batch in train mode."""
    return tuple(name for name, layer in network.named_modules() if isinstance(layer, _BatchNorm))


def drop_outs(network: nn.Module) -> tuple[str, ...]:
    """Names of the layers that drop something at random in train mode: torch's, and stochastic depth of any library.

    Attention that drops by an argument of its own is seen by its attribute, as in `nn.MultiheadAttention`.
    """
    return tuple(name for name, layer in network.named_modules() if _drops(layer))


def linear_head(network: nn.Module) -> nn.Linear | None:
    """The linear layer that gives the logits, by the order of definition: the last one, if no other layer follows it.

    A network may well end in something else (a convolution, a scaled cosine), which has no rows of weights by class.
    """
    layers = [layer for layer in network.modules() if next(layer.parameters(recurse=False), None) is not None]
    last = layers[-1] if layers else None
    return last if isinstance(last, nn.Linear) else None


def _drops(layer: nn.Module) -> bool:
    named = "drop" in type(layer).__name__.lower() or "StochasticDepth" in type(layer).__name__
    rate = next((getattr(layer, name) for name in _DROPPING if named and hasattr(layer, name)), 0)
    attention = getattr(layer, "dropout", 0) if isinstance(layer, nn.MultiheadAttention) else 0
    return any(isinstance(value, int | float) and value > 0 for value in (rate, attention))
