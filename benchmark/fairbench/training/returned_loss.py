"""What a method may return as its loss, checked before it is differentiated."""

from torch import Tensor


def loss_problem(loss: object) -> str:
    """What a loss is instead of a scalar tensor, in words; "" if it is one. None, which skips an update, is no loss."""
    if not isinstance(loss, Tensor):
        return type(loss).__name__
    return "" if loss.shape == () else f"shape {tuple(loss.shape)}"
