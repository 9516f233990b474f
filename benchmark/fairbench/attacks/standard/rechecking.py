"""A search may use a cheaper model; the exact one confirms a break at once, so that only a real one ends the search."""

import torch
from torch import Tensor

from fairbench.attacks.standard.found import Predict
from fairbench.attacks.standard.steady import steady


def rechecked(
    logits: Tensor, points: Tensor, labels: Tensor, *, exact: Predict | None, among: Tensor | None = None
) -> Tensor:
    """The logits, by the exact model where those of the search do not speak for the label; a tie does not, either.

    In bf16 ties are common, and FAB walks right up to the boundary: there the search would see neither side.

    Args:
        logits: of the search, (n, classes).
        points: (n, channels, height, width).
        labels: (n,).
        exact: the model; none if the search uses it already.
        among: rows where it matters, (n,) bool; all by default.
    """
    if exact is None:
        return logits
    claims = lead(logits, labels) <= 0
    rows = (claims if among is None else claims & among).nonzero().flatten()
    if len(rows) == 0:
        return logits
    with torch.no_grad():
        return logits.index_copy(0, rows, steady(exact)(points[rows]))


def lead(logits: Tensor, labels: Tensor) -> Tensor:
    """The label's logit less the largest other one, (n,); negative where the prediction is wrong."""
    label = labels[:, None]
    others = logits.scatter(1, label, -torch.inf).amax(dim=1)
    return logits.gather(1, label).squeeze(1) - others
