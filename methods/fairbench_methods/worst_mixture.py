"""The class mixture near the uniform one that an adversary would choose: FAAL's inner maximisation, in closed form.

    q = argmax sum_c a_c q_c    over distributions with    KL(u || q) = (1/C) sum_c log( 1 / (C q_c) ) <= r

Since the uniform u comes first, no q_c reaches 0. Stationarity of the Lagrangian gives q_c = Z / (nu - a_c) with
nu > max a. The divergence falls with nu, from infinity to 0, so that one bisection finds the mixture; the authors
solve a conic program per batch. The scores matter up to a shift and a positive factor. With a = (0.2, -0.1, -0.4, -0.6)
and r = 0.1, nu = 0.575 and q = (0.442, 0.246, 0.170, 0.141).
"""

import math

import torch
from torch import Tensor

HALVINGS = 64
"""Of the bracket of log(nu - max a), which leaves less than float64 can resolve."""


def worst_mixture(scores: Tensor, *, radius: float, present: Tensor | None = None) -> Tensor:
    """The mixture with the highest mean score, (classes,) float64, without gradient or wait for the device.

    Args:
        scores: a, (classes,).
        radius: r, largest KL(u || q); 0 leaves the uniform mixture, as do equal scores.
        present: which classes take part, (classes,); at least one, all by default. The others get 0, whatever their
            score, and the mixture is one of the present classes only.
    """
    present = torch.ones_like(scores, dtype=torch.bool) if present is None else present
    count = present.sum().double()
    if radius == 0:
        return present / count
    scores = scores.detach().double()
    gaps = scores.masked_fill(~present, -torch.inf).amax() - scores
    largest = gaps.masked_fill(~present, 0.0).amax().clamp_min(torch.finfo(gaps.dtype).tiny)
    log_gaps = (gaps / largest).log()

    def log_mixture(log_distance: Tensor) -> Tensor:
        """Log q for log(nu - max a), in units of the largest gap; -inf for an absent class."""
        log_shares = (-torch.logaddexp(log_distance, log_gaps)).masked_fill(~present, -torch.inf)
        return log_shares - log_shares.logsumexp(dim=0)

    # With d = nu - max a in units of the largest gap, -log(C) - log(d) / C <= KL(u || q) <= 1 / d.
    low = -count * (radius + count.log())
    high = torch.full_like(low, -math.log(radius))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        divergence = -count.log() - log_mixture(middle).masked_fill(~present, 0.0).sum() / count
        outside = divergence > radius
        low, high = torch.where(outside, middle, low), torch.where(outside, high, middle)
    return log_mixture(high).exp()
