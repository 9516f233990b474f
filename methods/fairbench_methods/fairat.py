"""FairAT, reconstructed: augment the hard examples, and only those, during adversarial training."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fairbench import (
    Attacked,
    Batch,
    Card,
    Method,
    Prerequisite,
    Validation,
    begins_at,
    cross_entropy,
    hyperparameter,
    measured_logits,
    pgd,
)
from fairbench_methods.parts.base_loss import BaseLoss
from fairbench_methods.parts.distillation import TEACHER
from fairbench_methods.parts.hardness import NEVER, HardnessHistory, HardnessRecord, HardRule, class_matched, entropy

RECORD_DECAY = 0.9
"""Of the running mean over an image's visits, for `hardness = "adversarial"`."""


@dataclass(kw_only=True)
class FairAT(Method):
    """Give the images with the highest cross-entropy a more diverse augmentation, then train as usual.

    Mou et al., Frontiers of Computer Science 2025 (https://doi.org/10.1007/s11704-024-3587-1) identify hard examples by
    higher cross-entropy and diversify them dynamically during vanilla adversarial training. What follows is ours: with
    basic views b_i and diverse views s_i of a batch of B images,

        h_i = CE(z(b_i), y_i) in eval mode,   H = the ceil(rho B) largest h_i,   x_i = s_i if i in H else b_i

    and one step of PGD-AT on (x_i, y_i). Choosing on b_i matters: on s_i it would find badly augmented, not hard,
    images. Every other reading of the abstract that we know of is an option.

    The other values of `selection` are controls, which diversify as many images of every batch. If the idea holds, the
    worst class is better under `hardest` than under `random`, and there better than under `easiest`; if it goes below
    the level of classes, `hardest` also beats `class-matched`.
    """

    card = Card(
        title="FairAT (reconstruction)",
        idea="Gives the images of a batch that have the highest cross-entropy a more diverse augmentation, and then "
        "trains as PGD-AT does. Hard images are to be a finer measure of unfairness than classes are.",
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
        notes="Every hyper-parameter is ours; the paper's values are unknown.",
    )

    hard_frac: float = hyperparameter(
        0.5, "rho, share of the images that is hard", at_least=0, at_most=1, only_with=("hard_rule", "fraction")
    )
    hard_rule: str = hyperparameter(
        "fraction",
        "what counts as hard: the share rho, what is above the mean hardness, or above a threshold",
        choices=("fraction", "above-mean", "threshold"),
    )
    threshold: float = hyperparameter(
        1.0,
        "hardness above which an image is hard, in nats",
        at_least=0,
        at_most=100,
        only_with=("hard_rule", "threshold"),
    )
    hardness: str = hyperparameter(
        "clean",
        "h: clean cross-entropy of the current model; running mean of the adversarial one at earlier visits, of the "
        "view that was trained on, hence of the diverse one of hard images if mode=replace (clean in the first epoch); "
        "entropy of the clean prediction; clean cross-entropy of a robust teacher",
        choices=("clean", "adversarial", "entropy", "teacher"),
    )
    scope: str = hyperparameter(
        "batch",
        "what an image is compared with: its batch, or all images by their last hardness (first epoch: the batch)",
        choices=("batch", "epoch"),
    )
    selection: str = hyperparameter(
        "hardest",
        "which images are diversified; controls: random, easiest, or random with the classes of the hardest",
        choices=("hardest", "random", "easiest", "class-matched"),
    )
    mode: str = hyperparameter(
        "replace", "diverse views replace basic ones, or are added to them", choices=("replace", "append")
    )
    copies: int = hyperparameter(
        1, "m, diverse views added of every hard image", at_least=1, at_most=10, only_with=("mode", "append")
    )
    view: str = hyperparameter(
        "randaugment",
        "A, the diverse augmentation: RandAugment(2, 8), AutoAugment of CIFAR-10, TrivialAugment, random erasing, IDBH",
        choices=("randaugment", "autoaugment", "trivialaugment", "random-erasing", "idbh", "idbh-strong"),
    )
    strength_by_hardness: bool = hyperparameter(
        False,
        "RandAugment's magnitude grows with the rank of h in the batch, up to 8 for the hardest image",
        only_with=("view", "randaugment"),
    )
    base: str = hyperparameter("pgd-at", "loss to train with", choices=("pgd-at", "trades"))
    beta: float = hyperparameter(
        6.0, "beta of TRADES, where that is the base", at_least=0, at_most=100, only_with=("base", "trades")
    )
    attack_start: str = hyperparameter(
        "uniform",
        "start of PGD-AT's attack; gaussian as in AT-BSL by the same group (TRADES' is always gaussian)",
        choices=("uniform", "gaussian"),
        only_with=("base", "pgd-at"),
    )
    warm_up_frac: float = hyperparameter(
        0.0, "share of the training, at the beginning, without diverse views", at_least=0, at_most=1
    )

    def prerequisites(self) -> tuple[Prerequisite, ...]:
        """A robust teacher, where it judges hardness."""
        return (TEACHER,) if self.hardness == "teacher" else ()

    def start(self) -> None:
        """Nothing is known of any image."""
        device = self.setup.device
        self._base = BaseLoss(name=self.base, weight=self.beta)
        self._rule = HardRule(name=self.hard_rule, fraction=self.hard_frac, threshold=self.threshold)
        self._record: HardnessRecord | None = None
        if self.hardness == "adversarial" or self.scope == "epoch":
            decay = RECORD_DECAY if self.hardness == "adversarial" else 0.0
            self._record = HardnessRecord(int(self.setup.class_counts.sum()), decay=decay, device=device)
        self._hard_images: Tensor | None = None
        self._augmenting = True
        self._history = HardnessHistory(self.classes, device=device)

    def begin_epoch(self, epoch: int, validation: Validation) -> None:
        """Rank all images, once all were visited, where they are compared with one another."""
        del validation
        self._augmenting = epoch >= begins_at(self.warm_up_frac, self.setup.recipe.epochs)
        self._hard_images = None
        if self.scope == "epoch" and self._record is not None and self._record.complete:
            self._hard_images = self._rule.hard(self._record.values)

    def loss(self, batch: Batch) -> Tensor:
        """The base loss on the mixed batch; labels stay with their images."""
        images, labels = batch.images, batch.labels
        if self._augmenting:
            hardness = self._measured(batch)
            rows = self._chosen(batch, hardness)
            if len(rows) > 0:
                images, labels = self._diversified(batch, rows, hardness)
        attacked = self._attacked(images, labels).images
        losses, logits = self._base.losses(self.model, images, attacked, labels)
        self._remember(batch, logits[: len(batch.labels)].detach())
        return losses.mean()

    def _measured(self, batch: Batch) -> Tensor:
        """Hardness h of the basic views, (batch,)."""
        if self.hardness == "adversarial":
            assert self._record is not None
            recorded = self._record.values[batch.indices]
            if not bool((recorded == NEVER).any()):
                return recorded
        judge = self.setup.prerequisites["teacher"] if self.hardness == "teacher" else self.model
        logits = measured_logits(judge, batch.images, threat=self.threat)
        hardness = entropy(logits) if self.hardness == "entropy" else cross_entropy(logits, batch.labels)
        if self.hardness != "adversarial" and self._record is not None:
            self._record.visit(batch.indices, hardness)
        return hardness

    def _chosen(self, batch: Batch, hardness: Tensor) -> Tensor:
        """Rows to diversify, ascending: the hard ones, or as many others."""
        labels = batch.labels
        hard = self._rule.hard(hardness) if self._hard_images is None else self._hard_images[batch.indices]
        rows = hard.nonzero().squeeze(1)
        if self.selection != "hardest":
            count = len(labels)
            order = hardness.argsort(stable=True)
            if self.selection != "easiest":
                order = torch.randperm(count, generator=self.setup.generator, device=self.setup.device)
            if self.selection == "class-matched":
                order = class_matched(order, labels, wanted=torch.bincount(labels[rows], minlength=self.classes))
            rows = order[: len(rows)].sort().values
        self._history.add_choice(labels, hardness, rows)
        return rows

    def _diversified(self, batch: Batch, rows: Tensor, hardness: Tensor) -> tuple[Tensor, Tensor]:
        """Images and labels to train on; the basic rows come first and keep their order."""
        drawn, strength = rows.repeat(self.copies), None
        if self.strength_by_hardness:
            rank = hardness.argsort(stable=True).argsort()
            strength = ((rank + 1) / len(rank))[drawn]
        diverse = batch.view(self.view, drawn, strength)
        if self.mode == "replace":
            return batch.images.index_copy(0, rows, diverse), batch.labels
        return torch.cat([batch.images, diverse]), torch.cat([batch.labels, batch.labels[drawn]])

    def _attacked(self, images: Tensor, labels: Tensor) -> Attacked:
        if self.attack_start == "gaussian":
            return pgd(self.model, images, labels, threat=self.threat, generator=self.noise, start="gaussian")
        return self._base.attack(self.model, images, labels, threat=self.threat, generator=self.noise)

    def _remember(self, batch: Batch, logits: Tensor) -> None:
        """What the training forward knows of the attacked images, for the next visit and for the history."""
        if self.hardness == "adversarial" and self._record is not None:
            self._record.visit(batch.indices, cross_entropy(logits, batch.labels))
        self._history.add_attacked(batch.labels, logits)

    def end_epoch(self, epoch: int) -> Mapping[str, float | list[float]]:
        """What was diversified, how hard it was, and whether hard classes are the vulnerable ones."""
        del epoch
        return self._history.close()

    def state_dict(self) -> dict[str, Tensor]:
        """The record, (training images,), where there is one."""
        return {} if self._record is None else {"record": self._record.values}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up the record."""
        if self._record is not None:
            self._record.values.copy_(state["record"])
