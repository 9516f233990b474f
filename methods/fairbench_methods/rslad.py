"""RSLAD: a robust teacher's soft labels instead of hard ones, in the attack and in both terms of the loss."""

from dataclasses import dataclass

from torch import Tensor

from fairbench import Batch, Card, Method, Prerequisite, measured_logits
from fairbench_methods.parts.distillation import NEEDS_TEACHER, SMALL_STEPS, TEACHER, soft_label_attack, soft_label_loss


@dataclass(kw_only=True)
class RSLAD(Method):
    """TRADES' scheme with every label replaced by the robust teacher's prediction of the clean image.

    Zi et al., ICCV 2021 (https://arxiv.org/abs/2108.07969):

        x' = argmax KL( P_T(x) || P_S(x') )
        loss = 1/10 [ 5/6 KL( P_T(x) || P_S(x') ) + 1/6 KL( P_T(x) || P_S(x) ) ]

    summed over classes and averaged over images; the weights and the factor are the released code's (see
    `distillation`). The teacher sees clean images only: on attacked ones this would be AdaAD.
    """

    card = Card(
        title="RSLAD",
        idea="Distils a robust teacher by the scheme of TRADES, with the teacher's soft prediction of the clean image "
        "in place of the label: in the attack, on the attacked image and on the clean one.",
        authors="Bojia Zi, Shihao Zhao, Xingjun Ma, Yu-Gang Jiang",
        venue="ICCV",
        year=2021,
        link="https://arxiv.org/abs/2108.07969",
        bibtex="""@inproceedings{zi2021revisiting,
  title = {Revisiting Adversarial Robustness Distillation: Robust Soft Labels Make Student Better},
  author = {Zi, Bojia and Zhao, Shihao and Ma, Xingjun and Jiang, Yu-Gang},
  booktitle = {International Conference on Computer Vision},
  year = {2021}
}""",
        code_licence="MIT",
        family="distillation",
        notes=f"{NEEDS_TEACHER} {SMALL_STEPS}",
    )

    def prerequisites(self) -> tuple[Prerequisite, ...]:
        """The suite's teacher."""
        return (TEACHER,)

    def loss(self, batch: Batch) -> Tensor:
        """The two divergences from the teacher; adversarial images are forwarded first."""
        target = measured_logits(self.setup.prerequisites["teacher"], batch.images, threat=self.threat)
        attacked = soft_label_attack(
            self.model, batch.images, batch.labels, teacher_logits=target, threat=self.threat, generator=self.noise
        )
        attacked_logits, clean_logits = self.model(attacked.images), self.model(batch.images)
        return soft_label_loss(attacked_logits, clean_logits, attacked_target=target, clean_target=target).mean()
