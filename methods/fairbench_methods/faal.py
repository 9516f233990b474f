"""FAAL: in every batch, train on the mixture of classes that an adversary would choose near the uniform one."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from fairbench import Batch, Card, ClassMeans, Method, Prerequisite, Recipe, acts_from, hyperparameter, margin
from fairbench_methods.parts.base_loss import BaseLoss
from fairbench_methods.parts.weight_perturbation import Network, adversarial_moves, moved

GAMMA = 0.005
"""Length of AWP's move relative to the weight's, on either base (code)."""

HOT_STARTS = ("pgd-at", "trades", "mart", "at-awp", "trades-awp")
"""Methods of the models that can be fine-tuned."""

HALVINGS = 64
"""Of the bracket of log(nu - max a) in `worst_mixture`, which leaves less than float64 can resolve."""


@dataclass(kw_only=True)
class FAAL(Method):
    """Fine-tune a robust model for two epochs, with class weights that are solved for anew in every batch.

    Zhang et al., CVPR 2024 (https://arxiv.org/abs/2402.17729). With margins that are positive where the attack
    succeeds, over the C classes of the batch:

        m_i = max_{k != y} p_k(x'_i) - p_y(x'_i),    a_c = sum of m_i over the images of class c
        q = argmax sum_c a_c q_c  over mixtures with  KL(u || q) <= r,  u uniform
        loss = mean C q_y l_i,    q a constant of the gradient

    with l_i the loss of PGD-AT, TRADES or MART, the latter on TRADES' attack. AWP moves the weights by the unweighted
    loss; m is taken where the weights have moved to.

    Departures from the released code: q has a closed form (there a conic program per batch), and classes that are
    absent from a batch take no part (there they score 0, which beats every well classified class).
    """

    card = Card(
        title="FAAL",
        idea="Fine-tunes a robust model for a few epochs with class weights that are solved for anew in every batch: "
        "the worst mixture of its classes within a bounded distance of the uniform one, judged by how far the attack "
        "gets.",
        authors="Yanghao Zhang, Tianle Zhang, Ronghui Mu, Xiaowei Huang, Wenjie Ruan",
        venue="CVPR",
        year=2024,
        link="https://arxiv.org/abs/2402.17729",
        bibtex="""@inproceedings{zhang2024towards,
  title = {Towards Fairness-Aware Adversarial Learning},
  author = {Zhang, Yanghao and Zhang, Tianle and Mu, Ronghui and Huang, Xiaowei and Ruan, Wenjie},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2024}
}""",
        code_licence="none",
        notes="Fine-tunes a robust model; the hot start's whole training is part of its cost.",
    )

    kl_radius: float = hyperparameter(
        0.5, "r, how far from uniform the classes may be mixed; 0 is the base (code: 0.5)", at_least=0, at_most=10
    )
    base: str = hyperparameter(
        "pgd-at", "loss to train with", choices=("pgd-at", "trades", "mart", "at-awp", "trades-awp")
    )
    weight: float = hyperparameter(
        6.0,
        "beta of TRADES or lambda of MART, where that is the base (code: 6)",
        at_least=0,
        at_most=100,
        only_with=("base", "trades", "mart", "trades-awp"),
    )
    score: str = hyperparameter(
        "sum", "a_c: sum of the margins (code) or their mean (perhaps the intent)", choices=("sum", "mean")
    )
    hot_start: str = hyperparameter(
        "pgd-at",
        "method of the model to fine-tune, or none: train from scratch by the suite's recipe",
        choices=(*HOT_STARTS, "none"),
    )
    finetune_frac: float = hyperparameter(
        0.018,
        "length of the fine-tuning stage, in trainings; at least two epochs (code: 2 of 110 epochs)",
        at_least=0,
        at_most=1,
        only_with=("hot_start", *HOT_STARTS),
    )

    def recipe(self, recipe: Recipe) -> Recipe:
        """The fine-tuning stage: one half at 0.1, the other at 0.01 of the peak rate."""
        if self.hot_start == "none":
            return recipe
        return replace(
            recipe,
            epochs=max(2, acts_from(self.finetune_frac, recipe.epochs)),
            learning_rate=0.1 * recipe.learning_rate,
            schedule="steps",
            drops=(0.5,),
            drop_factor=0.1,
        )

    def prerequisites(self) -> tuple[Prerequisite, ...]:
        """A robust model of the same suite and seed."""
        return () if self.hot_start == "none" else (Prerequisite(role="hot start", method=self.hot_start),)

    def start(self) -> None:
        """No batch knows of another; weights and presence are logged per class."""
        self._weights = ClassMeans(self.classes, device=self.setup.device)
        self._presence = ClassMeans(self.classes, device=self.setup.device)

    def loss(self, batch: Batch) -> Tensor:
        """The base's loss at the weights as they are, with the worst mixture of classes."""
        return self._weighted_loss(batch, self._attack(batch))

    def step(self, batch: Batch, update: Callable[[Tensor | None], None]) -> None:
        """Attack, move the weights if the base does, update, move them back."""
        attacked = self._attack(batch)

        def unweighted(network: Network) -> Tensor:
            return self._base.losses(network, batch.images, attacked, batch.labels)[0].mean()

        perturbed = self.base.endswith("-awp")
        moves = adversarial_moves(self.model, unweighted, size=GAMMA) if perturbed else {}
        with moved(self.model, moves):
            update(self._weighted_loss(batch, attacked))

    def image_weights(self, attacked_logits: Tensor, labels: Tensor) -> Tensor:
        """C q_y for every image, (batch,) float32; their class means, each class once, average 1."""
        margins = margin(attacked_logits.double().softmax(dim=1), labels)
        members = one_hot(labels, self.classes).double()  # (batch, classes)
        counts = members.sum(dim=0)
        scores = margins @ members
        if self.score == "mean":
            scores = scores / counts.clamp_min(1)
        present = counts > 0
        mixture = worst_mixture(scores, radius=self.kl_radius, present=present)
        weights = (present.sum() * mixture)[labels]
        self._weights.add(labels, weights)
        self._presence.add(torch.arange(self.classes, device=labels.device), present.double())
        return weights.float()

    def end_epoch(self, epoch: int) -> Mapping[str, float | list[float]]:
        """By class: the mean weight of its images, and the share of batches that had any."""
        del epoch
        logged = {
            "weight": self._weights.mean().nan_to_num(0.0).tolist(),
            "presence": self._presence.mean().nan_to_num(0.0).tolist(),
        }
        self._weights.reset()
        self._presence.reset()
        return logged

    @property
    def _base(self) -> BaseLoss:
        names = {"at-awp": "pgd-at", "trades-awp": "trades"}
        return BaseLoss(name=names.get(self.base, self.base), weight=self.weight)

    def _attack(self, batch: Batch) -> Tensor:
        """PGD-AT's attack, or TRADES' for every loss with a clean term."""
        base = self._base if self._base.name == "pgd-at" else BaseLoss(name="trades")
        attacked = base.attack(self.model, batch.images, batch.labels, threat=self.threat, generator=self.noise)
        return attacked.images

    def _weighted_loss(self, batch: Batch, attacked: Tensor) -> Tensor:
        losses, attacked_logits = self._base.losses(self.model, batch.images, attacked, batch.labels)
        return (self.image_weights(attacked_logits, batch.labels) * losses).mean()


