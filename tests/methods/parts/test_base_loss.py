"""The parts of the base methods are the base methods."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from fairbench.attacks import pgd
from fairbench.method.contract import Batch, Card, Method
from fairbench.method.hyperparameter import hyperparameter
from fairbench_methods.mart import MART
from fairbench_methods.parts import base_loss as base_loss_module
from fairbench_methods.parts.base_loss import BASES, BaseLoss
from fairbench_methods.pgd_at import PGDAT
from fairbench_methods.trades import TRADES
from fixture_types import Call


@dataclass(kw_only=True)
class Assembled(Method):
    """A base put together from its two halves, as wrappers do it."""

    card = Card(
        title="-", authors="-", venue="-", year=2026, link="https://example.org", bibtex="@misc{-}", code_licence="none"
    )

    base: str = hyperparameter("pgd-at", "which base", choices=BASES)
    weight: float = hyperparameter(6.0, "beta or lambda")

    def loss(self, batch: Batch) -> Tensor:
        base = BaseLoss(name=self.base, weight=self.weight)
        attacked = base.attack(self.model, batch.images, batch.labels, threat=self.threat, generator=self.noise)
        return base.losses(self.model, batch.images, attacked.images, batch.labels)[0].mean()


METHODS = [
    pytest.param(Assembled(), PGDAT(), id="pgd-at"),
    pytest.param(Assembled(base="trades"), TRADES(), id="trades"),
    pytest.param(Assembled(base="trades", weight=1), TRADES(beta=1), id="trades, beta 1"),
    pytest.param(Assembled(base="mart", weight=5), MART(), id="mart"),
    pytest.param(Assembled(base="mart", weight=0), MART(weight=0), id="mart, lambda 0"),
]


@pytest.mark.parametrize(("assembled", "base"), METHODS)
def test_its_parts_are_the_base_bit_for_bit(
    assembled: Method, base: Method, prepare: Call, same_training: Call
) -> None:
    """Losses, weights, batch norm and noise after three steps."""
    assert same_training(prepare(assembled), prepare(base))


def test_bases_differ_from_one_another(prepare: Call, make_batch: Call) -> None:
    losses = {prepare(Assembled(base=name)).loss(make_batch()).item() for name in BASES}
    assert len(losses) == len(BASES)


@pytest.mark.parametrize("name", BASES)
def test_losses_are_per_image_with_the_logits_of_the_attacked_ones(name: str, make_net: Call, make_batch: Call) -> None:
    """In eval mode, where images do not depend on each other."""
    net, batch = make_net().eval(), make_batch()
    attacked = (batch.images + 0.05).clamp(0, 1)
    losses, logits = BaseLoss(name=name).losses(net, batch.images, attacked, batch.labels)
    assert losses.shape == (12,)
    assert torch.equal(logits, net(attacked))
    alone, _ = BaseLoss(name=name).losses(net, batch.images[3:4], attacked[3:4], batch.labels[3:4])
    torch.testing.assert_close(alone, losses[3:4])


@pytest.mark.parametrize("name", BASES)
def test_clean_images_are_forwarded_first_and_only_where_the_loss_needs_them(
    name: str, make_net: Call, make_batch: Call
) -> None:
    net, batch = make_net(), make_batch()
    attacked = (batch.images + 0.05).clamp(0, 1)
    seen: list[Tensor] = []

    def network(images: Tensor) -> Tensor:
        seen.append(images)
        logits: Tensor = net(images)
        return logits

    BaseLoss(name=name).losses(network, batch.images, attacked, batch.labels)
    expected = [attacked] if name == "pgd-at" else [batch.images, attacked]
    assert len(seen) == len(expected)
    assert all(one is other for one, other in zip(seen, expected, strict=True))


@pytest.mark.parametrize("name", BASES)
def test_tau_stops_images_that_are_misclassified(name: str, make_net: Call, make_batch: Call, threat: Any) -> None:
    """FAT's stop reaches the attack of every base."""
    net, batch = make_net(), make_batch()
    steps = [
        BaseLoss(name=name)
        .attack(net, batch.images, batch.labels, threat=threat, generator=torch.Generator().manual_seed(0), tau=tau)
        .updates
        for tau in (None, 0)
    ]
    assert (steps[0] == threat.steps).all()
    assert steps[1].min() == 0


@pytest.mark.parametrize(("name", "jittered"), [("pgd-at", True), ("mart", True), ("trades", False)])
def test_jitter_reaches_the_attacks_on_the_cross_entropy(
    name: str, jittered: bool, *, make_net: Call, make_batch: Call, threat: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAT has it on PGD-AT; TRADES' attack takes none."""
    seen: list[float] = []

    def spy(*args: Any, jitter: float = 0.0, **settings: Any) -> Any:
        seen.append(jitter)
        return pgd(*args, jitter=jitter, **settings)

    monkeypatch.setattr(base_loss_module, "pgd", spy)
    batch, noise = make_batch(), torch.Generator().manual_seed(0)
    BaseLoss(name=name).attack(make_net(), batch.images, batch.labels, threat=threat, generator=noise, jitter=0.001)
    assert seen == ([0.001] if jittered else [])


def test_an_unknown_base_is_refused() -> None:
    with pytest.raises(AssertionError):
        BaseLoss(name="fat")
