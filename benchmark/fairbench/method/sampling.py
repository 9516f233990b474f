"""Which classes the next batch is drawn from, where a method says so: what its hook returns, checked."""

import torch
from torch import Tensor

from fairbench.errors import not_allowed
from fairbench.method.contract import Method


def class_shares(method: Method) -> Tensor | None:
    """How often the next batch draws from each class, (classes,) float64 on the CPU; None: every image once an epoch.

    Raises:
        UserError: if the method says anything else.
    """
    shares: object = method.sampling()
    if shares is None:
        return None
    name, classes = f"{type(method).__name__}.sampling()", method.classes
    if not isinstance(shares, Tensor) or shares.shape != (classes,):
        found = f"a tensor of shape {tuple(shares.shape)}" if isinstance(shares, Tensor) else type(shares).__name__
        raise not_allowed(f"{name} = {found}", f"a tensor of shape ({classes},), or None")
    shares = shares.detach().cpu().to(torch.float64)
    if not (shares.isfinite().all() and (shares >= 0).all() and shares.any()):
        shown = ", ".join(f"{share:.3g}" for share in shares.tolist()[:10])
        raise not_allowed(f"{name} = ({shown})", "finite numbers of 0 or more, not all of them 0")
    return shares
