"""AWP: train on the worst weights nearby, as well as on the worst images."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from fairbench import Batch, Card, Method, Validation, begins_at, hyperparameter
from fairbench_methods.parts.base_loss import BaseLoss
from fairbench_methods.parts.weight_perturbation import Network, adversarial_moves, moved

CARD = Card(
    title="AT-AWP",
    idea="Flattens the loss around the weights of PGD-AT: before every update the weights are moved a little in the "
    "direction that raises the loss on attacked images, the gradient is taken there, and they are moved back.",
    authors="Dongxian Wu, Shu-Tao Xia, Yisen Wang",
    venue="NeurIPS",
    year=2020,
    link="https://arxiv.org/abs/2004.05884",
    bibtex="""@inproceedings{wu2020adversarial,
  title = {Adversarial Weight Perturbation Helps Robust Generalization},
  author = {Wu, Dongxian and Xia, Shu-Tao and Wang, Yisen},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {33},
  pages = {2958--2969},
  year = {2020}
}""",
    code_licence="MIT",
    family="baseline",
)


@dataclass(kw_only=True)
class ATAWP(Method):
    """PGD-AT whose gradient is taken where a small move of the weights has made the loss larger.

    Wu et al., NeurIPS 2020 (https://arxiv.org/abs/2004.05884). Every step attacks at w, then

        v_l = gamma |w_l| g_l / |g_l|,   g = d/dw mean CE(z_w(x'), y)
        w <- w + v;   SGD on mean CE(z_w(x'), y);   w <- w - v

    for the weights l of convolutions and linear layers, each in a norm of its own. g comes from a forward in train mode
    that leaves the batch-norm buffers alone, and weight decay sees w + v; both are so in the released code.
    """

    card = CARD

    gamma: float = hyperparameter(
        0.01, "gamma, length of v relative to the weight's (code: 0.01)", at_least=0, at_most=1
    )
    start_frac: float = hyperparameter(0.0, "share of the training that is PGD-AT (code: 0)", at_least=0, at_most=1)

    def begin_epoch(self, epoch: int, validation: Validation) -> None:
        """Move the weights from the start epoch on."""
        del validation
        self._moves_weights = epoch >= begins_at(self.start_frac, self.setup.recipe.epochs)

    def loss(self, batch: Batch) -> Tensor:
        """PGD-AT's, at the weights as they are."""
        return _after_attack(self, self._base, batch)(self.model)

    def step(self, batch: Batch, update: Callable[[Tensor | None], None]) -> None:
        """Attack, move the weights, update, move them back."""
        _step(self, self._base, batch, update, size=self.gamma if self._moves_weights else None)

    @property
    def _base(self) -> BaseLoss:
        return BaseLoss(name="pgd-at")


@dataclass(kw_only=True)
class TRADESAWP(Method):
    """TRADES whose gradient is taken where a small move of the weights has made the whole loss larger.

    Wu et al., NeurIPS 2020 (https://arxiv.org/abs/2004.05884). As AT-AWP, after TRADES' attack at w, with

        L(w) = mean CE(z_w(x), y) + beta mean KL( p_w(x) || p_w(x') ),   g = dL/dw
    """

    card = replace(
        CARD,
        title="TRADES-AWP",
        idea="Flattens the loss around the weights of TRADES: before every update the weights are moved a little in "
        "the direction that raises the whole loss, the gradient is taken there, and they are moved back.",
    )

    beta: float = hyperparameter(6.0, "beta, weight of the divergence (code: 6)", at_least=0, at_most=100)
    gamma: float = hyperparameter(
        0.005, "gamma, length of v relative to the weight's (code: 0.005)", at_least=0, at_most=1
    )
    start_frac: float = hyperparameter(
        0.045, "share of the training that is TRADES (code: 9 of 200 epochs)", at_least=0, at_most=1
    )

    def begin_epoch(self, epoch: int, validation: Validation) -> None:
        """Move the weights from the start epoch on."""
        del validation
        self._moves_weights = epoch >= begins_at(self.start_frac, self.setup.recipe.epochs)

    def loss(self, batch: Batch) -> Tensor:
        """TRADES', at the weights as they are."""
        return _after_attack(self, self._base, batch)(self.model)

    def step(self, batch: Batch, update: Callable[[Tensor | None], None]) -> None:
        """Attack, move the weights, update, move them back."""
        _step(self, self._base, batch, update, size=self.gamma if self._moves_weights else None)

    @property
    def _base(self) -> BaseLoss:
        return BaseLoss(name="trades", weight=self.beta)


def _after_attack(method: Method, base: BaseLoss, batch: Batch) -> Callable[[Network], Tensor]:
    """Attack the method's model as it is; the mean loss of the batch as a function of the network."""
    attacked = base.attack(method.model, batch.images, batch.labels, threat=method.threat, generator=method.noise)
    return lambda network: base.losses(network, batch.images, attacked.images, batch.labels)[0].mean()


def _step(
    method: Method, base: BaseLoss, batch: Batch, update: Callable[[Tensor | None], None], *, size: float | None
) -> None:
    """One update at w + v; the base's own if `size` is None."""
    loss = _after_attack(method, base, batch)
    moves = {} if size is None else adversarial_moves(method.model, loss, size=size)
    with moved(method.model, moves):
        update(loss(method.model))
