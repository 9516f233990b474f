"""Losses per image; reductions are written where they are taken.

A framework's default reduction silently divides a TRADES beta by the number of classes, so nothing here averages.
Logits have shape (batch, classes), losses (batch,); all in fp32.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

AttackLoss = Callable[[Tensor, Tensor], Tensor]
"""(logits of the iterate (n, classes), target (n, ...)) -> loss per image (n,)."""


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


def compared(loss: AttackLoss, target: Tensor, classes: int) -> Tensor | None:
    """The distribution p, (batch, classes), of a loss whose gradient to the logits is softmax(logits) - p.

    That is the label for the cross-entropy and softmax(reference) for the divergence; None for any other loss. An
    attack needs the gradient at every step, and autograd's way through the loss takes as long as a small network's
    last layers.
    """
    if loss is cross_entropy:
        return F.one_hot(target, classes).float()
    if loss is kl_divergence:
        return target.float().softmax(dim=1)
    return None
