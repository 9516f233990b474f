"""AT-AWP and TRADES-AWP: the order of things within a step, and their bases where nothing moves."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fairbench import load_suite
from fairbench.attacks import pgd
from fairbench.method.contract import Method, Validation
from fairbench.method.losses import cross_entropy, kl_divergence
from fairbench.training.passes import PassCounter
from fairbench_methods.awp import ATAWP, TRADESAWP
from fairbench_methods.parts.trades_halves import boundary_attack
from fairbench_methods.pgd_at import PGDAT
from fairbench_methods.trades import TRADES
from fixture_types import Call

Make = Callable[..., Method]
NO_VALIDATION = Validation(statistics=None, batches=lambda: iter(()))

both = pytest.mark.parametrize(("awp", "base"), [(ATAWP, PGDAT), (TRADESAWP, TRADES)], ids=["at-awp", "trades-awp"])
LATE = 50
"""An epoch of 100 in which both move the weights."""


def optimiser_of(model: nn.Module, *, rate: float = 0.05, decay: float = 5e-3) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, weight_decay=decay)


def update_by(optimiser: torch.optim.Optimizer) -> Callable[[Tensor | None], None]:
    def update(loss: Tensor | None) -> None:
        assert loss is not None
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", enabled=False):
            loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return update


def by_hand(method: Method, batch: Any, optimiser: torch.optim.Optimizer, *, beta: float | None, gamma: float) -> None:
    """The step as the released code takes it, with a copy of the network; `beta` for TRADES."""
    model, images, labels = method.model, batch.images, batch.labels
    settings = {"threat": method.threat, "generator": method.noise}
    attack: Any = pgd if beta is None else boundary_attack
    attacked = attack(model, images, labels, **settings).images

    def loss(network: nn.Module) -> Tensor:
        if beta is None:
            return cross_entropy(network(attacked), labels).mean()
        clean = network(images)
        return cross_entropy(clean, labels).mean() + beta * kl_divergence(network(attacked), clean).mean()

    proxy = copy.deepcopy(model)
    uphill = torch.optim.SGD(proxy.parameters(), lr=0.1)
    (-loss(proxy)).backward()  # type: ignore[no-untyped-call]
    uphill.step()
    weights = [p for p in model.parameters() if p.ndim >= 2]
    differences = [q.detach() - p.detach() for p, q in zip(model.parameters(), proxy.parameters(), strict=True)]
    moves = [
        gamma * p.detach().norm() / d.norm() * d
        for p, d in zip(weights, (d for d in differences if d.ndim >= 2), strict=True)
    ]
    with torch.no_grad():
        for p, v in zip(weights, moves, strict=True):
            p.add_(v)
    update_by(optimiser)(loss(model))
    with torch.no_grad():
        for p, v in zip(weights, moves, strict=True):
            p.sub_(v)


class TestStep:
    @pytest.mark.parametrize(("awp", "beta", "gamma"), [(ATAWP, None, 0.01), (TRADESAWP, 6.0, 0.005)])
    def test_three_steps_by_hand(
        self, awp: Make, beta: float | None, gamma: float, *, prepare: Call, make_batch: Call
    ) -> None:
        """Attack on w, moves from the base's full loss, gradient and weight decay at w + v, back after the step.

        Batch norm has seen one forward per batch of the loss, at w + v, and none of the copy's: unit test (e).
        """
        ours, reference = (prepare(awp(), epoch=LATE) for _ in range(2))
        optimisers = [optimiser_of(method.model) for method in (ours, reference)]
        for seed in range(3):
            batch = make_batch(16, seed=seed)
            ours.step(batch, update_by(optimisers[0]))
            by_hand(reference, batch, optimisers[1], beta=beta, gamma=gamma)
        expected = reference.model.state_dict()
        for name, value in ours.model.state_dict().items():
            torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5)
        assert torch.equal(ours.noise.get_state(), reference.noise.get_state())

    @both
    def test_only_the_last_forwards_are_at_moved_weights(
        self, awp: Make, base: Make, prepare: Call, make_batch: Call
    ) -> None:
        """The attack and the moves belong to w, the update to w + v."""
        method = prepare(awp(), epoch=LATE)
        before = method.model.head.weight.detach().clone()
        modes: list[tuple[bool, bool]] = []
        method.model.register_forward_pre_hook(
            lambda net, _inputs: modes.append((net.training, torch.equal(net.head.weight, before)))
        )
        method.step(make_batch(), update_by(optimiser_of(method.model)))
        forwards = 2 if base is TRADES else 1
        measured = 1 if base is TRADES else 0
        assert modes == [(False, True)] * (measured + 10) + [(True, True)] * forwards + [(True, False)] * forwards

    @both
    def test_without_a_learning_rate_the_weights_come_back(
        self, awp: Make, base: Make, prepare: Call, make_batch: Call
    ) -> None:
        """Unit test (c)."""
        del base
        method = prepare(awp(), epoch=LATE)
        before = {name: p.detach().clone() for name, p in method.model.named_parameters()}
        method.step(make_batch(), update_by(optimiser_of(method.model, rate=0.0, decay=0.0)))
        for name, p in method.model.named_parameters():
            assert (p.detach() - before[name]).norm() <= 1e-6 * before[name].norm(), name

    @both
    def test_the_weights_come_back_where_the_update_fails(
        self, awp: Make, base: Make, prepare: Call, make_batch: Call
    ) -> None:
        """The trainer refuses a loss that is not finite by an exception."""
        del base
        method = prepare(awp(), epoch=LATE)
        before = {name: p.detach().clone() for name, p in method.model.named_parameters()}

        def update(_loss: Tensor | None) -> None:
            raise FloatingPointError

        with pytest.raises(FloatingPointError):
            method.step(make_batch(), update)
        for name, p in method.model.named_parameters():
            torch.testing.assert_close(p.detach(), before[name], rtol=1e-6, atol=1e-7)

    @both
    def test_batch_norm_counts_the_forwards_of_the_base(
        self, awp: Make, base: Make, prepare: Call, make_batch: Call, step: Call
    ) -> None:
        """Unit test (e)."""
        methods = [prepare(awp(), epoch=LATE), prepare(base())]
        for method in methods:
            step(method, make_batch())
        assert methods[0].model.features[1].num_batches_tracked == methods[1].model.features[1].num_batches_tracked

    @both
    def test_half_precision_forwards_keep_fp32_weights_and_train_alike(
        self, awp: Make, base: Make, prepare: Call, make_batch: Call
    ) -> None:
        """As the trainer makes it: autocast without a cache, which would hide the move from the last forward."""
        del base
        methods = [prepare(awp(), epoch=LATE) for _ in range(2)]
        losses: list[Tensor] = []
        for method, enabled in zip(methods, (True, False), strict=True):
            update = update_by(optimiser_of(method.model))

            def remember(loss: Tensor | None, update: Any = update) -> None:
                assert loss is not None
                losses.append(loss.detach())
                update(loss)

            with torch.autocast("cpu", torch.bfloat16, enabled=enabled, cache_enabled=False):
                method.step(make_batch(16), remember)
        assert losses[0].dtype == torch.float32
        torch.testing.assert_close(*losses, rtol=0.05, atol=0.02)
        for half, full in zip(methods[0].model.parameters(), methods[1].model.parameters(), strict=True):
            assert half.dtype == torch.float32
            assert half.grad is not None
            assert full.grad is not None
            if half.ndim >= 2:  # a bias before batch norm has no gradient but rounding
                assert torch.cosine_similarity(half.grad.flatten(), full.grad.flatten(), dim=0) > 0.95


class TestIdentities:
    @both
    def test_gamma_zero_is_the_base_bit_for_bit(
        self, awp: Make, base: Make, prepare: Call, same_training: Call
    ) -> None:
        """I4 and unit test (d), batch norm included: the pass for the moves is made, and leaves no trace."""
        method = prepare(awp(gamma=0), epoch=LATE)
        with PassCounter(method.model) as counter:
            assert same_training(method, prepare(base()))
        assert counter.passes.units == 3 * 12 * (26 if base is PGDAT else 33)

    @both
    def test_otherwise_it_is_not(self, awp: Make, base: Make, prepare: Call, same_training: Call) -> None:
        assert not same_training(prepare(awp(), epoch=LATE), prepare(base()))

    @both
    def test_before_its_start_it_is_the_base_bit_for_bit(
        self, awp: Make, base: Make, prepare: Call, same_training: Call
    ) -> None:
        assert same_training(prepare(awp(start_frac=0.3), epoch=29), prepare(base()))

    @both
    def test_its_loss_is_the_bases_at_the_weights_as_they_are(
        self, awp: Make, base: Make, prepare: Call, make_batch: Call
    ) -> None:
        assert torch.equal(prepare(awp(), epoch=LATE).loss(make_batch()), prepare(base()).loss(make_batch()))

    def test_beta_is_that_of_trades(self, prepare: Call, make_batch: Call) -> None:
        losses = [prepare(method).loss(make_batch()) for method in (TRADESAWP(beta=1), TRADES(beta=1), TRADES())]
        assert torch.equal(losses[0], losses[1])
        assert losses[0] != losses[2]


class TestSchedule:
    @pytest.mark.parametrize(
        ("method", "epochs", "first"),
        [
            (TRADESAWP(), 200, 9),  # the released "from epoch 10", counted from 1
            (TRADESAWP(), 110, 5),
            (TRADESAWP(), 30, 1),
            (TRADESAWP(), 5, 0),
            (ATAWP(), 200, 0),
            (ATAWP(start_frac=0.5), 11, 6),  # halves up
            (ATAWP(start_frac=1.0), 10, 9),  # every stage keeps an epoch
            (ATAWP(start_frac=1.0), 1, 0),
        ],
    )
    def test_weights_move_from_a_fraction_of_the_training(
        self, method: Any, epochs: int, first: int, prepare: Call
    ) -> None:
        recipe = replace(load_suite("cifar10").recipe, epochs=epochs)
        moving = []
        for epoch in range(epochs):
            prepare(method, recipe=recipe, epoch=epoch)
            moving.append(method._moves_weights)
        assert moving == [False] * first + [True] * (epochs - first)

    @pytest.mark.parametrize(("awp", "epoch", "units"), [(ATAWP, 0, 26), (TRADESAWP, 4, 27), (TRADESAWP, 5, 33)])
    def test_cost_per_image(
        self, awp: Make, epoch: int, units: int, *, prepare: Call, make_batch: Call, step: Call
    ) -> None:
        """The moves cost what the loss costs; before the start there are none. 100 epochs."""
        method = prepare(awp(), epoch=epoch)
        with PassCounter(method.model) as counter:
            step(method, make_batch(16))
        assert counter.passes.units == units * 16
