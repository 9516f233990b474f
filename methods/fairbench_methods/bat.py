"""BAT: train just before and just after the decision boundary, and towards no class in particular."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fairbench import Attacked, Batch, Card, Method, cross_entropy, hyperparameter, kl_divergence, measured_logits, pgd


@dataclass(kw_only=True)
class BAT(Method):
    """Balance the steps that attacks need per class, and the classes that they end in.

    Sun et al., AAAI 2023 (https://arxiv.org/abs/2209.07534), equations 2, 6 and 7. TRADES' attack on each image stops
    at the first misclassified iterate x_t; x_clean = x_{t-1} and x_adv = x_t. With U the uniform distribution:

        loss = CE(z(x_clean), y) + beta KL(p(x) || p(x_adv)) + a [ KL(U || p(x_clean)) + KL(U || p(x_adv)) ]

    If the start is misclassified already, both points are the image itself; if nothing breaks it, x_{K-1} and x_K.

    The authors' code does something else, which is `shared_trajectory=false, adv_tau=1, uniform_kl=p-u,
    misclassified_start=noisy`: two attacks with starts of their own, one more step after the flip (FAT's tau = 1), the
    uniform terms in the other direction, the noisy start as x_clean where that is misclassified, and the end of its own
    trajectory as x_clean where nothing breaks the image.
    """

    card = Card(
        title="BAT",
        idea="Trains on the points just before and just after the decision boundary, which are found by stopping the "
        "attack where the prediction flips, and pulls both predictions towards the uniform distribution. This is to "
        "balance how many steps an attack needs per class, and in which classes it ends.",
        authors="Chunyu Sun, Chenye Xu, Chengyuan Yao, Siyuan Liang, Yichao Wu, Ding Liang, Xianglong Liu, Aishan Liu",
        venue="AAAI",
        year=2023,
        link="https://arxiv.org/abs/2209.07534",
        bibtex="""@inproceedings{sun2023improving,
  title = {Improving Robust Fairness via Balance Adversarial Training},
  author = {Sun, Chunyu and Xu, Chenye and Yao, Chengyuan and Liang, Siyuan and Wu, Yichao and Liang, Ding and
            Liu, Xianglong and Liu, Aishan},
  booktitle = {AAAI Conference on Artificial Intelligence},
  year = {2023}
}""",
        code_licence="none",
        notes="Flat probabilities and early-stopped points flatter PGD; judge it by AutoAttack.",
    )

    beta: float = hyperparameter(
        6.0, "beta, weight of the divergence, TRADES' 1/lambda (code: 6)", at_least=0, at_most=100
    )
    uniform_weight: float = hyperparameter(
        1.0, "a, weight of the uniform terms (paper: unknown; code: 1)", at_least=0, at_most=100
    )
    shared_trajectory: bool = hyperparameter(True, "both points from one attack (paper) or from two (code)")
    adv_tau: int = hyperparameter(0, "misclassified iterates that x_adv survives (paper: 0; code: 1)", at_least=0)
    uniform_kl: str = hyperparameter(
        "u-p", "direction of the uniform terms: KL(U || p) (paper) or KL(p || U) (code)", choices=("u-p", "p-u")
    )
    misclassified_start: str = hyperparameter(
        "clean",
        "where the start is misclassified: both points are the image (paper), or x_clean is the start (code)",
        choices=("clean", "noisy"),
    )

    def loss(self, batch: Batch) -> Tensor:
        """Three forwards in train mode, in the order of the released code."""
        before, after = self.boundary_points(batch.images, batch.labels)
        before_logits, after_logits = self.model(before), self.model(after)
        natural = cross_entropy(before_logits, batch.labels)
        boundary = kl_divergence(after_logits, self.model(batch.images))
        uniform = self._from_uniform(before_logits) + self._from_uniform(after_logits)
        return natural.mean() + self.beta * boundary.mean() + self.uniform_weight * uniform.mean()

    def boundary_points(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """x_clean and x_adv, each of the shape and in the order of the images."""
        target = measured_logits(self.model, images, threat=self.threat)
        if self.shared_trajectory:
            attacked, start, missed = self._stopped_attack(images, labels, target, tau=self.adv_tau)
            assert attacked.last_clean is not None
            before = attacked.last_clean
        else:
            own, start, missed = self._stopped_attack(images, labels, target, tau=0)
            assert own.last_clean is not None
            unbroken = own.survived == self.threat.steps
            before = torch.where(unbroken.view(-1, 1, 1, 1), own.images, own.last_clean)
            attacked, _, missed_after = self._stopped_attack(images, labels, target, tau=self.adv_tau)
        after = attacked.images
        if self.misclassified_start == "noisy":
            return torch.where(missed, start, before), after
        return before, torch.where(missed if self.shared_trajectory else missed_after, images, after)

    def _stopped_attack(
        self, images: Tensor, labels: Tensor, target: Tensor, *, tau: int
    ) -> tuple[Attacked, Tensor, Tensor]:
        """TRADES' attack with a stop; its start x_0, and whether x_0 is misclassified, (batch, 1, 1, 1)."""
        start, missed = images, torch.zeros(0)

        def remember_start(k: int, points: Tensor, logits: Tensor, rows: Tensor) -> None:
            nonlocal start, missed
            if k == 0:
                start, missed = points.clamp(0, 1), logits.argmax(dim=1) != labels[rows]

        attacked = pgd(
            self.model,
            images,
            labels,
            threat=self.threat,
            generator=self.noise,
            loss=kl_divergence,
            target=target,
            start="gaussian",
            tau=tau,
            boundary=True,
            observe=remember_start,
        )
        return attacked, start, missed.view(-1, 1, 1, 1)

    def _from_uniform(self, logits: Tensor) -> Tensor:
        """Distance from the uniform distribution per image; equal logits stand for it."""
        uniform = torch.zeros_like(logits)
        return kl_divergence(logits, uniform) if self.uniform_kl == "u-p" else kl_divergence(uniform, logits)
