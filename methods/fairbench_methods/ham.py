"""HAM: spend the attack and the loss on the images that a short attack already breaks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fairbench import Batch, Card, Method, Validation, begins_at, cross_entropy, hyperparameter, measured_logits, pgd
from fairbench_methods.parts.geometry_weight import geometry_weight


@dataclass(kw_only=True)
class HAM(Method):
    """After a burn-in of PGD-AT: attack for M of K steps, drop what is still correct, and go on with the rest.

    Lin et al., IEEE TIFS 2025 (https://arxiv.org/abs/2308.01823), in the variant of the released code:

        H = { i : argmax z(x_{M,i}) != y_i },   loss = 1/|H| sum_{i in H} w_i CE(z(x_{K,i}), y_i),   w = 1

    Images in H continue the same trajectory. The others leave completely: no further steps, no loss, and no share in
    the training forward's batch statistics. If fewer than two images remain there is no update, since batch norm over
    1x1 maps has no statistics of a single image. How the journal version weighs hard images is not public; two
    readings are options.

    With h = |H| / B, a step costs 2 M + 1 + 2 (K - M) h + 3 h units per image: hard x_M are forwarded twice, to be
    judged and to go on, since one forward for both needs a backward over the whole batch, which pays only if h > 1/2.
    """

    card = Card(
        title="HAM",
        idea="After a burn-in of PGD-AT, attacks for a few steps, drops the images that are still classified "
        "correctly, and goes on with the others alone. Weak classes have more images among those, so that they gain "
        "without being named.",
        authors="Chenhao Lin, Xiang Ji, Yulong Yang, Qian Li, Zhengyu Zhao, Zhe Peng, Run Wang, Liming Fang, Chao Shen",
        venue="IEEE TIFS",
        year=2025,
        link="https://doi.org/10.1109/TIFS.2024.3516554",
        bibtex="""@article{lin2025hard,
  title = {Hard Adversarial Example Mining for Improving Robust Fairness},
  author = {Lin, Chenhao and Ji, Xiang and Yang, Yulong and Li, Qian and Zhao, Zhengyu and Peng, Zhe and Wang, Run and
            Fang, Liming and Shen, Chao},
  journal = {IEEE Transactions on Information Forensics and Security},
  volume = {20},
  pages = {350--363},
  year = {2025}
}""",
        code_licence="MIT (over files of a repository without a licence)",
        notes="The released-code variant: hard images count equally. The journal's weighting is not public.",
    )

    selection_steps: int = hyperparameter(3, "M, attack steps before images are judged (code: 3; SVHN 5)", at_least=1)
    start_frac: float = hyperparameter(
        0.41, "share of the training that is PGD-AT (code: 49 of 120 epochs; CIFAR-100 59)", at_least=0, at_most=1
    )
    weighting: str = hyperparameter(
        "uniform",
        "w: 1 (code), the largest change of the prediction in one step (unused in the code), or GAIRAT's weight",
        choices=("uniform", "max_jump", "kappa"),
    )
    keep_easy_ratio: float = hyperparameter(
        0.0,
        "share of the easy images, most confident first, that stay (our reading of CIFAR-100)",
        at_least=0,
        at_most=1,
    )

    def begin_epoch(self, epoch: int, validation: Validation) -> None:
        """Mine from the start epoch on."""
        del validation
        self._mining = epoch >= begins_at(self.start_frac, self.setup.recipe.epochs)
        self._kept = self._seen = 0

    def loss(self, batch: Batch) -> Tensor | None:
        """PGD-AT before the start; then the weighted mean over the hard images."""
        images, labels = batch.images, batch.labels
        if not self._mining:
            attacked = pgd(self.model, images, labels, threat=self.threat, generator=self.noise)
            return cross_entropy(self.model(attacked.images), labels).mean()
        path: list[Tensor] = []  # logits of x_0 .. x_M; x_M is judged after the M-th update
        probe_steps = min(self.selection_steps, self.threat.steps)
        probe = pgd(
            self.model,
            images,
            labels,
            threat=self.threat,
            generator=self.noise,
            steps=probe_steps,
            observe=lambda _k, _points, logits, _rows: path.append(logits),
            judge_last=True,
        )
        rows = self._remaining(path[-1], labels)
        self._seen, self._kept = self._seen + len(labels), self._kept + len(rows)
        if len(rows) < 2:
            return None
        later: list[Tensor] = []
        attacked = pgd(
            self.model,
            images[rows],
            labels[rows],
            threat=self.threat,
            start=probe.images[rows],
            steps=self.threat.steps - probe_steps,
            observe=lambda _k, _points, logits, _rows: later.append(logits),
            judge_last=self.weighting == "max_jump",
        )
        weights = torch.ones(len(rows), device=images.device)
        if self.weighting == "kappa":
            weights = geometry_weight(probe.survived[rows] + attacked.survived, steps=self.threat.steps)
        elif self.weighting == "max_jump":
            clean = measured_logits(self.model, images[rows], threat=self.threat)
            weights = largest_jump([clean, *(logits[rows] for logits in path), *later])
        return (normalised(weights) * cross_entropy(self.model(attacked.images), labels[rows])).mean()

    def end_epoch(self, epoch: int) -> Mapping[str, float | list[float]]:
        """The share of the images that were trained on, once images are mined."""
        del epoch
        return {"kept_share": self._kept / self._seen} if self._seen else {}

    def _remaining(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Rows that stay, in order: the misclassified, and of the others what `keep_easy_ratio` keeps."""
        stays = logits.argmax(dim=1) != labels
        easy = (~stays).nonzero().squeeze(1)
        confidence = logits.softmax(dim=1)[easy, labels[easy]]
        count = math.floor(self.keep_easy_ratio * len(easy) + 0.5)
        stays[easy[confidence.argsort(descending=True, stable=True)[:count]]] = True
        return stays.nonzero().squeeze(1)


def normalised(weights: Tensor) -> Tensor:
    """Weights scaled to sum to their number; equal ones become 1, also where all are zero."""
    weights = weights + 1e-12
    return weights / weights.mean()


def largest_jump(path: list[Tensor]) -> Tensor:
    """Largest L1 change of the prediction between neighbours of a path of logits, (batch, classes) each."""
    predictions = torch.stack(path).softmax(dim=2)
    return predictions.diff(dim=0).abs().sum(dim=2).amax(dim=0)
