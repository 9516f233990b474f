"""ABSLD: sharper soft labels for the classes that the student fails on, softer ones for the rest."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fairbench import (
    Batch,
    Card,
    ClassMeans,
    Method,
    Prerequisite,
    cross_entropy,
    drops_from,
    hyperparameter,
    measured_logits,
)
from fairbench_methods.parts.distillation import NEEDS_TEACHER, SMALL_STEPS, TEACHER, soft_label_attack, soft_label_loss
from fairbench_methods.parts.rate_scaling import SCALINGS, scaled_rate

REFERENCE_EPOCHS = 300
"""Length of the released training, for `rate_scaling`."""


@dataclass(kw_only=True)
class ABSLD(Method):
    """RSLAD whose teacher has one temperature per class, moved every epoch against the gap of class risks.

    Zhao et al., NeurIPS 2024 (https://arxiv.org/abs/2312.05508). With teacher logits t of the clean image,

        q_adv = softmax(t / tau_adv[y]),   q_nat = softmax(t / tau_nat[y])
        x' = argmax KL(q_adv || P_S(x')),  loss = 1/10 [ 5/6 KL(q_adv || P_S(x')) + 1/6 KL(q_nat || P_S(x)) ]

    and after every epoch, with R_c the class mean of CE to the hard label on x' (or x) during it,

        g = R - mean(R),   tau <- clip( tau - b g / max|g|, 0.5, 5 )

    so that the class furthest from the average moves by exactly b. All temperatures start at 1, where this is RSLAD.

    The released code divides one storage in place by both temperatures and so trains with tau_adv tau_nat everywhere:
    that is `temperature_mode=product`.
    """

    card = Card(
        title="ABSLD",
        idea="Gives the soft labels of RSLAD one temperature per class: sharper labels for classes that the student "
        "fails on, smoother ones for easy classes, moved after every epoch so as to close the gap between the risks "
        "of the classes.",
        authors="Shiji Zhao, Ranjie Duan, Xizhe Wang, Xingxing Wei",
        venue="NeurIPS",
        year=2024,
        link="https://arxiv.org/abs/2312.05508",
        bibtex="""@inproceedings{zhao2024improving,
  title = {Improving Adversarial Robust Fairness via Anti-Bias Soft Label Distillation},
  author = {Zhao, Shiji and Duan, Ranjie and Wang, Xizhe and Wei, Xingxing},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2024}
}""",
        code_licence="none",
        family="distillation",
        notes=f"{NEEDS_TEACHER} {SMALL_STEPS}",
    )

    temperature_mode: str = hyperparameter(
        "separate",
        "temperatures of the two terms: separate as intended, their product as released, or tau_adv for both",
        choices=("separate", "product", "shared_adv"),
    )
    rate: float = hyperparameter(
        0.1, "b, largest move per epoch; falls with the learning rate (code: 0.1)", at_least=0, at_most=10
    )
    low: float = hyperparameter(0.5, "lower bound of the temperatures (code: 0.5)", at_least=0.01, at_most=1)
    high: float = hyperparameter(5.0, "upper bound of the temperatures (code: 5)", at_least=1, at_most=1000)
    rate_scaling: str = hyperparameter("none", "whether b follows the number of epochs (ours)", choices=SCALINGS)

    def prerequisites(self) -> tuple[Prerequisite, ...]:
        """The suite's teacher."""
        return (TEACHER,)

    def start(self) -> None:
        """All temperatures are 1: RSLAD."""
        device = self.setup.device
        self.adversarial, self.natural = (
            torch.ones(self.classes, dtype=torch.float64, device=device) for _ in range(2)
        )
        self._adversarial_risk = ClassMeans(self.classes, device=device)
        self._natural_risk = ClassMeans(self.classes, device=device)

    def loss(self, batch: Batch) -> Tensor:
        """RSLAD's loss on tempered labels; adversarial images are forwarded first."""
        teacher = self.setup.prerequisites["teacher"]
        logits = measured_logits(teacher, batch.images, threat=self.threat)
        attacked_target, clean_target = self.targets(logits, batch.labels)
        attacked = soft_label_attack(
            self.model,
            batch.images,
            batch.labels,
            teacher_logits=attacked_target,
            threat=self.threat,
            generator=self.noise,
        )
        attacked_logits, clean_logits = self.model(attacked.images), self.model(batch.images)
        self._adversarial_risk.add(batch.labels, cross_entropy(attacked_logits, batch.labels))
        self._natural_risk.add(batch.labels, cross_entropy(clean_logits, batch.labels))
        losses = soft_label_loss(
            attacked_logits, clean_logits, attacked_target=attacked_target, clean_target=clean_target
        )
        return losses.mean()

    def targets(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The teacher's logits tempered for the adversarial and for the natural term, (batch, classes) each."""
        adversarial, natural = self.adversarial, self.natural
        if self.temperature_mode == "product":
            adversarial = natural = adversarial * natural
        elif self.temperature_mode == "shared_adv":
            natural = adversarial
        return logits / adversarial[labels, None].float(), logits / natural[labels, None].float()

    def end_epoch(self, epoch: int) -> Mapping[str, float | list[float]]:
        """Move the temperatures by this epoch's risks, at the rate that belongs to the next epoch's learning rate."""
        recipe = self.setup.recipe
        passed = sum(epoch + 1 >= drop for drop in drops_from(recipe))
        rate = recipe.drop_factor**passed * scaled_rate(
            self.rate, scaling=self.rate_scaling, reference_epochs=REFERENCE_EPOCHS, epochs=recipe.epochs
        )
        self.adversarial = self.moved(self.adversarial, self._adversarial_risk.mean(), rate=rate)
        self.natural = self.moved(self.natural, self._natural_risk.mean(), rate=rate)
        self._adversarial_risk.reset()
        self._natural_risk.reset()
        return {"adversarial_temperature": self.adversarial.tolist(), "natural_temperature": self.natural.tolist()}

    def moved(self, temperatures: Tensor, risks: Tensor, *, rate: float) -> Tensor:
        """The next epoch's temperatures, (classes,); a class without images (risk NaN) keeps its own."""
        gaps = (risks - risks.nanmean()).nan_to_num(0.0)
        largest = gaps.abs().max()
        if largest == 0:
            return temperatures
        return (temperatures - rate * gaps / largest).clamp(self.low, self.high)

    def state_dict(self) -> dict[str, Tensor]:
        """Temperatures and risks, (classes,) each."""
        return {
            "adversarial": self.adversarial,
            "natural": self.natural,
            **{f"adversarial_risk.{name}": value for name, value in self._adversarial_risk.state_dict().items()},
            **{f"natural_risk.{name}": value for name, value in self._natural_risk.state_dict().items()},
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up temperatures and risks."""
        self.adversarial.copy_(state["adversarial"])
        self.natural.copy_(state["natural"])
        for risk, prefix in ((self._adversarial_risk, "adversarial_risk."), (self._natural_risk, "natural_risk.")):
            risk.load_state_dict({name: state[prefix + name] for name in ("sums", "counts")})
