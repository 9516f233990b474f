"""Lagrange multipliers of class-wise constraints "no class may be worse than average by more than tau".

The gradient of `mean risk + sum_c lambda_c (risk_c - mean risk)` weighs class c by 1/C + lambda_c - mean(lambda).
"""

from torch import Tensor


def excess(errors: Tensor, allowed: float) -> Tensor:
    """How far each class error is above the class mean plus what is allowed, signed, (classes,).

    A class without validation images (error NaN) takes part in no mean and gets 0.
    """
    return (errors - errors.nanmean() - allowed).nan_to_num(0.0)


def projected(multipliers: Tensor, limit: float) -> Tensor:
    """Multipliers clamped at 0 from below, then scaled down to the sum `limit` if they exceed it."""
    multipliers = multipliers.clamp_min(0)
    total = multipliers.sum()
    return multipliers * (limit / total) if total > limit else multipliers


def class_weights(multipliers: Tensor) -> Tensor:
    """1/C + lambda_c - mean(lambda), (classes,); they sum to 1 and are positive if the multipliers sum to less."""
    return 1 / len(multipliers) + multipliers - multipliers.mean()
