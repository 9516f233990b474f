"""Spearman's rank correlation: whether two quantities order the classes alike."""

import torch
from torch import Tensor


def rank_correlation(first: Tensor, second: Tensor) -> float | None:
    """Correlation of the ranks of two vectors, in [-1, 1]; ties share their mean rank.

    Pairs with a NaN (a class without images) are left out. None if one vector is constant in the rest: there is no
    order to compare.
    """
    known = ~(first.isnan() | second.isnan())
    ranks = torch.stack([_ranks(first[known]), _ranks(second[known])])
    centred = ranks - ranks.mean(dim=1, keepdim=True)
    lengths = torch.linalg.vector_norm(centred, dim=1)
    if ranks.numel() == 0 or not bool(lengths.all()):
        return None
    return float((centred.prod(dim=0).sum() / lengths.prod()).clamp(-1, 1))


def _ranks(values: Tensor) -> Tensor:
    """From 1/2 for the smallest, in steps of 1; equal values share their mean rank."""
    below = (values[:, None] > values).double().sum(dim=1)
    return below + (values[:, None] == values).double().sum(dim=1) / 2
