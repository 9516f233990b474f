"""The two terms of MART's loss, for MART itself and for what is built on it.

Wang et al., ICLR 2020 (https://openreview.net/forum?id=rklOg6EFwS), with the constants of the released code:

    loss = BCE(x', y) + lambda KL( p(x) || p(x') ) (1.0000001 - p_y(x))
"""

from torch import Tensor

from fairbench import cross_entropy


def boosted_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-log p_y - log(1.0001 - max_{k != y} p_k + 1e-12) per image, (batch,); the constants keep it finite."""
    others = logits.float().softmax(dim=1).scatter(1, labels[:, None], 0.0)
    return cross_entropy(logits, labels) - (1.0001 - others.amax(dim=1) + 1e-12).log()


def consistency(clean_logits: Tensor, attacked_logits: Tensor, labels: Tensor) -> Tensor:
    """KL(p(x) || p(x')) (1.0000001 - p_y(x)) per image, (batch,), with gradient through all three factors."""
    clean, attacked = clean_logits.float().softmax(dim=1), attacked_logits.float().softmax(dim=1)
    divergence = (clean * (clean_logits.float().log_softmax(dim=1) - (attacked + 1e-12).log())).sum(dim=1)
    own = clean.gather(1, labels[:, None]).squeeze(1)
    return divergence * (1.0000001 - own)
