"""Confusional spectral regularisation: what makes up the largest singular value of the robust confusion costs more."""

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
    cross_entropy,
    hyperparameter,
    kl_divergence,
    measured_logits,
    pgd,
)
from fairbench_methods.parts.trades_halves import boundary_attack

HOT_STARTS = ("trades", "trades-awp")
"""Methods of the models that can be fine-tuned."""


def spectral_prices(confusion: Tensor) -> Tensor:
    """G, (classes, classes) float64 in [0.01, 2.01], from counts of errors by prediction and true class.

        G = u1 v1^T of the counts' singular value decomposition,    G <- 2 (G - min G) / (max G - min G) + 0.01

    The sign of G depends on neither that of u1 nor that of v1. Where there is nothing to tell entries apart (no errors
    at all, say) all are 1. From ((0, 3), (4, 0)) comes ((0.01, 0.01), (2.01, 0.01)).

    Args:
        confusion: counts with zeros on the diagonal, (classes, classes).
    """
    left, _, right = torch.linalg.svd(confusion.double().cpu())  # small, and the same on every device
    prices = torch.outer(left[:, 0], right[0])
    low, high = prices.min(), prices.max()
    if not confusion.any() or high - low < 1e-9:  # equal up to round-off
        return torch.ones_like(confusion, dtype=torch.float64)
    return (2 * (prices - low) / (high - low) + 0.01).to(confusion.device)


