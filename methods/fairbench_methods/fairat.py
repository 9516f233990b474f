"""FairAT, reconstructed: augment the hard examples, and only those, during adversarial training."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fairbench.attacks import pgd
from fairbench.class_means import ClassMeans
from fairbench.hyperparameter import hyperparameter
from fairbench.losses import cross_entropy
from fairbench.method import Batch, Card, Method
from fairbench_methods.boundary_loss import boundary_attack, boundary_terms
from fairbench_methods.measuring import measured_logits


@dataclass(kw_only=True)
class FairAT(Method):
    """Give the images with the highest cross-entropy a more diverse augmentation, then train as usual.

    Mou et al., Frontiers of Computer Science 2025 (https://doi.org/10.1007/s11704-024-3587-1) identify hard examples by
    higher cross-entropy and diversify them dynamically during vanilla adversarial training. What follows is ours: with
    basic views b_i and diverse views s_i of a batch of B images,

        h_i = CE(z(b_i), y_i) in eval mode,   H = the ceil(rho B) largest h_i,   x_i = s_i if i in H else b_i

    and one step of PGD-AT on (x_i, y_i). Choosing on b_i matters: on s_i it would find badly augmented, not hard,
    images. The other values of `selection` are controls: `hardest` should beat `random` and `class-matched`.
    """

    card = Card(
        title="FairAT (reconstruction)",
        authors="Ningping Mou, Xinli Yue, Lingchen Zhao, Qian Wang",
        venue="Frontiers of Computer Science",
        year=2025,
        link="https://doi.org/10.1007/s11704-024-3587-1",
        bibtex="""@article{mou2025fairness,
  title = {Fairness is essential for robustness: fair adversarial training by identifying and augmenting hard examples},
  author = {Mou, Ningping and Yue, Xinli and Zhao, Lingchen and Wang, Qian},
  journal = {Frontiers of Computer Science},
  volume = {19},
  number = {3},
  pages = {193803},
  year = {2025}
}""",
        code_licence="none (no code was published)",
        reconstruction=True,
        reason="Written from the abstract and a press release: which cross-entropy, which share, which augmentation, "
        "whether hard images are replaced or repeated, and the recipe are our choices.",
    )

    hard_frac: float = hyperparameter(0.5, "rho, share of a batch that is hard (paper: unknown)", at_least=0, at_most=1)
    selection: str = hyperparameter(
        "hardest",
        "which images are diversified; controls: random, easiest, or random with the classes of the hardest",
        choices=("hardest", "random", "easiest", "class-matched"),
    )
    mode: str = hyperparameter(
        "replace", "diverse views replace basic ones, or are added to them", choices=("replace", "append")
    )
    base: str = hyperparameter("pgd-at", "loss to train with", choices=("pgd-at", "trades"))
    beta: float = hyperparameter(6.0, "beta of TRADES, where that is the base", at_least=0)
    attack_start: str = hyperparameter(
        "uniform",
        "start of PGD-AT's attack; gaussian as in AT-BSL by the same group (TRADES' is always gaussian)",
        choices=("uniform", "gaussian"),
    )
    view: str = hyperparameter("randaugment", "the diverse augmentation (paper: unknown)", choices=("randaugment",))

    def start(self) -> None:
        """Hardness and augmentation rate are logged per class."""
        self._hardness = ClassMeans(self.classes, device=self.setup.device)
        self._rate = ClassMeans(self.classes, device=self.setup.device)

    def loss(self, batch: Batch) -> Tensor:
        """The base loss on the mixed batch; labels stay with their images."""
        images, labels = batch.images, batch.labels
        rows = self._chosen(images, labels)
        if len(rows) > 0:
            diverse = batch.view(self.view, rows)
            if self.mode == "replace":
                images = images.index_copy(0, rows, diverse)
            else:
                images, labels = torch.cat([images, diverse]), torch.cat([labels, labels[rows]])
        if self.base == "trades":
            attacked = boundary_attack(self.model, images, labels, threat=self.threat, generator=self.noise)
            natural, boundary = boundary_terms(self.model, images, attacked.images, labels)
            return natural.mean() + self.beta * boundary.mean()
        attacked = pgd(
            self.model,
            images,
            labels,
            threat=self.threat,
            generator=self.noise,
            start="gaussian" if self.attack_start == "gaussian" else "uniform",
        )
        return cross_entropy(self.model(attacked.images), labels).mean()

    def end_epoch(self, epoch: int) -> Mapping[str, float | list[float]]:
        """Share of augmented images and mean hardness, by class; 0 for a class that was absent."""
        del epoch
        logged = {
            "augmentation_rate": self._rate.mean().nan_to_num(0.0).tolist(),
            "hardness": self._hardness.mean().nan_to_num(0.0).tolist(),
        }
        self._rate.reset()
        self._hardness.reset()
        return logged

    def _chosen(self, images: Tensor, labels: Tensor) -> Tensor:
        """Rows to diversify, ascending; of two equally hard images the earlier one."""
        hardness = cross_entropy(measured_logits(self.model, images, threat=self.threat), labels)
        # Rounding first: in floating point 0.28 * 25 is a little more than 7.
        count = math.ceil(round(self.hard_frac * len(labels), 9))
        order = hardness.argsort(descending=self.selection != "easiest", stable=True)
        if self.selection in ("random", "class-matched"):
            hardest, order = order[:count], self._shuffled(len(labels))
            if self.selection == "class-matched":
                order = _class_matched(order, labels, wanted=torch.bincount(labels[hardest], minlength=self.classes))
        rows = order[:count].sort().values
        self._hardness.add(labels, hardness)
        self._rate.add(labels, torch.zeros_like(hardness).index_fill(0, rows, 1.0))
        return rows

    def _shuffled(self, count: int) -> Tensor:
        return torch.randperm(count, generator=self.setup.generator, device=self.setup.device)


def _class_matched(order: Tensor, labels: Tensor, *, wanted: Tensor) -> Tensor:
    """The first `wanted[c]` rows of every class c, in this order."""
    grouped = order[labels[order].argsort(stable=True)]
    sizes = torch.bincount(labels, minlength=len(wanted))
    first = (sizes.cumsum(0) - sizes)[labels[grouped]]
    rank = torch.arange(len(labels), device=labels.device) - first
    return grouped[rank < wanted[labels[grouped]]]
