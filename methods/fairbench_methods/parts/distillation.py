"""What a student learns from a robust teacher: the parts shared by the distillation methods.

The teacher's prediction of the **clean** image is the target everywhere. RSLAD (Zi et al., ICCV 2021,
https://arxiv.org/abs/2108.07969), which ABSLD and Fair-RSLAD extend, does without hard labels:

    x' = argmax KL( P_T(x) || P_S(x') )
    loss = 1/10 [ 5/6 KL( P_T(x) || P_S(x') ) + 1/6 KL( P_T(x) || P_S(x) ) ],   summed over classes, mean over images

The factor 1/10 is the released codes' element-wise mean on CIFAR-10, which RSLAD's restores on CIFAR-100: it is a
constant, not 1/C. ARD's parts are in `tempered_distillation`.
"""

import torch
from torch import Tensor, nn

from fairbench import Attacked, Prerequisite, Threat, kl_divergence, pgd

TEACHER = Prerequisite(role="teacher", method="trades")
"""A robust network, trained once and shared by all methods of a suite that need one."""

NEEDS_TEACHER = "Needs a robust teacher, trained by TRADES in the same suite."
"""For the notes of a card."""

SMALL_STEPS = "Its factor 1/10 acts like a ten times smaller learning rate: a short training leaves it undertrained."
"""For the notes of a card, where `SCALE` is part of the loss."""

ADVERSARIAL_SHARE = 5 / 6
"""Weight of the adversarial term; the natural one gets the rest."""

SCALE = 1 / 10
"""kappa, the released reduction."""


def soft_label_attack(
    student: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    teacher_logits: Tensor,
    threat: Threat,
    generator: torch.Generator,
) -> Attacked:
    """The images whose prediction by the student is furthest from the teacher's of the clean image.

    Args:
        student: in any mode; attacked in eval mode.
        images: (batch, channels, height, width) in [0, 1].
        labels: (batch,); the attack's loss does not use them.
        teacher_logits: of the clean images, (batch, classes), tempered if the method does so.
        threat: norm, radius, step and number of steps.
        generator: of the Gaussian start's noise.
    """
    return pgd(
        student,
        images,
        labels,
        threat=threat,
        generator=generator,
        loss=kl_divergence,
        target=teacher_logits,
        start="gaussian",
    )


def soft_label_loss(
    attacked_logits: Tensor, clean_logits: Tensor, *, attacked_target: Tensor, clean_target: Tensor
) -> Tensor:
    """RSLAD's loss per image, (batch,).

    Args:
        attacked_logits: of the student on the attacked images, (batch, classes).
        clean_logits: of the student on the clean images.
        attacked_target: logits of the teacher on the clean images, for the adversarial term.
        clean_target: the same, for the natural term.
    """
    adversarial = kl_divergence(attacked_logits, attacked_target)
    natural = kl_divergence(clean_logits, clean_target)
    return SCALE * (ADVERSARIAL_SHARE * adversarial + (1 - ADVERSARIAL_SHARE) * natural)
