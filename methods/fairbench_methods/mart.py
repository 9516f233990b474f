"""MART: images that are misclassified when clean matter more."""

from dataclasses import dataclass, replace

from torch import Tensor

from fairbench import Batch, Card, Method, Recipe, hyperparameter, pgd
from fairbench_methods.parts.mart_terms import boosted_cross_entropy, consistency


@dataclass(kw_only=True)
class MART(Method):
    """A margin-boosted cross-entropy on attacked images, and a consistency that matters where clean images fail.

    Wang et al., ICLR 2020 (https://openreview.net/forum?id=rklOg6EFwS), with the constants of the released code:

        BCE(x', y) = -log p_y(x') - log(1.0001 - max_{k != y} p_k(x') + 1e-12)
        loss = mean BCE(x', y) + lambda mean KL( p(x) || p(x') ) (1.0000001 - p_y(x))

    The attack is PGD on the cross-entropy from a Gaussian start. Nothing is detached: the gradient also flows through
    the weight 1 - p_y(x). The released scripts train with eps 0.031 and step 0.007; here both are the suite's.
    """

    card = Card(
        title="MART",
        idea="Lets images count more that are misclassified even without an attack: beside a cross-entropy on "
        "attacked images that also presses down the strongest wrong class, clean and attacked predictions are kept "
        "together, the more so the less sure the clean one is of the true class.",
        authors="Yisen Wang, Difan Zou, Jinfeng Yi, James Bailey, Xingjun Ma, Quanquan Gu",
        venue="ICLR",
        year=2020,
        link="https://openreview.net/forum?id=rklOg6EFwS",
        bibtex="""@inproceedings{wang2020improving,
  title = {Improving Adversarial Robustness Requires Revisiting Misclassified Examples},
  author = {Wang, Yisen and Zou, Difan and Yi, Jinfeng and Bailey, James and Ma, Xingjun and Gu, Quanquan},
  booktitle = {International Conference on Learning Representations},
  year = {2020}
}""",
        code_licence="none",
        family="baseline",
        notes="Loses more than others from PGD to AutoAttack; judge it by AutoAttack.",
    )

    weight: float = hyperparameter(
        5.0, "lambda, weight of the consistency term (scripts: 5 and 6)", at_least=0, at_most=100
    )
    authors_recipe: bool = hyperparameter(
        False, "the authors' ResNet-18 recipe: rate 0.01, weight decay 3.5e-3, drops at 0.617, 0.742, 0.825"
    )

    def recipe(self, recipe: Recipe) -> Recipe:
        """The suite's, or the authors' unusual one."""
        if not self.authors_recipe:
            return recipe
        drops = (74 / 120, 89 / 120, 99 / 120)
        return replace(recipe, learning_rate=0.01, weight_decay=3.5e-3, schedule="steps", drops=drops, drop_factor=0.1)

    def loss(self, batch: Batch) -> Tensor:
        """Mean BCE(x', y) + lambda KL(p(x) || p(x')) (1 - p_y(x))."""
        attacked = pgd(
            self.model, batch.images, batch.labels, threat=self.threat, generator=self.noise, start="gaussian"
        )
        clean, adversarial = self.model(batch.images), self.model(attacked.images)
        boosted = boosted_cross_entropy(adversarial, batch.labels)
        return (boosted + self.weight * consistency(clean, adversarial, batch.labels)).mean()