def worst_mixture(scores: Tensor, *, radius: float, present: Tensor | None = None) -> Tensor:
    """The mixture with the highest mean score, (classes,) float64, without gradient or wait for the device.

        q = argmax sum_c a_c q_c    with    KL(u || q) = (1/C) sum_c log( 1 / (C q_c) ) <= r

    Since the uniform u comes first, no q_c reaches 0. Stationarity of the Lagrangian gives q_c = Z / (nu - a_c) with
    nu > max a. The divergence falls with nu, from infinity to 0, so that one bisection finds the mixture; the authors
    solve a conic program per batch. The scores matter up to a shift and a positive factor. With a = (0.2, -0.1, -0.4,
    -0.6) and r = 0.1, nu = 0.575 and q = (0.442, 0.246, 0.170, 0.141).

    Args:
        scores: a, (classes,).
        radius: r, largest KL(u || q); 0 leaves the uniform mixture, as do equal scores.
        present: which classes take part, (classes,); at least one, all by default. The others get 0, whatever their
            score, and the mixture is one of the present classes only.
    """
    present = torch.ones_like(scores, dtype=torch.bool) if present is None else present
    count = present.sum().double()
    if radius == 0:
        return present / count
    scores = scores.detach().double()
    gaps = scores.masked_fill(~present, -torch.inf).amax() - scores
    largest = gaps.masked_fill(~present, 0.0).amax().clamp_min(torch.finfo(gaps.dtype).tiny)
    log_gaps = (gaps / largest).log()

    def log_mixture(log_distance: Tensor) -> Tensor:
        """Log q for log(nu - max a), in units of the largest gap; -inf for an absent class."""
        log_shares = (-torch.logaddexp(log_distance, log_gaps)).masked_fill(~present, -torch.inf)
        return log_shares - log_shares.logsumexp(dim=0)

    # With d = nu - max a in units of the largest gap, -log(C) - log(d) / C <= KL(u || q) <= 1 / d.
    low = -count * (radius + count.log())
    high = torch.full_like(low, -math.log(radius))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        divergence = -count.log() - log_mixture(middle).masked_fill(~present, 0.0).sum() / count
        outside = divergence > radius
        low, high = torch.where(outside, middle, low), torch.where(outside, high, middle)
    return log_mixture(high).exp()
