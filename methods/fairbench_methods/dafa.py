"""DAFA: a hard class loses to classes that look like it, so give it weight and margin, and take both from those."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from fairbench import (
    Ball,
    Batch,
    Card,
    Method,
    Setup,
    Threat,
    Validation,
    begins_at,
    cross_entropy,
    frozen,
    hyperparameter,
    kl_divergence,
    pgd,
)
from fairbench_methods.parts.trades_halves import boundary_attack

FLOOR = 0.1
"""Smallest weight (ours): an easy class that all others are taken for could end at 0 or below, and with it its ball."""

CARD = Card(
    title="DAFA",
    idea="Measures once, after a warm-up by TRADES, which classes are taken for one another, and then moves loss "
    "weight and training radius from the stronger to the weaker class of every pair, the more so the more similar "
    "they are.",
    authors="Hyungyu Lee, Saehyung Lee, Hyemi Jang, Junsung Park, Ho Bae, Sungroh Yoon",
    venue="ICLR",
    year=2024,
    link="https://arxiv.org/abs/2401.12532",
    bibtex="""@inproceedings{lee2024dafa,
  title = {{DAFA}: Distance-Aware Fair Adversarial Training},
  author = {Lee, Hyungyu and Lee, Saehyung and Jang, Hyemi and Park, Junsung and Bae, Ho and Yoon, Sungroh},
  booktitle = {International Conference on Learning Representations},
  year = {2024}
}""",
    code_licence="none",
    notes="Trains easy classes with a smaller radius than they are evaluated with, hard ones with a larger one.",
)

STRENGTH = hyperparameter(
    1.0,
    "lambda, how much weight similar classes exchange (code: 1 on CIFAR-10, 1.5 on CIFAR-100 and STL-10)",
    at_least=0,
    at_most=10,
)
WARM_UP_FRAC = hyperparameter(
    0.636,
    "share of the training that has equal weights; at least one epoch (code: 70 of 110 epochs)",
    at_least=0,
    at_most=1,
)
OLD_RULE = hyperparameter(
    False, "what the code of January to September 2024 took from the stronger class; weights then do not average 1"
)


@dataclass(kw_only=True)
class DAFA(Method):
    """TRADES whose classes exchange loss weight and radius once, by how often the one is taken for the other.

    Lee et al., ICLR 2024, algorithm 2 (https://arxiv.org/abs/2401.12532). P_ij is the mean probability of class j in
    predictions of attacked images of class i, as they are trained on in the last epoch of a warm-up by TRADES. Then,
    once and for all, starting from W = 1, for every pair with P_ii < P_jj

        W_i <- W_i + lambda P_ij P_jj,   W_j <- W_j - lambda P_ij P_jj

    so that the weights average 1, and each image of class y is attacked with W_y times the radius and the step:

        loss = mean [ W_y CE(z(x), y) + beta KL(p(x) || p(x')) ],    |x' - x| <= W_y eps

    The divergence is not weighted. Radii above eps are intended; evaluation stays at eps. Ours: weights are at least
    0.1, classes that tie exchange nothing (the code then takes from both), and neither do classes without images.
    """

    card = CARD
    largest_radius = 2.0  # W_c <= 1 + lambda

    strength: float = STRENGTH
    warm_up_frac: float = WARM_UP_FRAC
    beta: float = hyperparameter(6.0, "beta, weight of the divergence (code: 6)", at_least=0, at_most=100)
    old_rule: bool = OLD_RULE

    def start(self) -> None:
        """All weights are 1: TRADES."""
        self.exchange = Exchange(
            self.setup, strength=self.strength, warm_up_frac=self.warm_up_frac, old_rule=self.old_rule
        )

    def begin_epoch(self, epoch: int, validation: Validation) -> None:
        """Look at the predictions in the last epoch of the warm-up."""
        del validation
        self.exchange.begin_epoch(epoch)

    def loss(self, batch: Batch) -> Tensor:
        """TRADES with a radius, a step and a weight of the cross-entropy for every class."""
        weights = self.exchange.weights[batch.labels]
        attacked = boundary_attack(
            self.model,
            batch.images,
            batch.labels,
            threat=self.threat,
            generator=self.noise,
            radius=self.threat.epsilon * weights,
            step=self.threat.step * weights,
        )
        clean, adversarial = self.model(batch.images), self.model(attacked.images)
        self.exchange.add(batch.labels, adversarial)
        natural = weights.float() * cross_entropy(clean, batch.labels)
        return (natural + self.beta * kl_divergence(adversarial, clean)).mean()

    def end_epoch(self, epoch: int) -> Mapping[str, float | list[float]]:
        """Exchange weights at the end of the warm-up."""
        return self.exchange.end_epoch(epoch)

    def state_dict(self) -> dict[str, Tensor]:
        """The weights, (classes,); what they are computed from is gathered within one epoch."""
        return {"weights": self.exchange.weights}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up the weights."""
        self.exchange.weights.copy_(state["weights"])


@dataclass(kw_only=True)
class DAFAAT(Method):
    """DAFA on adversarial training: the same exchange of weights, radii and steps, on the only term there is.

    Lee et al., ICLR 2024 (https://arxiv.org/abs/2401.12532). With W as in `DAFA`, all ones during the warm-up,

        loss = mean W_y CE(z(x'), y),    x' = argmax CE(z(x'), y),    |x' - x| <= W_y eps

    from a Gaussian start next to the image. The released code does something else, which is `as_released`: after the
    scaled step and clip it takes a second, unscaled step along the same gradient and clips to eps, so that no radius
    exceeds eps and the step is about doubled.
    """

    card = replace(
        CARD,
        title="DAFA on PGD-AT",
        idea="Measures once, after a warm-up by PGD-AT, which classes are taken for one another, and then moves loss "
        "weight and training radius from the stronger to the weaker class of every pair, the more so the more similar "
        "they are.",
        notes="The paper's rule on adversarial training; the released code of this variant is broken, and an option.",
    )
    largest_radius = 2.0  # W_c <= 1 + lambda

    strength: float = STRENGTH
    warm_up_frac: float = WARM_UP_FRAC
    old_rule: bool = OLD_RULE
    as_released: bool = hyperparameter(
        False, "after the warm-up, the attack of the released code, which steps twice and clips to eps; for ablation"
    )

    def start(self) -> None:
        """All weights are 1: PGD-AT with a Gaussian start."""
        self.exchange = Exchange(
            self.setup, strength=self.strength, warm_up_frac=self.warm_up_frac, old_rule=self.old_rule
        )

    def begin_epoch(self, epoch: int, validation: Validation) -> None:
        """Look at the predictions in the last epoch of the warm-up."""
        del validation
        self.exchange.begin_epoch(epoch)

    def loss(self, batch: Batch) -> Tensor:
        """Adversarial training with a radius, a step and a weight for every class."""
        weights = self.exchange.weights[batch.labels]
        adversarial = self.model(self._attack(batch, weights))
        self.exchange.add(batch.labels, adversarial)
        return (weights.float() * cross_entropy(adversarial, batch.labels)).mean()

    def _attack(self, batch: Batch, weights: Tensor) -> Tensor:
        """Attacked images, within the radius of their class."""
        if self.as_released and self.exchange.over:
            return doubled_step_attack(
                self.model, batch.images, batch.labels, threat=self.threat, generator=self.noise, weights=weights
            )
        return pgd(
            self.model,
            batch.images,
            batch.labels,
            threat=self.threat,
            generator=self.noise,
            start="gaussian",
            radius=self.threat.epsilon * weights,
            step=self.threat.step * weights,
        ).images

    def end_epoch(self, epoch: int) -> Mapping[str, float | list[float]]:
        """Exchange weights at the end of the warm-up."""
        return self.exchange.end_epoch(epoch)

    def state_dict(self) -> dict[str, Tensor]:
        """The weights, (classes,); what they are computed from is gathered within one epoch."""
        return {"weights": self.exchange.weights}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up the weights."""
        self.exchange.weights.copy_(state["weights"])


class Exchange:
    """What both variants share: when predictions are looked at, and the weights that follow from them.

    Attributes:
        weights: W, (classes,) float64, at least `FLOOR`; 1 until the warm-up is over.
        over: whether it is.

    Args:
        setup: of the method.
        strength: lambda.
        warm_up_frac: as a share of the training; at least one epoch, and never all of several.
        old_rule: as in `exchanged_weights`.
    """

    def __init__(self, setup: Setup, *, strength: float, warm_up_frac: float, old_rule: bool) -> None:
        self._strength, self._old_rule = strength, old_rule
        classes = setup.classes
        self._last_warm_up_epoch = max(1, begins_at(warm_up_frac, setup.recipe.epochs)) - 1
        self._looking = self.over = False
        self.weights = torch.ones(classes, dtype=torch.float64, device=setup.device)
        self._sums = torch.zeros(classes, classes, dtype=torch.float64, device=setup.device)
        self._counts = torch.zeros(classes, dtype=torch.float64, device=setup.device)

    def begin_epoch(self, epoch: int) -> None:
        """Look at this epoch's predictions if it ends the warm-up."""
        self._looking = epoch == self._last_warm_up_epoch
        self.over = epoch > self._last_warm_up_epoch

    def add(self, labels: Tensor, logits: Tensor) -> None:
        """Predictions of attacked images, (batch, classes), as the loss sees them; no gradient is kept."""
        if self._looking:
            members = one_hot(labels, len(self.weights)).double()  # (batch, classes)
            self._sums += members.T @ logits.detach().double().softmax(dim=1)
            self._counts += members.sum(dim=0)

    def end_epoch(self, epoch: int) -> Mapping[str, float | list[float]]:
        """The weights of the next epoch, and once, before they are floored, what the exchange gave."""
        logged: dict[str, float | list[float]] = {}
        if epoch == self._last_warm_up_epoch:
            similarity = self._sums / self._counts[:, None]
            exchanged = exchanged_weights(similarity, strength=self._strength, old_rule=self._old_rule)
            self.weights.copy_(exchanged.clamp_min(FLOOR))
            logged["exchanged_weight"] = exchanged.tolist()
        return {"weight": self.weights.tolist(), **logged}


def exchanged_weights(similarity: Tensor, *, strength: float, old_rule: bool = False) -> Tensor:
    """W, (classes,): the weaker class of every pair gains what the stronger one loses.

    Args:
        similarity: P, (classes, classes); row i is the mean prediction of attacked images of class i, NaN without any.
        strength: lambda.
        old_rule: the stronger class i loses lambda P_ij P_jj, with its own row of P, in place of what j gains.
    """
    own = similarity.diagonal()
    offers = strength * similarity * own  # [i, j]: what i gets from j if it is the weaker one
    weaker = own[:, None] < own  # false where a class was absent
    gains = torch.where(weaker, offers, 0.0)
    losses = torch.where(weaker.T, offers, 0.0) if old_rule else gains.T
    return 1 + (gains - losses).sum(dim=1)


def doubled_step_attack(
    model: nn.Module, images: Tensor, labels: Tensor, *, threat: Threat, generator: torch.Generator, weights: Tensor
) -> Tensor:
    """Attacked images, of the images' shape, as DAFA's released code finds them on adversarial training (for ablation).

    Every iteration steps twice along one gradient: with the class's own step into its own ball, as the paper has it,
    and once more with the plain step into the plain ball. No radius then exceeds epsilon, and the step is about
    doubled. The start is Gaussian, and steps are of L-inf whatever the norm, as released.

    Args:
        model: in any mode; attacked in eval mode.
        images: (batch, channels, height, width) in [0, 1].
        labels: (batch,).
        threat: norm, radius, step and number of steps.
        generator: of the start's noise.
        weights: factors of radius and step in the first of the two, (batch,).
    """
    own, plain = Ball(threat.norm, images, threat.epsilon * weights), Ball(threat.norm, images, threat.epsilon)
    own_step = (threat.step * weights).to(images.dtype).view(-1, 1, 1, 1)
    points = images + 0.001 * torch.empty_like(images).normal_(generator=generator)
    precision = torch.autocast(images.device.type, torch.bfloat16, enabled=threat.attack_precision == "bf16")
    with frozen(model), torch.enable_grad(), precision:
        for _ in range(threat.steps):
            points = points.detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(cross_entropy(model(points), labels).sum(), points)
            ascent = gradient.sign()
            points = own.project(points.detach() + own_step * ascent)
            points = plain.project(points + threat.step * ascent)
    return points
