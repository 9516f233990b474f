"""ARD: on the attacked image, predict what the robust teacher predicts on the clean one."""

from dataclasses import dataclass

from torch import Tensor, nn

from fairbench import Batch, Card, Method, Prerequisite, Recipe, cross_entropy, measured_logits, pgd
from fairbench_methods.parts.distillation import NEEDS_TEACHER, SMALL_STEPS, TEACHER
from fairbench_methods.parts.tempered_distillation import (
    ATTACK_BN,
    CLEAN_FORWARD,
    LR_BUG,
    SOFT_SHARE,
    TEMPERATURE,
    single_drop,
    tempered_loss,
)
from fairbench_methods.parts.train_mode_attack import refuses_train_mode


@dataclass(kw_only=True)
class ARD(Method):
    """Knowledge distillation at adversarial images, which the hard label finds.

    Goldblum et al., AAAI 2020 (https://arxiv.org/abs/1905.09747). With both networks tempered by T:

        x' = argmax CE(z_S(x'), y)
        loss = a T^2 KL( P_T(x; T) || P_S(x'; T) ) / 10 + (1 - a) CE(z_S(x), y)

    The factor 1/10 is the released code's element-wise mean on ten classes. That code also attacks in train mode,
    forwards the clean images where their weight is 0, and lowers the learning rate once where it means to do so twice:
    `attack_bn=train`, `clean_forward` and `lr_bug`, none of them our default.
    """

    card = Card(
        title="ARD",
        idea="Distils a teacher at attacked images: there the student learns what the teacher predicts for the clean "
        "image, while the attack itself follows the hard label.",
        authors="Micah Goldblum, Liam Fowl, Soheil Feizi, Tom Goldstein",
        venue="AAAI",
        year=2020,
        link="https://arxiv.org/abs/1905.09747",
        bibtex="""@inproceedings{goldblum2020adversarially,
  title = {Adversarially Robust Distillation},
  author = {Goldblum, Micah and Fowl, Liam and Feizi, Soheil and Goldstein, Tom},
  booktitle = {AAAI Conference on Artificial Intelligence},
  year = {2020}
}""",
        code_licence="MIT",
        family="distillation",
        notes=f"{NEEDS_TEACHER} {SMALL_STEPS}",
    )

    temperature: float = TEMPERATURE
    soft_share: float = SOFT_SHARE
    attack_bn: str = ATTACK_BN
    clean_forward: bool = CLEAN_FORWARD
    lr_bug: bool = LR_BUG

    def recipe(self, recipe: Recipe) -> Recipe:
        """The suite's, or the schedule that the released code in fact follows."""
        return single_drop(recipe) if self.lr_bug else recipe

    def prerequisites(self) -> tuple[Prerequisite, ...]:
        """The suite's teacher."""
        return (TEACHER,)

    def refuses(self, network: nn.Module) -> str:
        """A network that makes no difference between the modes of the attack, where one was chosen."""
        return refuses_train_mode(network, self.attack_bn)

    def loss(self, batch: Batch) -> Tensor:
        """The tempered divergence from the teacher and, where it has a weight, the clean cross-entropy."""
        target = measured_logits(self.setup.prerequisites["teacher"], batch.images, threat=self.threat)
        attacked = pgd(
            self.model,
            batch.images,
            batch.labels,
            threat=self.threat,
            generator=self.noise,
            train_mode=self.attack_bn == "train",
        )
        losses = self.soft_share * tempered_loss(self.model(attacked.images), target, temperature=self.temperature)
        if self.soft_share < 1 or self.clean_forward:
            losses = losses + (1 - self.soft_share) * cross_entropy(self.model(batch.images), batch.labels)
        return losses.mean()
