"""FRL: demand of every class that its natural and its boundary error be no worse than average."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fairbench import (
    Batch,
    Card,
    Method,
    Prerequisite,
    Recipe,
    Validation,
    acts_from,
    begins_at,
    cross_entropy,
    hyperparameter,
    kl_divergence,
)
from fairbench_methods.parts.rate_scaling import SCALINGS, scaled_rate
from fairbench_methods.parts.trades_halves import boundary_attack, trades_losses

FINE_TUNING = 0.36
"""Length of the fine-tuning stage as a share of the base training: the released 40 epochs of 110."""

INLINE_START = 0.70
"""Where fine-tuning begins within one training, for `hot_start = "inline"`."""

HOT_START_BETA = 6.0
"""beta of the TRADES model that is fine-tuned."""

REFERENCE_EPOCHS = 40
"""Length of the released fine-tuning stage, for `rate_scaling`."""

WITH_MARGINS = ("variant", "both", "remargin")
"""Where classes have radii of their own."""


@dataclass(kw_only=True)
class FRL(Method):
    """Fine-tune a robust model with class weights and class radii that answer to violated constraints.

    Xu et al., ICML 2021 (https://arxiv.org/abs/2010.06121). Before every epoch the class-wise natural error Rn_c and
    boundary error Rb_c (clean minus robust accuracy) are measured on the validation split, and multipliers rise where a
    class exceeds the average by more than tau:

        g0_c = Rn_c - mean(Rn) - tau1        lambda0 <- Proj(lambda0 + a1 g0)
        g1_c = Rb_c - mean(Rb) - tau2        lambda1 <- Proj(lambda1 + 2 a1 g1),   lambda2 <- lambda2 + a2 g1

    Proj clamps at 0, then scales a sum above `limit` down to it. With W_c = 1/C + lambda_c - mean(lambda),

        loss = sum W0_y CE(z(x), y) / sum W0_y + beta sum W1_y KL(p(x) || p(x')) / sum W1_y       (Reweight)
        eps_c = eps clip(exp(2 lambda2_c), 0.98, 3)                                               (Remargin)

    Departures from the released code, all documented in its options: averages are class means (the code pools), the
    step follows each image's own radius, and the clean batch is forwarded once.
    """

    card = Card(
        title="FRL",
        idea="Demands that the clean error and the boundary error of no class exceed the average by more than a "
        "tolerance. It fine-tunes a robust model, and classes that violate this on validation data get larger loss "
        "weights and larger training radii.",
        authors="Han Xu, Xiaorui Liu, Yaxin Li, Anil K. Jain, Jiliang Tang",
        venue="ICML",
        year=2021,
        link="https://arxiv.org/abs/2010.06121",
        bibtex="""@inproceedings{xu2021robust,
  title = {To be Robust or to be Fair: Towards Fairness in Adversarial Training},
  author = {Xu, Han and Liu, Xiaorui and Li, Yaxin and Jain, Anil K. and Tang, Jiliang},
  booktitle = {International Conference on Machine Learning},
  year = {2021}
}""",
        code_licence="none",
        notes="Fine-tunes a TRADES model; the hot start's whole training is part of its cost.",
    )
    validation = "attacked"
    largest_radius = 3.0

    variant: str = hyperparameter(
        "both", "Reweight, Remargin (which leaves lambda1 at 0) or both", choices=("both", "reweight", "remargin")
    )
    tau1: float = hyperparameter(
        0.07,
        "tau1, allowed excess of natural error (reported: 0.05, 0.07; code: 0.07, 0.1)",
        at_least=0,
        at_most=1,
    )
    tau2: float = hyperparameter(0.07, "tau2, allowed excess of boundary error (as tau1)", at_least=0, at_most=1)
    rate: float = hyperparameter(
        0.05, "a1, rate of lambda0; lambda1 gets twice as much (code: 0.05)", at_least=0, at_most=10
    )
    margin_rate: float = hyperparameter(
        0.2, "a2, rate of lambda2 (code: 0.2; 2021: 0.1)", at_least=0, at_most=10, only_with=WITH_MARGINS
    )
    limit: float = hyperparameter(
        0.5, "largest sum of lambda0 and of lambda1 (code: 0.5; 2021 Remargin: 0.3)", at_least=0, at_most=0.99
    )
    beta: float = hyperparameter(1.5, "beta, weight of the divergence (code: 1.5; 2021: 1.0)", at_least=0, at_most=100)
    loss_normalisation: str = hyperparameter(
        "head", "head: two weighted means; 2021: one normalisation by sum(W0 + W1)", choices=("head", "2021")
    )
    batch_step: bool = hyperparameter(
        False, "one step for the batch, from its largest radius (released code)", only_with=WITH_MARGINS
    )
    anti_windup: bool = hyperparameter(
        False, "keep lambda2 where the clip of the radius does not hide it (ours)", only_with=WITH_MARGINS
    )
    rate_scaling: str = hyperparameter("none", "whether the rates follow the number of epochs (ours)", choices=SCALINGS)
    hot_start: str = hyperparameter(
        "trades",
        "fine-tune a trained TRADES model for 0.36 of its epochs at 0.01 of the peak rate, or run TRADES for the "
        "first 0.70 of this training (ours)",
        choices=("trades", "inline"),
    )

    def recipe(self, recipe: Recipe) -> Recipe:
        """The fine-tuning stage: short, at a low and constant rate."""
        if self.hot_start == "inline":
            return recipe
        return replace(
            recipe,
            epochs=max(1, acts_from(FINE_TUNING, recipe.epochs)),
            learning_rate=0.01 * recipe.learning_rate,
            schedule="steps",
            drops=(),
        )

    def prerequisites(self) -> tuple[Prerequisite, ...]:
        """A TRADES model of the same suite and seed."""
        return () if self.hot_start == "inline" else (Prerequisite(role="hot start", method="trades"),)

    def start(self) -> None:
        """All multipliers are 0: TRADES."""
        self.natural, self.boundary, self.log_margin = (
            torch.zeros(self.classes, dtype=torch.float64, device=self.setup.device) for _ in range(3)
        )
        epochs = self.setup.recipe.epochs
        self._first_epoch = begins_at(INLINE_START, epochs) if self.hot_start == "inline" else 0
        self._fine_tuning = self._first_epoch == 0

    def begin_epoch(self, epoch: int, validation: Validation) -> None:
        """Move the multipliers by the violations on the validation split."""
        self._fine_tuning = epoch >= self._first_epoch
        if not self._fine_tuning:
            return
        assert validation.statistics is not None
        clean, robust = validation.statistics.clean, validation.statistics.robust
        natural_gap = excess(1 - clean, self.tau1)
        boundary_gap = excess(clean - robust, self.tau2)
        rate, margin_rate = self._scaled(self.rate), self._scaled(self.margin_rate)
        self.natural = projected(self.natural + rate * natural_gap, self.limit)
        if self.variant != "remargin":
            self.boundary = projected(self.boundary + 2 * rate * boundary_gap, self.limit)
        if self.variant != "reweight":
            self.log_margin = self.log_margin + margin_rate * boundary_gap
        if self.anti_windup:
            low, high = torch.tensor(self._margin_range, dtype=torch.float64).log().div(2).tolist()
            self.log_margin = self.log_margin.clamp(low, high)

    def loss(self, batch: Batch) -> Tensor:
        """Class-weighted TRADES with class radii."""
        margins = self.margins()[batch.labels].float()
        steps = margins.amax().expand_as(margins) if self.batch_step else margins
        attacked = boundary_attack(
            self.model,
            batch.images,
            batch.labels,
            threat=self.threat,
            generator=self.noise,
            radius=self.threat.epsilon * margins,
            step=self.threat.step * steps,
        )
        clean, adversarial = self.model(batch.images), self.model(attacked.images)
        if not self._fine_tuning:
            return trades_losses(clean, adversarial, batch.labels, beta=HOT_START_BETA).mean()
        natural, boundary = cross_entropy(clean, batch.labels), kl_divergence(adversarial, clean)
        natural_weights = class_weights(self.natural)[batch.labels].float()
        boundary_weights = class_weights(self.boundary)[batch.labels].float()
        natural_sum, boundary_sum = (natural_weights * natural).sum(), (boundary_weights * boundary).sum()
        if self.loss_normalisation == "2021":
            return (natural_sum + self.beta * boundary_sum) / (natural_weights + boundary_weights).sum()
        return natural_sum / natural_weights.sum() + self.beta * (boundary_sum / boundary_weights.sum())

    def end_epoch(self, epoch: int) -> Mapping[str, float | list[float]]:
        """Weights and radii of the epoch, by class."""
        del epoch
        return {
            "natural_weight": class_weights(self.natural).tolist(),
            "boundary_weight": class_weights(self.boundary).tolist(),
            "margin": self.margins().tolist(),
        }

    def state_dict(self) -> dict[str, Tensor]:
        """The three multipliers, (classes,) each."""
        return {"natural": self.natural, "boundary": self.boundary, "log_margin": self.log_margin}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up the three multipliers."""
        self.natural.copy_(state["natural"])
        self.boundary.copy_(state["boundary"])
        self.log_margin.copy_(state["log_margin"])

    def margins(self) -> Tensor:
        """m_c, the factor of the radius by class, (classes,) float64."""
        low, high = self._margin_range
        return self.log_margin.mul(2).exp().clamp(low, high)

    @property
    def _margin_range(self) -> tuple[float, float]:
        return (0.98, 2.5) if self.variant == "remargin" else (0.98, 3.0)

    def _scaled(self, rate: float) -> float:
        stage = self.setup.recipe.epochs - self._first_epoch
        return scaled_rate(rate, scaling=self.rate_scaling, reference_epochs=REFERENCE_EPOCHS, epochs=stage)


def excess(errors: Tensor, allowed: float) -> Tensor:
    """How far each class error is above the class mean plus what is allowed, signed, (classes,).

    A class without validation images (error NaN) takes part in no mean and gets 0.
    """
    return (errors - errors.nanmean() - allowed).nan_to_num(0.0)


def projected(multipliers: Tensor, limit: float) -> Tensor:
    """Multipliers clamped at 0 from below, then scaled down to the sum `limit` if they exceed it."""
    multipliers = multipliers.clamp_min(0)
    total = multipliers.sum()
    return multipliers * (limit / total) if total > limit else multipliers


def class_weights(multipliers: Tensor) -> Tensor:
    """1/C + lambda_c - mean(lambda), (classes,); they sum to 1 and are positive if the multipliers sum to less.

    The gradient of `mean risk + sum_c lambda_c (risk_c - mean risk)` weighs the classes so.
    """
    return 1 / len(multipliers) + multipliers - multipliers.mean()
