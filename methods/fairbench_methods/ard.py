"""ARD: on the attacked image, predict what the robust teacher predicts on the clean one."""

from dataclasses import dataclass, replace

from torch import Tensor

from fairbench import Batch, Card, Method, Prerequisite, Recipe, cross_entropy, hyperparameter, measured_logits, pgd
from fairbench_methods.distillation import NEEDS_TEACHER, SMALL_STEPS, TEACHER, tempered_loss

CLEAN_FORWARD = "forward clean images also where a = 1; batch norm then sees them (code: true)"
LR_BUG = (
    "one drop of the learning rate to a tenth, at 0.50, in place of the suite's schedule: the code's second drop, at "
    "0.75, sets the same rate again"
)


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

    temperature: float = hyperparameter(30.0, "T, temperature of both networks (code: 30)", at_least=0.01, at_most=1000)
    soft_share: float = hyperparameter(
        1.0, "a, weight of the teacher; the clean cross-entropy gets the rest (code: 1)", at_least=0, at_most=1
    )
    attack_bn: str = hyperparameter(
        "eval", "mode of batch norm during the attack: eval (ours) or train (code)", choices=("eval", "train")
    )
    clean_forward: bool = hyperparameter(False, CLEAN_FORWARD, only_with=("soft_share", 1.0))
    lr_bug: bool = hyperparameter(False, LR_BUG)

    def recipe(self, recipe: Recipe) -> Recipe:
        """The suite's, or the schedule that the released code in fact follows."""
        return single_drop(recipe) if self.lr_bug else recipe

    def prerequisites(self) -> tuple[Prerequisite, ...]:
        """The suite's teacher."""
        return (TEACHER,)

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


def single_drop(recipe: Recipe) -> Recipe:
    """The schedule that the released code of ARD and Fair-ARD follows in fact (`lr_bug`)."""
    return replace(recipe, schedule="steps", drops=(0.5,), drop_factor=0.1)
