"""Losses per image; reductions are written where they are taken.

A framework's default reduction silently divides a TRADES beta by the number of classes, so nothing here averages.
Logits have shape (batch, classes), losses (batch,); all in fp32.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-log softmax(logits)_y per image."""
    return F.cross_entropy(logits.float(), labels, reduction="none")


def kl_divergence(logits: Tensor, reference: Tensor) -> Tensor:
    """KL(softmax(reference) || softmax(logits)), summed over classes, with gradient through both sides.

    The reference comes second, so that the function fits the attack engine: `loss(logits of the iterate, target)`.
    """
    log_p = F.log_softmax(reference.float(), dim=1)
    log_q = F.log_softmax(logits.float(), dim=1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=1)


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Largest other logit minus the label's: positive where the prediction is wrong (PGD on it is known as CW)."""
    own = logits.gather(1, labels[:, None]).squeeze(1)
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return others.amax(dim=1) - own
