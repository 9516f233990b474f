"""TRADES: a clean loss, and a price on predictions that an attack can move."""

from dataclasses import dataclass

from torch import Tensor

from fairbench import Batch, Card, Method, hyperparameter
from fairbench_methods.parts.trades_halves import boundary_attack, trades_losses


@dataclass(kw_only=True)
class TRADES(Method):
    """Natural cross-entropy plus beta times the divergence between the clean and the adversarial prediction.

    Zhang et al., ICML 2019, equation 5 (https://arxiv.org/abs/1901.08573):

        min E [ CE(z(x), y) + beta max_(|x' - x| <= eps) KL( p(x) || p(x') ) ]

    summed over classes and averaged over images, with gradient through both p(x) and p(x'): stopping it at p(x) changes
    the gradient by more than half and costs several points of robustness. The released script trains with eps 0.031 and
    step 0.007; here both are the suite's.
    """

    card = Card(
        title="TRADES",
        idea="Adds to the clean cross-entropy a penalty for how far the prediction of an attacked image diverges from "
        "that of the clean one. The weight of the penalty trades clean accuracy for robustness.",
        authors="Hongyang Zhang, Yaodong Yu, Jiantao Jiao, Eric P. Xing, Laurent El Ghaoui, Michael I. Jordan",
        venue="ICML",
        year=2019,
        link="https://arxiv.org/abs/1901.08573",
        bibtex="""@inproceedings{zhang2019theoretically,
  title = {Theoretically Principled Trade-off between Robustness and Accuracy},
  author = {Zhang, Hongyang and Yu, Yaodong and Jiao, Jiantao and Xing, Eric P. and El Ghaoui, Laurent and
            Jordan, Michael I.},
  booktitle = {International Conference on Machine Learning},
  year = {2019}
}""",
        code_licence="MIT",
        family="baseline",
    )

    beta: float = hyperparameter(
        6.0, "beta, weight of the divergence (paper: 1 and 6; released script: 6)", at_least=0, at_most=100
    )

    def loss(self, batch: Batch) -> Tensor:
        """Mean CE(z(x), y) + beta KL(p(x) || p(x'))."""
        attacked = boundary_attack(self.model, batch.images, batch.labels, threat=self.threat, generator=self.noise)
        clean, adversarial = self.model(batch.images), self.model(attacked.images)
        return trades_losses(clean, adversarial, batch.labels, beta=self.beta).mean()
