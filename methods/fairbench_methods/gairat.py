"""GAIRAT: an image counts by how near it is to the boundary, told by how long the attack needs to cross it."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fairbench import Batch, Card, ClassMeans, Method, Validation, begins_at, cross_entropy, hyperparameter, pgd
from fairbench_methods.parts.geometry_weight import WEIGHT_FUNCTIONS, geometry_weight


@dataclass(kw_only=True)
class GAIRAT(Method):
    """After a burn-in of PGD-AT, weigh every image's loss by the number of attack iterates that stayed correct.

    Zhang et al., ICLR 2021, equation 6 (https://arxiv.org/abs/2010.01736):

        kappa_i = #{ k in 0 .. K-1 : argmax z(x_{k,i}) = y_i }
        w_i = ( 1 + tanh( lambda + 5 (1 - 2 kappa_i / K) ) ) / 2
        loss = sum_i w_i CE(z(x_{K,i}), y_i) / sum_j w_j

    over the batch; weights carry no gradient. All correct iterates count, also those after a flip and back; x_K does
    not. The attack is PGD-AT's: it starts uniformly, as in the code (algorithm 1 starts at the image). lambda is
    constant, as it is in effect in the code, whose schedule never reaches its later stages.

    GAIR-FAT is not offered: as released it pairs images with the labels of others.
    """

    card = Card(
        title="GAIRAT",
        idea="After a burn-in of PGD-AT, weighs every image by how close it lies to the decision boundary, which is "
        "measured by the attack: the fewer of its iterates are still classified correctly, the larger the weight.",
        authors="Jingfeng Zhang, Jianing Zhu, Gang Niu, Bo Han, Masashi Sugiyama, Mohan Kankanhalli",
        venue="ICLR",
        year=2021,
        link="https://arxiv.org/abs/2010.01736",
        bibtex="""@inproceedings{zhang2021geometry,
  title = {Geometry-aware Instance-reweighted Adversarial Training},
  author = {Zhang, Jingfeng and Zhu, Jianing and Niu, Gang and Han, Bo and Sugiyama, Masashi and Kankanhalli, Mohan},
  booktitle = {International Conference on Learning Representations},
  year = {2021}
}""",
        code_licence="none",
        family="baseline",
        notes="Small weights on guarded images shrink logits and blunt PGD; judge it by AutoAttack.",
    )

    shift: float = hyperparameter(
        -1.0,
        "lambda of tanh and sigmoid (code: -1); inf: all weights are equal, PGD-AT; below -10 nothing changes any more",
        at_least=-10,
        infinite=True,
        only_with=("weight_function", "tanh", "sigmoid"),
    )
    weight_function: str = hyperparameter(
        "tanh",
        "w: tanh (paper), or the code's alternatives, sigmoid or discrete, (K + 1 - kappa) / (K + 1)",
        choices=WEIGHT_FUNCTIONS,
    )
    burn_in_frac: float = hyperparameter(
        0.5,
        "share of the training that is PGD-AT (paper: 0.3 for ResNet-18; code: 59 of 120 epochs)",
        at_least=0,
        at_most=1,
    )

    def start(self) -> None:
        """Weights are logged per class."""
        self._logged = ClassMeans(self.classes, device=self.setup.device)

    def begin_epoch(self, epoch: int, validation: Validation) -> None:
        """Weigh from the end of the burn-in on."""
        del validation
        self._weighing = epoch >= begins_at(self.burn_in_frac, self.setup.recipe.epochs)

    def loss(self, batch: Batch) -> Tensor:
        """Weighted mean of CE(z(x'), y); equal weights are PGD-AT."""
        attacked = pgd(self.model, batch.images, batch.labels, threat=self.threat, generator=self.noise)
        weights = self.weights(attacked.survived)
        self._logged.add(batch.labels, weights)
        return (weights * cross_entropy(self.model(attacked.images), batch.labels)).mean()

    def weights(self, survived: Tensor) -> Tensor:
        """The images' weights by their kappa, (batch,) fp32 with mean 1; all 1 during the burn-in."""
        if not self._weighing:
            return torch.ones_like(survived, dtype=torch.float32)
        weights = geometry_weight(survived, steps=self.threat.steps, shift=self.shift, function=self.weight_function)
        return weights / weights.mean()

    def end_epoch(self, epoch: int) -> Mapping[str, float | list[float]]:
        """Mean weight by class; 0 for a class that was absent."""
        del epoch
        logged = {"weight": self._logged.mean().nan_to_num(0.0).tolist()}
        self._logged.reset()
        return logged