@dataclass(kw_only=True)
class ConfusionalSpectral(Method):
    """Fine-tune a TRADES model with a price on the errors that make up the spectral norm of its robust confusion.

    Jin et al., ICLR 2025 (https://arxiv.org/abs/2501.13273): the robust error of the worst class is bounded through the
    spectral norm of the robust confusion matrix. Before every epoch each training image is attacked (cross-entropy,
    eval mode), its true logit multiplied by 0.9, and the errors are counted in M[prediction, true class]. With the
    prices G of `spectral_prices(M)` and g_i = G[argmax z(x'_i), y_i] a constant of the gradient,

        loss = mean( 0.7 CE(z(x), y) + beta KL(p(x) || p(x')) + 0.3 g (log g - log p_y(x')) )

    on TRADES' attack. Up to a constant the last term is an adversarial cross-entropy that G weighs; a correct
    prediction has its diagonal entry, which is not zero once G is rescaled.

    A multiplied logit that is negative rises: so in the released code, and kept. There, the attack that fills M starts
    outside of [0, 1]; here no attack does. The pass over the training split is part of the cost.
    """

    card = Card(
        title="Confusional spectral",
        idea="Fine-tunes a TRADES model for a short stage in which errors cost more, the more they contribute to the "
        "largest singular value of the robust confusion matrix of the training data. That value bounds the error of "
        "the worst class.",
        authors="Gaojie Jin, Sihao Wu, Jiaxu Liu, Tianjin Huang, Ronghui Mu",
        venue="ICLR",
        year=2025,
        link="https://arxiv.org/abs/2501.13273",
        bibtex="""@inproceedings{jin2025enhancing,
  title = {Enhancing Robust Fairness via Confusional Spectral Regularization},
  author = {Jin, Gaojie and Wu, Sihao and Liu, Jiaxu and Huang, Tianjin and Mu, Ronghui},
  booktitle = {International Conference on Learning Representations},
  year = {2025}
}""",
        code_licence="MIT (a badge; no licence file)",
        notes="Fine-tunes a robust model; the hot start's whole training is part of its cost.",
    )

    beta: float = hyperparameter(6.0, "beta, weight of the divergence (code: 6)", at_least=0, at_most=100)
    clean_weight: float = hyperparameter(0.7, "weight of the clean cross-entropy (code: 0.7)", at_least=0, at_most=100)
    spectral_weight: float = hyperparameter(
        0.3, "weight of the priced term; 0 with a clean weight of 1 is TRADES (code: 0.3)", at_least=0, at_most=100
    )
    logit_factor: float = hyperparameter(
        0.9, "what the true logit is multiplied by before an error is counted (code: 0.9)", at_least=0, at_most=1
    )
    matrix: str = hyperparameter(
        "pass",
        "where errors are counted: in a pass over the training split before every epoch (code), or in the last epoch's "
        "own attacks, which costs nothing and leaves the first epoch without prices (ours)",
        choices=("pass", "running"),
    )
    hot_start: str = hyperparameter(
        "trades",
        "method of the model to fine-tune, or none: train from scratch by the suite's recipe",
        choices=(*HOT_STARTS, "none"),
    )
    epochs_frac: float = hyperparameter(
        0.02,
        "length of the fine-tuning stage, in trainings; at least an epoch (code: 2 of 100)",
        at_least=0,
        at_most=1,
        only_with=("hot_start", *HOT_STARTS),
    )

    def recipe(self, recipe: Recipe) -> Recipe:
        """The fine-tuning stage: short, at a hundredth of the peak rate."""
        if self.hot_start == "none":
            return recipe
        return replace(
            recipe,
            epochs=max(1, acts_from(self.epochs_frac, recipe.epochs)),
            learning_rate=0.01 * recipe.learning_rate,
            schedule="steps",
            drops=(),
        )

    def prerequisites(self) -> tuple[Prerequisite, ...]:
        """A robust model of the same suite and seed."""
        return () if self.hot_start == "none" else (Prerequisite(role="hot start", method=self.hot_start),)

    def start(self) -> None:
        """All errors cost the same."""
        self.prices, self._confusion = (
            fill((self.classes, self.classes), dtype=torch.float64, device=self.setup.device)
            for fill in (torch.ones, torch.zeros)
        )

    def begin_epoch(self, epoch: int, validation: Validation) -> None:
        """Count the errors of the model as it is on the training split."""
        del epoch, validation
        if self.matrix == "running":
            return
        for batch in self.setup.train_batches():
            attacked = pgd(self.model, batch.images, batch.labels, threat=self.threat, generator=self.setup.generator)
            self.count(measured_logits(self.model, attacked.images, threat=self.threat), batch.labels)
        self._set_prices()

    def loss(self, batch: Batch) -> Tensor:
        """TRADES with another weight of the clean term, and the priced term."""
        attacked = boundary_attack(self.model, batch.images, batch.labels, threat=self.threat, generator=self.noise)
        clean, adversarial = self.model(batch.images), self.model(attacked.images)
        if self.matrix == "running":
            self.count(adversarial, batch.labels)
        price = self.prices[adversarial.detach().argmax(dim=1), batch.labels].float()
        priced = price * (price.log() + cross_entropy(adversarial, batch.labels))
        losses = self.clean_weight * cross_entropy(clean, batch.labels) + self.beta * kl_divergence(adversarial, clean)
        return (losses + self.spectral_weight * priced).mean()

    def count(self, logits: Tensor, labels: Tensor) -> None:
        """Add the errors among attacked images to the confusion, (prediction, true class)."""
        logits, labels = logits.detach().float(), labels[:, None]
        predicted = logits.scatter(1, labels, self.logit_factor * logits.gather(1, labels)).argmax(dim=1)
        wrong = predicted != labels[:, 0]
        cells = predicted * self.classes + labels[:, 0]
        self._confusion.view(-1).index_add_(0, cells, wrong.double())

    def end_epoch(self, epoch: int) -> Mapping[str, float | list[float]]:
        """By true class: the mean price of an error."""
        del epoch
        diagonal = self.prices.diagonal()
        reported = ((self.prices.sum(dim=0) - diagonal) / (self.classes - 1)).tolist()
        if self.matrix == "running":
            self._set_prices()
        return {"error_price": reported}

    def state_dict(self) -> dict[str, Tensor]:
        """Prices, (classes, classes)."""
        return {"prices": self.prices}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up the prices."""
        self.prices.copy_(state["prices"])

    def _set_prices(self) -> None:
        self.prices.copy_(spectral_prices(self._confusion))
        self._confusion.zero_()
