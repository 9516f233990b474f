"""FAT: train on the least adversarial image that is still misclassified, not on the worst one."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from fairbench import Batch, Card, ClassMeans, Method, Validation, begins_at, hyperparameter
from fairbench_methods.parts.base_loss import BASES, BaseLoss

PUBLISHED = -1
"""The value of `tau` that stands for the schedule of the base."""

SCHEDULES = {
    "pgd-at": (50 / 120, 90 / 120),
    "trades": (30 / 85, 50 / 85, 70 / 85),
    "mart": (20 / 90, 40 / 90, 60 / 90, 80 / 90),
}
"""Where tau, 0 at first, grows by one: the released epochs, as shares of the released trainings.

In a training with fewer epochs than values of tau, it grows by more than one at a time and still reaches the last one.
"""


@dataclass(kw_only=True)
class FAT(Method):
    """Stop the attack on an image tau steps after it fooled the model, and train the base method on what is there.

    Zhang et al., ICML 2020, PGD-K-tau (https://arxiv.org/abs/2002.11242). Every image has a budget of tau steps:

        x_k misclassified, budget 0:    x' = x_k
        x_k misclassified, budget left: the budget falls by one, and one step is taken
        x_k correct:                    one step is taken
        after K steps:                  x' = x_K, never checked

    x_0 is checked like any other, so that tau = 0 trains on misclassified images nearly as they are. With tau = K and
    omega = 0 this is the base itself; the release cannot be told so, for its switch reads "False" as true.

    An image that stops at x_s has had s + 1 forwards and backwards, since the backward of a batch runs over all of its
    rows. With s the mean number of updates and q the share of images that stopped, a step on PGD-AT costs 2 s + 2 q + 3
    units per image.
    """

    card = Card(
        title="FAT",
        idea="Stops the attack on an image shortly after it has fooled the model and trains on the point that it has "
        "reached, because points deep inside other classes cost clean accuracy.",
        authors="Jingfeng Zhang, Xilie Xu, Bo Han, Gang Niu, Lizhen Cui, Masashi Sugiyama, Mohan Kankanhalli",
        venue="ICML",
        year=2020,
        link="https://arxiv.org/abs/2002.11242",
        bibtex="""@inproceedings{zhang2020attacks,
  title = {Attacks Which Do Not Kill Training Make Adversarial Learning Stronger},
  author = {Zhang, Jingfeng and Xu, Xilie and Han, Bo and Niu, Gang and Cui, Lizhen and Sugiyama, Masashi and
            Kankanhalli, Mohan},
  booktitle = {International Conference on Machine Learning},
  year = {2020}
}""",
        code_licence="none",
        family="baseline",
        notes="A baseline for single images, not for fairness: it trades worst-class robustness for clean accuracy.",
    )

    base: str = hyperparameter("pgd-at", "loss and attack: FAT, FAT for TRADES or FAT for MART", choices=BASES)
    tau: int = hyperparameter(
        PUBLISHED,
        "tau, steps taken after the first misclassification; -1: the code's, from 0 to 2 (TRADES 3, MART 4)",
        at_least=PUBLISHED,
    )
    jitter: float = hyperparameter(
        0.001,
        "omega, deviation of the noise in every step of PGD-AT's attack (code; TRADES and MART: none)",
        at_least=0,
        at_most=1,
        only_with=("base", "pgd-at"),
    )
    weight: float = hyperparameter(
        6.0,
        "beta of TRADES or lambda of MART, where that is the base (code: 6; for TRADES also 1)",
        at_least=0,
        at_most=100,
        only_with=("base", "trades", "mart"),
    )

    def start(self) -> None:
        """Updates are counted per class, for the history."""
        self._base = BaseLoss(name=self.base, weight=self.weight)
        self._updates = ClassMeans(self.classes, device=self.setup.device)

    def begin_epoch(self, epoch: int, validation: Validation) -> None:
        """Let the attack go further beyond the boundary as the training proceeds."""
        del validation
        rises = (begins_at(fraction, self.setup.recipe.epochs) for fraction in SCHEDULES[self.base])
        self._tau = sum(epoch >= rise for rise in rises) if self.tau == PUBLISHED else self.tau

    def loss(self, batch: Batch) -> Tensor:
        """The base's mean loss at the stopped images."""
        attacked = self._base.attack(
            self.model,
            batch.images,
            batch.labels,
            threat=self.threat,
            generator=self.noise,
            tau=self._tau,
            jitter=self.jitter if self.base == "pgd-at" else 0.0,
        )
        self._updates.add(batch.labels, attacked.updates)
        losses, _ = self._base.losses(self.model, batch.images, attacked.images, batch.labels)
        return losses.mean()

    def end_epoch(self, epoch: int) -> Mapping[str, float | list[float]]:
        """The epoch's tau, and the mean number of updates: of all images (the release's average BP), and by class."""
        del epoch
        mean = self._updates.sums.sum() / self._updates.counts.sum().clamp_min(1)
        by_class = self._updates.mean().nan_to_num(0.0)
        self._updates.reset()
        return {"tau": float(self._tau), "updates": float(mean), "updates_by_class": by_class.tolist()}
