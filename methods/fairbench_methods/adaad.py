"""AdaAD: search for the image on which student and teacher disagree most, and let the teacher speak there."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fairbench import (
    Attacked,
    Batch,
    Card,
    Method,
    Prerequisite,
    Threat,
    Validation,
    begins_at,
    hyperparameter,
    kl_divergence,
    measured_logits,
    pgd,
)
from fairbench_methods.parts.distillation import NEEDS_TEACHER, TEACHER

TEMPERATURE = 30.0
"""T of AdaIAD, for both networks."""

INTROSPECTION_START = 0.30
"""Where AdaIAD's student begins to listen to itself: the released epoch 60 of 200."""

TRUST_EXPONENT = 0.1
"""AdaIAD trusts the teacher by P_T(y | x') to this power."""


@dataclass(kw_only=True)
class AdaAD(Method):
    """Distillation whose inner maximisation lets the teacher see the attacked image too.

    Huang et al., CVPR 2023. A target that is fixed during the attack, as in RSLAD, over-smooths; here

        x' = argmax KL( P_T(x') || P_S(x') ),       its gradient taken through both networks
        loss = s [ a KL( P_T(x') || P_S(x') ) + (1 - a) KL( P_T(x) || P_S(x) ) ]

    with s = 1/10 (the element-wise mean of the released CIFAR-10 code; its CIFAR-100 code has s = 1). Clean images are
    forwarded first and always, as in the code: with a = 1 only batch norm notices.

    `variant=adaiad` makes the same search and, from 0.30 of the training on, lets the student's own clean prediction
    stand in where the teacher is unsure, with u = P_T(y | x')^0.1 and T = 30:

        loss = T^2 KL( P_T(x'; T) || P_S(x'; T) ) + (1 - u) KL( P_S(x) || P_S(x') )
    """

    card = Card(
        title="AdaAD",
        idea="Lets the teacher see the attacked image too: the attack searches for the point where student and "
        "teacher disagree most, and there the student learns from the teacher.",
        authors="Bo Huang, Mingyang Chen, Yi Wang, Junda Lu, Minhao Cheng, Wei Wang",
        venue="CVPR",
        year=2023,
        link="https://openaccess.thecvf.com/content/CVPR2023/html/"
        "Huang_Boosting_Accuracy_and_Robustness_of_Student_Models_via_Adaptive_Adversarial_CVPR_2023_paper.html",
        bibtex="""@inproceedings{huang2023boosting,
  title = {Boosting Accuracy and Robustness of Student Models via Adaptive Adversarial Distillation},
  author = {Huang, Bo and Chen, Mingyang and Wang, Yi and Lu, Junda and Cheng, Minhao and Wang, Wei},
  booktitle = {Conference on Computer Vision and Pattern Recognition},
  pages = {24668--24677},
  year = {2023}
}""",
        code_licence="MIT",
        family="distillation",
        notes=f"{NEEDS_TEACHER} The attack differentiates the teacher as well, most of the cost where it is large. "
        "At the scale 1/10 the learning rate is in effect ten times smaller: a short training leaves it undertrained.",
    )

    variant: str = hyperparameter(
        "adaad", "which loss is minimised at the same attacked images", choices=("adaad", "adaiad")
    )
    attacked_share: float = hyperparameter(
        1.0,
        "a, weight of the attacked images; the clean ones get the rest (code: 1)",
        at_least=0,
        at_most=1,
        only_with=("variant", "adaad"),
    )
    scale: float = hyperparameter(
        0.1,
        "s, factor of AdaAD's loss (code: 0.1 on CIFAR-10, 1 on CIFAR-100)",
        at_least=0.001,
        at_most=10,
        only_with=("variant", "adaad"),
    )
    radius_factor: float = hyperparameter(
        1.0,
        "radius and step of the attack in those of the threat (code: 1; the script's default: 2)",
        at_least=0.1,
        at_most=4,
    )

    def prerequisites(self) -> tuple[Prerequisite, ...]:
        """The suite's teacher."""
        return (TEACHER,)

    def begin_epoch(self, epoch: int, validation: Validation) -> None:
        """AdaIAD's second stage comes by the epoch."""
        del validation
        self._introspective = epoch >= begins_at(INTROSPECTION_START, self.setup.recipe.epochs)

    def loss(self, batch: Batch) -> Tensor:
        """Divergences from the teacher; clean images are forwarded first."""
        teacher = self.setup.prerequisites["teacher"]
        attacked = disagreement_attack(
            self.model,
            teacher,
            batch.images,
            batch.labels,
            threat=self.threat,
            generator=self.noise,
            radius_factor=self.radius_factor,
        )
        clean_logits, attacked_logits = self.model(batch.images), self.model(attacked.images)
        target = measured_logits(teacher, attacked.images, threat=self.threat)
        if self.variant == "adaiad":
            losses = TEMPERATURE**2 * kl_divergence(attacked_logits.float() / TEMPERATURE, target / TEMPERATURE)
            if self._introspective:
                trust = target.softmax(dim=1).gather(1, batch.labels[:, None]).squeeze(1) ** TRUST_EXPONENT
                losses = losses + (1 - trust) * kl_divergence(attacked_logits, clean_logits)
            return losses.mean()
        clean_target = measured_logits(teacher, batch.images, threat=self.threat)
        adversarial = kl_divergence(attacked_logits, target)
        natural = kl_divergence(clean_logits, clean_target)
        return self.scale * (self.attacked_share * adversarial + (1 - self.attacked_share) * natural).mean()


class SideBySide(nn.Module):
    """Two networks as one for the attack engine: logits of the student, then of the teacher, (batch, 2 classes)."""

    def __init__(self, student: nn.Module, teacher: nn.Module) -> None:
        super().__init__()
        self.student, self.teacher = student, teacher

    def forward(self, images: Tensor) -> Tensor:
        """Both networks see the same images."""
        return torch.cat([self.student(images), self.teacher(images)], dim=1)


def disagreement(logits: Tensor, _labels: Tensor) -> Tensor:
    """KL( P_T || P_S ) per image, (batch,), of logits side by side; the gradient flows through both."""
    student, teacher = logits.chunk(2, dim=1)
    return kl_divergence(student, teacher)


def disagreement_attack(
    student: nn.Module,
    teacher: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    threat: Threat,
    generator: torch.Generator,
    radius_factor: float = 1.0,
) -> Attacked:
    """The images on which the student's prediction is furthest from the teacher's; the start is Gaussian.

    Where both networks are the same function, the objective is 0 everywhere and its gradient rounding noise, whose
    sign still moves the image.

    Args:
        student: in any mode; attacked in eval mode.
        teacher: frozen, in eval mode.
        images: (batch, channels, height, width) in [0, 1].
        labels: (batch,); the attack's loss does not use them, and `survived` of the result, which counts correct ones
            among both networks' logits, means nothing here.
        threat: norm, radius, step and number of steps.
        generator: of the noise.
        radius_factor: multiplies radius and step.
    """
    return pgd(
        SideBySide(student, teacher),
        images,
        labels,
        threat=threat,
        generator=generator,
        loss=disagreement,
        start="gaussian",
        radius=radius_factor * threat.epsilon,
        step=radius_factor * threat.step,
    )
