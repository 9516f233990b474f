"""Fair-ARD and Fair-RSLAD: distil the classes that give in to an attack early with more weight."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from fairbench import (
    Batch,
    Card,
    ClassMeans,
    Method,
    Prerequisite,
    Recipe,
    cross_entropy,
    hyperparameter,
    measured_logits,
    pgd,
)
from fairbench_methods.parts.distillation import NEEDS_TEACHER, SMALL_STEPS, TEACHER, soft_label_attack, soft_label_loss
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

CARD = Card(
    title="Fair-ARD",
    idea="Adds class weights to ARD: the fewer attack steps the images of a class survived in one epoch, the more the "
    "class counts in the next.",
    authors="Xinli Yue, Ningping Mou, Qian Wang, Lingchen Zhao",
    venue="NeurIPS",
    year=2023,
    link="https://openreview.net/forum?id=ywrPcBEXdC",
    bibtex="""@inproceedings{yue2023revisiting,
  title = {Revisiting Adversarial Robustness Distillation from the Perspective of Robust Fairness},
  author = {Yue, Xinli and Mou, Ningping and Wang, Qian and Zhao, Lingchen},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2023}
}""",
    code_licence="none",
    family="distillation",
    notes=f"{NEEDS_TEACHER} {SMALL_STEPS} Clipped weights are not normalised again, so that their mean may exceed 1, "
    "which raises the learning rate in effect.",
)

POWER = hyperparameter(
    2.0, "b, how much a class that gives in early counts; 0 is the base method (code: 2)", at_least=0, at_most=50
)
LOW = hyperparameter(5 / 6, "smallest weight of a class (code: 5/6)", at_least=0, at_most=1)
HIGH = hyperparameter(5 / 2, "largest weight of a class (code: 5/2)", at_least=1, at_most=100)
RENORM_AFTER_CLIP = hyperparameter(
    False, "give the clipped weights mean 1 again, which may lead out of the bounds (ours)"
)


@dataclass(kw_only=True)
class FairARD(Method):
    """ARD with class weights that answer to the number of attack steps a class survives.

    Yue et al., NeurIPS 2023 (https://openreview.net/forum?id=ywrPcBEXdC). With kappa_c the class mean, over the attacks
    of an epoch, of the iterates x_0 .. x_{K-1} that the student still classifies correctly, the next epoch minimises

        mean_i [ r_(y_i) l_i ],    r_c = clip( C (kappa_c + 1e-5)^-b / sum_k (kappa_k + 1e-5)^-b, 5/6, 5/2 )

    with l_i the losses of ARD; in the first epoch all weights are 1. The released code divides by the size of an
    average class, which is right on balanced data only, and attacks in train mode (`attack_bn=train`).
    """

    card = CARD

    power: float = POWER
    low: float = LOW
    high: float = HIGH
    renorm_after_clip: bool = RENORM_AFTER_CLIP
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

    def start(self) -> None:
        """All weights are 1: ARD."""
        self.difficulty = Difficulty(self.classes, device=self.setup.device)

    def loss(self, batch: Batch) -> Tensor:
        """ARD's losses, weighted by class."""
        target = measured_logits(self.setup.prerequisites["teacher"], batch.images, threat=self.threat)
        attacked = pgd(
            self.model,
            batch.images,
            batch.labels,
            threat=self.threat,
            generator=self.noise,
            train_mode=self.attack_bn == "train",
        )
        self.difficulty.add(batch.labels, attacked.survived)
        losses = self.soft_share * tempered_loss(self.model(attacked.images), target, temperature=self.temperature)
        if self.soft_share < 1 or self.clean_forward:
            losses = losses + (1 - self.soft_share) * cross_entropy(self.model(batch.images), batch.labels)
        return (self.difficulty.weights[batch.labels].float() * losses).mean()

    def end_epoch(self, epoch: int) -> Mapping[str, float | list[float]]:
        """Weigh the classes by what they survived in this epoch."""
        del epoch
        return self.difficulty.end_epoch(
            power=self.power, low=self.low, high=self.high, renormalise=self.renorm_after_clip
        )

    def state_dict(self) -> dict[str, Tensor]:
        """The weights, (classes,)."""
        return {"weights": self.difficulty.weights}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up the weights."""
        self.difficulty.weights.copy_(state["weights"])


@dataclass(kw_only=True)
class FairRSLAD(Method):
    """RSLAD with class weights that answer to the number of attack steps a class survives.

    Yue et al., NeurIPS 2023 (https://openreview.net/forum?id=ywrPcBEXdC): the weights of Fair-ARD on the losses of
    RSLAD, both terms, with the steps counted along RSLAD's own attack. The released code lacks the 1e-5 here and
    divides by zero for a class that survives no step.
    """

    card = replace(
        CARD,
        title="Fair-RSLAD",
        idea="Adds class weights to RSLAD: the fewer attack steps the images of a class survived in one epoch, the "
        "more the class counts in the next.",
    )

    power: float = POWER
    low: float = LOW
    high: float = HIGH
    renorm_after_clip: bool = RENORM_AFTER_CLIP

    def prerequisites(self) -> tuple[Prerequisite, ...]:
        """The suite's teacher."""
        return (TEACHER,)

    def start(self) -> None:
        """All weights are 1: RSLAD."""
        self.difficulty = Difficulty(self.classes, device=self.setup.device)

    def loss(self, batch: Batch) -> Tensor:
        """RSLAD's losses, weighted by class; adversarial images are forwarded first."""
        target = measured_logits(self.setup.prerequisites["teacher"], batch.images, threat=self.threat)
        attacked = soft_label_attack(
            self.model, batch.images, batch.labels, teacher_logits=target, threat=self.threat, generator=self.noise
        )
        self.difficulty.add(batch.labels, attacked.survived)
        attacked_logits, clean_logits = self.model(attacked.images), self.model(batch.images)
        losses = soft_label_loss(attacked_logits, clean_logits, attacked_target=target, clean_target=target)
        return (self.difficulty.weights[batch.labels].float() * losses).mean()

    def end_epoch(self, epoch: int) -> Mapping[str, float | list[float]]:
        """Weigh the classes by what they survived in this epoch."""
        del epoch
        return self.difficulty.end_epoch(
            power=self.power, low=self.low, high=self.high, renormalise=self.renorm_after_clip
        )

    def state_dict(self) -> dict[str, Tensor]:
        """The weights, (classes,)."""
        return {"weights": self.difficulty.weights}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up the weights."""
        self.difficulty.weights.copy_(state["weights"])


class Difficulty:
    """Class weights, and the attack steps of an epoch that decide the next ones.

    Args:
        classes: number of classes.
        device: where the labels lie.
    """

    def __init__(self, classes: int, *, device: torch.device | str = "cpu") -> None:
        self.weights = torch.ones(classes, dtype=torch.float64, device=device)
        self._survived = ClassMeans(classes, device=device)

    def add(self, labels: Tensor, survived: Tensor) -> None:
        """Remember how many steps each image survived, (batch,)."""
        self._survived.add(labels, survived)

    def end_epoch(
        self, *, power: float, low: float, high: float, renormalise: bool
    ) -> Mapping[str, float | list[float]]:
        """Move to the next epoch's weights; both, and the mean steps (0 for an absent class), for the history."""
        survived = self._survived.mean()
        weights = difficulty_weights(survived, power=power, low=low, high=high, renormalise=renormalise)
        self.weights = torch.where(weights.isnan(), self.weights, weights)
        self._survived.reset()
        return {"weight": self.weights.tolist(), "survived_steps": survived.nan_to_num(0.0).tolist()}


def difficulty_weights(survived: Tensor, *, power: float, low: float, high: float, renormalise: bool) -> Tensor:
    """Weights by class, (classes,) float64, of mean 1 before they are clipped.

    Args:
        survived: kappa, mean number of survived steps, (classes,) float64; NaN for a class without images, which gets
            NaN and does not enter the mean.
        power: b.
        low: lower bound of the weights.
        high: upper bound of the weights.
        renormalise: divide the clipped weights by their mean.
    """
    weights = (survived + 1e-5) ** -power
    weights = (weights / weights.nanmean()).clamp(low, high)
    return weights / weights.nanmean() if renormalise else weights
