"""Distillation at a temperature: the loss of ARD, which Fair-ARD weighs by class, and the hyper-parameters of both.

Goldblum et al., AAAI 2020 (https://arxiv.org/abs/1905.09747), attack the hard label and temper both sides:

    loss = 1/10 T^2 KL( P_T(x; T) || P_S(x'; T) )
"""

from dataclasses import replace

from torch import Tensor

from fairbench import Recipe, hyperparameter, kl_divergence
from fairbench_methods.parts.distillation import SCALE

TEMPERATURE = hyperparameter(30.0, "T, temperature of both networks (code: 30)", at_least=0.01, at_most=1000)
SOFT_SHARE = hyperparameter(
    1.0, "a, weight of the teacher; the clean cross-entropy gets the rest (code: 1)", at_least=0, at_most=1
)
ATTACK_BN = hyperparameter(
    "eval", "mode of batch norm during the attack: eval (ours) or train (code)", choices=("eval", "train")
)
CLEAN_FORWARD = hyperparameter(
    False,
    "forward clean images also where a = 1; batch norm then sees them (code: true)",
    only_with=("soft_share", 1.0),
)
LR_BUG = hyperparameter(
    False,
    "one drop of the learning rate to a tenth, at 0.50, in place of the suite's schedule: the code's second drop, at "
    "0.75, sets the same rate again",
)


def tempered_loss(attacked_logits: Tensor, teacher_logits: Tensor, *, temperature: float) -> Tensor:
    """ARD's distillation loss per image, (batch,).

    Where T is large it approaches 1/10 1/(2C) |z_S(x') - z_T(x)|^2 of the logits, each centred at its mean.

    Args:
        attacked_logits: of the student on the attacked images, (batch, classes).
        teacher_logits: of the teacher on the clean images.
        temperature: T, of both sides.
    """
    divergence = kl_divergence(attacked_logits.float() / temperature, teacher_logits.float() / temperature)
    return SCALE * temperature**2 * divergence


def single_drop(recipe: Recipe) -> Recipe:
    """The schedule that the released code of ARD and Fair-ARD follows in fact (`lr_bug`)."""
    return replace(recipe, schedule="steps", drops=(0.5,), drop_factor=0.1)
