"""PGD-AT: the base and the cost unit of everything else."""

from dataclasses import dataclass

from torch import Tensor, nn

from fairbench import Batch, Card, Method, cross_entropy, hyperparameter, pgd
from fairbench_methods.parts.train_mode_attack import refuses_train_mode


@dataclass(kw_only=True)
class PGDAT(Method):
    """Minimise the cross-entropy at an approximately worst point of the ball around every image.

    Madry et al., ICLR 2018, equation 2.1 (https://arxiv.org/abs/1706.06083):

        min E_(x,y) [ max_(|x' - x| <= eps) CE(z(x'), y) ]

    The inner maximum is PGD from a uniform start on the cross-entropy; only adversarial images are trained on.

    Batch norm: the recipe of Rice et al. (ICML 2020) attacks in train mode, so that every attack forward moves the
    running statistics as well; Pang et al. (ICLR 2021) recommend eval mode, our default.
    """

    card = Card(
        title="PGD-AT",
        idea="Trains on the worst point that PGD finds in the ball around every image, and not on the image itself. "
        "It is the baseline of most other methods, and the unit of their cost.",
        authors="Aleksander Madry, Aleksandar Makelov, Ludwig Schmidt, Dimitris Tsipras, Adrian Vladu",
        venue="ICLR",
        year=2018,
        link="https://arxiv.org/abs/1706.06083",
        bibtex="""@inproceedings{madry2018towards,
  title = {Towards Deep Learning Models Resistant to Adversarial Attacks},
  author = {Madry, Aleksander and Makelov, Aleksandar and Schmidt, Ludwig and Tsipras, Dimitris and Vladu, Adrian},
  booktitle = {International Conference on Learning Representations},
  year = {2018}
}""",
        code_licence="none (locuslab/robust_overfitting, whose recipe is the usual one)",
        family="baseline",
    )

    attack_bn: str = hyperparameter(
        "eval",
        "mode of batch norm during the attack: eval (Pang et al.) or train (Rice et al.)",
        choices=("eval", "train"),
    )

    def refuses(self, network: nn.Module) -> str:
        """A network that makes no difference between the modes of the attack, where one was chosen."""
        return refuses_train_mode(network, self.attack_bn)

    def loss(self, batch: Batch) -> Tensor:
        """Mean CE(z(x'), y)."""
        attacked = pgd(
            self.model,
            batch.images,
            batch.labels,
            threat=self.threat,
            generator=self.noise,
            train_mode=self.attack_bn == "train",
        )
        return cross_entropy(self.model(attacked.images), batch.labels).mean()
