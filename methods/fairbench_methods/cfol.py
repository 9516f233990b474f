"""CFOL: an adversary of the training plays Exp3 over classes, and images of those that fail are seen more often."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fairbench import Batch, Card, Method, cross_entropy, hyperparameter, pgd


def explored(scores: Tensor, *, exploration: float) -> Tensor:
    """C p_c = gamma + C (1 - gamma) softmax(w)_c, (classes,): how many times as often as uniformly a class is played.

    Exactly 1 for gamma = 1 and, in float32, for equal scores, whatever C.
    """
    return exploration + (1 - exploration) * len(scores) * scores.softmax(dim=0)


@dataclass(kw_only=True)
class CFOL(Method):
    """PGD-AT on classes that a no-regret (Exp3) adversary draws: those that are misclassified under attack.

    Pethick et al., TMLR 2023 (https://arxiv.org/abs/2302.08872). With scores w in R^C, 0 at first,

        q = softmax(w),    p = gamma / C + (1 - gamma) q
        min_theta max_p  E_(c ~ p) E_(x of class c) max_(|x' - x| <= eps) CE(z(x'), c)
        w_c <- w_c + sum over images i of class c in the batch of  eta 1[ argmax z(x'_i) != c ] / p_c

    with z(x') of the training forward. What the adversary is paid is the 0-1 loss, as in the released code, not the
    cross-entropy that is minimised. `sampling` (paper, and the code's default) draws every image of an epoch anew: its
    class from p as it is at that moment, then one of its images, with replacement. `reweight` (an option of the code)
    weighs the loss of image i by C p_(y_i) instead, and divides by 1 / C in the update.

    eta per batch is `eta_total` / (N epochs), which is the 5e-6 of the released CIFAR-10 commands at 50,000 images and
    200 epochs: the same game in a training of any length.
    """

    card = Card(
        title="CFOL",
        idea="Plays a game for what is trained on: a no-regret adversary draws the class of every training image, and "
        "classes that are misclassified under attack are drawn more often. Half of the draws stay uniform.",
        authors="Thomas Pethick, Grigorios G. Chrysos, Volkan Cevher",
        venue="TMLR",
        year=2023,
        link="https://arxiv.org/abs/2302.08872",
        bibtex="""@article{pethick2023revisiting,
  title = {Revisiting adversarial training for the worst-performing class},
  author = {Pethick, Thomas and Chrysos, Grigorios G. and Cevher, Volkan},
  journal = {Transactions on Machine Learning Research},
  year = {2023}
}""",
        code_licence="MIT",
        notes="An epoch has as many images as any other method's, but not every image once.",
    )

    play: str = hyperparameter(
        "sampling",
        "how the adversary's distribution acts: images are drawn by it (paper), or their losses weighed (code option)",
        choices=("sampling", "reweight"),
    )
    exploration: float = hyperparameter(
        0.5, "gamma, share of the uniform distribution; 1 is PGD-AT (code: 0.5)", at_least=0, at_most=1
    )
    eta_total: float = hyperparameter(
        50.0,
        "eta times the images of a training, rate of the adversary; 0 is PGD-AT (code: 50, 5e-6 an image)",
        at_least=0,
        at_most=1e6,
    )

    def start(self) -> None:
        """Nothing has been paid: (classes,)."""
        self.scores = torch.zeros(self.classes, dtype=torch.float64, device=self.setup.device)

    def sampling(self) -> Tensor | None:
        """p, up to its factor C."""
        return self._odds() if self.play == "sampling" else None

    def loss(self, batch: Batch) -> Tensor:
        """Mean CE(z(x'), y), weighed where nothing is drawn; the adversary is paid afterwards."""
        attacked = pgd(self.model, batch.images, batch.labels, threat=self.threat, generator=self.noise)
        logits = self.model(attacked.images)
        losses = cross_entropy(logits, batch.labels)
        odds = self._odds()
        if self.play == "reweight":
            losses = odds[batch.labels].float() * losses
            odds = torch.ones_like(odds)
        self._pay(batch.labels, wrong=logits.detach().argmax(dim=1) != batch.labels, odds=odds)
        return losses.mean()

    def end_epoch(self, epoch: int) -> Mapping[str, float | list[float]]:
        """Probability of every class."""
        del epoch
        return {"probability": (self._odds() / self.classes).tolist()}

    def state_dict(self) -> dict[str, Tensor]:
        """Scores, (classes,)."""
        return {"scores": self.scores}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up the scores."""
        self.scores.copy_(state["scores"])

    def _odds(self) -> Tensor:
        return explored(self.scores, exploration=self.exploration)

    def _pay(self, labels: Tensor, *, wrong: Tensor, odds: Tensor) -> None:
        """Add to the scores what the batch yields, with the distribution that it was drawn from."""
        rate = self.eta_total / (int(self.setup.class_counts.sum()) * self.setup.recipe.epochs)
        self.scores.index_add_(0, labels, rate * self.classes * wrong.double() / odds[labels])
