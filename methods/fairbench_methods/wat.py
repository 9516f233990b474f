"""WAT: a game against the training, whose player bets on the class that the validation split shows to be worst."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fairbench import Batch, Card, ClassMeans, Method, Validation, hyperparameter, measured_logits
from fairbench_methods.parts.rate_scaling import SCALINGS, scaled_rate
from fairbench_methods.parts.trades_halves import boundary_attack, trades_losses

REFERENCE_EPOCHS = 100
"""Length of the released training, for `rate_scaling`."""


def hedge_weights(costs: Tensor, *, rate: float) -> Tensor:
    """C exp(rate S_k) / sum_j exp(rate S_j), (classes + 1,) float64, for cumulative costs S of the same shape.

    As a softmax, which subtracts the maximum: the exponential itself overflows float32 where rate S exceeds 88.
    """
    return (len(costs) - 1) * (rate * costs).softmax(dim=0)


@dataclass(kw_only=True)
class WAT(Method):
    """Class weights of a no-regret (Hedge) player; the uniform average is one more action, so that it is not given up.

    Li and Liu, AAAI 2023 (https://arxiv.org/abs/2302.04025). With the TRADES risk of an image, r = CE(z(x), y) +
    lambda KL(p(x) || p(x')), and the means c_k of r over the validation images of class k and c_avg over all of them,

        S <- S + c,    w_k = C exp(eta S_k) / sum_j exp(eta S_j),    j in the classes and avg
        loss = mean( (w_y + w_avg) r )

    In the first epoch all C + 1 weights are 1. The loss is then exactly twice TRADES', later about 1.8 times, which is
    another effective learning rate. The player never forgets: under constant costs, a class whose risk is 0.6 above the
    next one's holds 92 % of the weight after 50 epochs, so the weights are in the history.

    The released code divides sums over 3,000 images by 3,072 and saves no weights; here costs are means, and the game
    survives an interruption. A class without validation images is charged the average.
    """

    card = Card(
        title="WAT",
        idea="Plays a no-regret game for the class weights of TRADES: the higher the risks of a class on validation "
        "data have been so far, the more it weighs, exponentially. The average over all classes is one more action of "
        "the player, so that it is not given up.",
        authors="Boqi Li, Weiwei Liu",
        venue="AAAI",
        year=2023,
        link="https://arxiv.org/abs/2302.04025",
        bibtex="""@inproceedings{li2023wat,
  title = {{WAT}: Improve the Worst-class Robustness in Adversarial Training},
  author = {Li, Boqi and Liu, Weiwei},
  booktitle = {AAAI Conference on Artificial Intelligence},
  year = {2023}
}""",
        code_licence="MIT",
        notes="Its loss is about 1.8 to 2 times TRADES', at the same learning rate.",
    )
    validation = "batches"

    beta: float = hyperparameter(6.0, "lambda, weight of the divergence (code: 6)", at_least=0, at_most=100)
    rate: float = hyperparameter(
        0.1, "eta, rate of the player; 0 keeps all weights equal (code: 0.1)", at_least=0, at_most=10
    )
    avg_scale: str = hyperparameter(
        "code",
        "weight of the average: C times its share of the player's distribution, like a class (code), or the share "
        "itself, which makes the loss a mixture of the class means and the overall mean",
        choices=("code", "mixture"),
    )
    rate_scaling: str = hyperparameter("none", "whether eta follows the number of epochs (ours)", choices=SCALINGS)

    def start(self) -> None:
        """Nothing has cost anything: (classes + 1,), the average last."""
        self.costs = torch.zeros(self.classes + 1, dtype=torch.float64, device=self.setup.device)
        self._played = False

    def begin_epoch(self, epoch: int, validation: Validation) -> None:
        """One round of the game on the model as the last epoch left it; none before the first epoch."""
        self._played = epoch > 0
        if self._played:
            self.costs += self.validation_costs(validation)

    def loss(self, batch: Batch) -> Tensor:
        """Class-weighted TRADES plus the weighted average."""
        attacked = boundary_attack(self.model, batch.images, batch.labels, threat=self.threat, generator=self.noise)
        clean, adversarial = self.model(batch.images), self.model(attacked.images)
        weights = self.weights()
        weights = (weights[batch.labels] + weights[-1]).float()
        return (weights * trades_losses(clean, adversarial, batch.labels, beta=self.beta)).mean()

    def weights(self) -> Tensor:
        """Weights of the classes and, last, of the average, (classes + 1,) float64."""
        recipe = self.setup.recipe
        rate = scaled_rate(
            self.rate, scaling=self.rate_scaling, reference_epochs=REFERENCE_EPOCHS, epochs=recipe.epochs
        )
        weights = hedge_weights(self.costs, rate=rate) if self._played else torch.ones_like(self.costs)
        if self.avg_scale == "mixture":
            weights[-1] /= self.classes
        return weights

    def validation_costs(self, validation: Validation) -> Tensor:
        """This round's cost of the classes and, last, of the average, (classes + 1,) float64."""
        risks = ClassMeans(self.classes, device=self.setup.device)
        for batch in validation.batches():
            clean = measured_logits(self.model, batch.images, threat=self.threat)
            attacked = boundary_attack(
                self.model,
                batch.images,
                batch.labels,
                threat=self.threat,
                generator=self.setup.generator,
                target=clean,
            )
            adversarial = measured_logits(self.model, attacked.images, threat=self.threat)
            risks.add(batch.labels, trades_losses(clean, adversarial, batch.labels, beta=self.beta))
        average = risks.sums.sum() / risks.counts.sum().clamp_min(1)
        by_class = torch.where(risks.counts > 0, risks.mean(), average)
        return torch.cat([by_class, average[None]])

    def end_epoch(self, epoch: int) -> Mapping[str, float | list[float]]:
        """Weights of the epoch, by class and of the average."""
        del epoch
        *by_class, average = self.weights().tolist()
        return {"weight": by_class, "average_weight": average}

    def state_dict(self) -> dict[str, Tensor]:
        """Cumulative costs, (classes + 1,)."""
        return {"costs": self.costs}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up the cumulative costs."""
        self.costs.copy_(state["costs"])
