"""DAFA: the exchange of weights by hand, and TRADES until then."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fairbench.attacks import Ball, pgd
from fairbench.method.contract import Method, Validation
from fairbench.method.losses import cross_entropy, kl_divergence
from fairbench.protocol.recipe import Recipe
from fairbench.training.passes import PassCounter
from fairbench_methods import dafa as dafa_module
from fairbench_methods.dafa import DAFA, DAFAAT, FLOOR, exchanged_weights
from fairbench_methods.parts.trades_halves import boundary_attack
from fairbench_methods.trades import TRADES
from fixture_types import Call

WARM = 63
"""The last warm-up epoch of 100, in which predictions are looked at."""

P17 = ((0.6, 0.3, 0.1), (0.2, 0.7, 0.1), (0.05, 0.05, 0.9))

both = pytest.mark.parametrize("cls", [DAFA, DAFAAT])
similarities = st.integers(2, 8).flatmap(
    lambda n: st.lists(st.lists(st.integers(1, 20), min_size=n, max_size=n), min_size=n, max_size=n)
)


def doubles(values: Sequence[Any]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def rows(counts: list[list[int]]) -> Tensor:
    """Rows of probabilities; small integers make ties of the diagonal likely."""
    values = doubles(counts)
    return values / values.sum(dim=1, keepdim=True)


def enter(method: Method, epoch: int) -> None:
    method.begin_epoch(epoch, Validation(statistics=None, batches=lambda: iter(())))


def with_weights(method: Any, *weights: float) -> Any:
    """The method in an epoch after the warm-up that gave these weights."""
    method.exchange.weights.copy_(doubles(weights))
    return method


class TestExchange:
    def test_fixture_f17(self) -> None:
        torch.testing.assert_close(exchanged_weights(doubles(P17), strength=1.0), doubles([1.30, 0.88, 0.82]))

    def test_fixture_f17_by_the_old_rule(self) -> None:
        """It took from the stronger class by that class's row, and so lost the sum."""
        found = exchanged_weights(doubles(P17), strength=1.0, old_rule=True)
        torch.testing.assert_close(found, doubles([1.30, 0.97, 0.935]))

    @settings(deadline=None)
    @given(similarities, st.floats(0, 2), st.booleans())
    def test_it_is_the_published_loop(self, counts: list[list[int]], strength: float, old_rule: bool) -> None:
        """Algorithm 2, pair by pair; ties exchange nothing, while the code's else-branch subtracts."""
        similarity = rows(counts)
        p = similarity.tolist()
        expected = [1.0] * len(p)
        for i, j in permutations(range(len(p)), 2):
            if p[i][i] < p[j][j]:
                expected[i] += strength * p[i][j] * p[j][j]
            elif p[i][i] > p[j][j]:
                expected[i] -= strength * (p[i][j] * p[j][j] if old_rule else p[j][i] * p[i][i])
        found = exchanged_weights(similarity, strength=strength, old_rule=old_rule)
        torch.testing.assert_close(found, doubles(expected))

    @settings(deadline=None)
    @given(similarities, st.floats(0, 2))
    def test_weights_average_one(self, counts: list[list[int]], strength: float) -> None:
        assert exchanged_weights(rows(counts), strength=strength).mean().item() == pytest.approx(1)

    @settings(deadline=None)
    @given(similarities, st.floats(0, 2))
    def test_the_weakest_class_gains_and_the_strongest_loses(self, counts: list[list[int]], strength: float) -> None:
        similarity = rows(counts)
        weights, own = exchanged_weights(similarity, strength=strength), similarity.diagonal()
        assert weights[own.argmin()] >= 1
        assert weights[own.argmax()] <= 1
        assert weights.max() <= 1 + strength

    def test_equally_strong_classes_exchange_nothing(self) -> None:
        similarity = doubles([[0.6, 0.3, 0.1], [0.3, 0.6, 0.1], [0.1, 0.3, 0.6]])
        for old_rule in (False, True):
            assert torch.equal(
                exchanged_weights(similarity, strength=1.5, old_rule=old_rule), torch.ones(3, dtype=torch.float64)
            )

    @pytest.mark.parametrize("old_rule", [False, True])
    def test_a_class_without_images_exchanges_nothing(self, old_rule: bool) -> None:
        """The others exchange as if it did not exist."""
        similarity = torch.full((4, 4), torch.nan, dtype=torch.float64)
        present = torch.tensor([0, 1, 3])
        similarity[present[:, None], present] = doubles(P17)
        similarity[present, 2] = 0.0
        weights = exchanged_weights(similarity, strength=1.0, old_rule=old_rule)
        assert weights[2] == 1
        expected = exchanged_weights(doubles(P17), strength=1.0, old_rule=old_rule)
        torch.testing.assert_close(weights[present], expected)


class TestIdentities:
    def test_without_strength_it_is_trades_bit_for_bit(self, prepare: Call, same_training: Call) -> None:
        """I24, before and after the warm-up."""
        ours, trades = prepare(DAFA(strength=0.0), epoch=WARM), prepare(TRADES(), epoch=WARM)
        assert same_training(ours, trades)
        assert ours.end_epoch(WARM)["weight"] == [1.0] * 10
        enter(ours, WARM + 1)
        assert same_training(ours, trades)

    @pytest.mark.parametrize("old_rule", [False, True])
    def test_up_to_the_warm_up_it_is_trades_bit_for_bit(
        self, prepare: Call, same_training: Call, old_rule: bool
    ) -> None:
        """I24; looking at predictions changes nothing, exchanged weights do."""
        ours, trades = (prepare(method, epoch=0) for method in (DAFA(strength=1.5, old_rule=old_rule), TRADES()))
        for epoch in (0, WARM - 1, WARM):
            enter(ours, epoch)
            assert same_training(ours, trades), epoch
            ours.end_epoch(epoch)
        enter(ours, WARM + 1)
        assert not same_training(ours, trades)

    def test_warm_up_of_the_variant_is_pgd_at_from_a_gaussian_start(self, prepare: Call, make_batch: Call) -> None:
        ours, base = prepare(DAFAAT(), epoch=WARM), prepare(TRADES(), epoch=WARM)
        batch = make_batch()
        loss = ours.loss(batch)
        attacked = pgd(
            base.model, batch.images, batch.labels, threat=base.threat, generator=base.noise, start="gaussian"
        )
        assert torch.equal(loss, cross_entropy(base.model(attacked.images), batch.labels).mean())
        assert torch.equal(ours.noise.get_state(), base.noise.get_state())


class TestWarmUp:
    @pytest.mark.parametrize(
        ("epochs", "warm_up_frac", "expected"),
        [(110, 0.636, 70), (40, 0.636, 25), (3, 0.636, 2), (2, 0.636, 1), (1, 0.636, 1), (10, 0.0, 1), (10, 1.0, 9)],
    )
    @both
    def test_its_length(self, prepare: Call, cls: type[Any], epochs: int, warm_up_frac: float, expected: int) -> None:
        """At least one epoch, since predictions are needed; never all of several."""
        method = prepare(cls(warm_up_frac=warm_up_frac), recipe=Recipe(epochs=epochs), classes=2)
        measured = []
        for epoch in range(epochs):
            enter(method, epoch)
            method.exchange.add(torch.tensor([0, 1]), torch.tensor([[1.0, 0.0], [0.0, 3.0]]))
            if "exchanged_weight" in method.end_epoch(epoch):
                measured.append(epoch)
        assert measured == [expected - 1]
        assert method.exchange.weights[0] > 1 > method.exchange.weights[1]

    @both
    def test_similarity_is_the_mean_prediction_of_the_forward_that_is_trained_on(
        self, prepare: Call, make_batch: Call, cls: type[Any]
    ) -> None:
        """Attacked images, train mode, class means over the whole last warm-up epoch and no other."""
        method = prepare(cls(), classes=3, epoch=WARM - 1)
        method.loss(make_batch(6, classes=3, seed=7))
        method.end_epoch(WARM - 1)
        enter(method, WARM)
        logits: list[Tensor] = []
        method.model.register_forward_hook(lambda net, _in, out: logits.append(out.detach()) if net.training else None)
        predictions, labels = [], []
        for seed, present in ((0, [0, 0, 0, 0, 2]), (1, [0, 1, 2, 2])):
            batch = make_batch(len(present), classes=3, seed=seed, labels=present)
            method.loss(batch)
            predictions.append(logits[-1].double().softmax(dim=1))
            labels.append(batch.labels)
        probabilities, classes = torch.cat(predictions), torch.cat(labels)
        similarity = torch.stack([probabilities[classes == c].mean(dim=0) for c in range(3)])
        expected = exchanged_weights(similarity, strength=1.0)
        logged = method.end_epoch(WARM)
        torch.testing.assert_close(doubles(logged["exchanged_weight"]), expected)
        torch.testing.assert_close(method.exchange.weights, expected)
        assert (expected != 1).all()

    @both
    def test_weights_are_computed_once(self, prepare: Call, make_batch: Call, cls: type[Any]) -> None:
        method = prepare(cls(), epoch=WARM)
        method.loss(make_batch())
        weights = method.end_epoch(WARM)["weight"]
        for epoch in (WARM + 1, WARM + 2):
            enter(method, epoch)
            method.loss(make_batch(seed=epoch))
            assert method.end_epoch(epoch) == {"weight": weights}

    @both
    def test_classes_that_were_never_seen_keep_their_weight(
        self, prepare: Call, make_batch: Call, cls: type[Any]
    ) -> None:
        method = prepare(cls(), epoch=WARM)
        method.loss(make_batch(8, labels=[1, 2] * 4))
        method.end_epoch(WARM)
        weights = method.exchange.weights
        assert weights.isfinite().all()
        assert weights[[0, 3, 4, 5, 6, 7, 8, 9]].eq(1).all()
        assert (weights[[1, 2]] != 1).all()

    @both
    def test_weights_have_a_floor_which_is_logged(self, prepare: Call, cls: type[Any]) -> None:
        """An easy class that all others are taken for would get a negative radius."""
        method = prepare(cls(strength=1.5), classes=3, epoch=WARM)
        predictions = doubles([[0.19, 0.01, 0.8], [0.01, 0.19, 0.8], [0.05, 0.05, 0.9]])
        method.exchange.add(torch.tensor([0, 1, 2]), predictions.log())
        logged = method.end_epoch(WARM)
        assert logged["exchanged_weight"][2] == pytest.approx(1 - 1.5 * 0.9 * 1.6)
        assert logged["weight"][2] == FLOOR
        assert logged["weight"][:2] == logged["exchanged_weight"][:2]

    @both
    def test_a_kill_after_the_warm_up_loses_nothing(
        self, prepare: Call, make_batch: Call, same_training: Call, cls: type[Any]
    ) -> None:
        method = prepare(cls(), epoch=WARM)
        method.loss(make_batch())
        method.end_epoch(WARM)
        resumed = prepare(cls(), epoch=WARM)
        resumed.load_state_dict({name: value.clone() for name, value in method.state_dict().items()})
        resumed.model.load_state_dict(method.model.state_dict())
        resumed.noise.set_state(method.noise.get_state())
        for either in (method, resumed):
            enter(either, WARM + 1)
        assert same_training(method, resumed)
        assert method.end_epoch(WARM + 1) == resumed.end_epoch(WARM + 1)
        assert (method.exchange.weights != 1).any()


class TestAfterwards:
    @pytest.mark.parametrize(("cls", "attack"), [(DAFA, boundary_attack), (DAFAAT, pgd)])
    def test_each_class_has_its_own_radius_and_step(
        self, prepare: Call, make_batch: Call, monkeypatch: pytest.MonkeyPatch, cls: type[Any], attack: Call
    ) -> None:
        """Radii above eps are used to the full, which the released variant on PGD-AT cannot."""
        seen: dict[str, Any] = {}

        def spy(*args: Any, **settings: Any) -> Any:
            seen.update(settings, attacked=attack(*args, **settings))
            return seen["attacked"]

        monkeypatch.setattr(dafa_module, attack.__name__, spy)
        method = with_weights(prepare(cls(), classes=3, epoch=WARM + 1), 0.5, 1.0, 1.5)
        batch = make_batch(60, classes=3)
        method.loss(batch)
        weights = doubles([0.5, 1.0, 1.5])[batch.labels]
        torch.testing.assert_close(seen["radius"], weights * 8 / 255)
        torch.testing.assert_close(seen["step"], weights * 2 / 255)
        assert seen.get("start", "gaussian") == "gaussian"
        assert Ball("Linf", batch.images, weights * 8 / 255).contains(seen["attacked"].images).all()
        moved = (seen["attacked"].images - batch.images).abs().flatten(1).amax(dim=1)
        torch.testing.assert_close(moved, weights.float() * 8 / 255, rtol=0, atol=1e-6)

    def test_only_the_cross_entropy_is_weighted(self, prepare: Call, make_batch: Call) -> None:
        method, base = (prepare(DAFA(beta=2.0), classes=3, epoch=WARM + 1, epsilon=1e-9) for _ in range(2))
        batch = make_batch(9, classes=3)
        loss = with_weights(method, 0.4, 1.0, 1.6).loss(batch)
        clean, adversarial = base.model(batch.images), base.model(batch.images)
        natural = torch.tensor([0.4, 1.0, 1.6])[batch.labels] * cross_entropy(clean, batch.labels)
        assert loss.item() == pytest.approx(natural.mean().item(), rel=1e-5)
        assert kl_divergence(adversarial, clean).max() < 1e-6

    def test_the_divergence_counts_beta_for_every_class(self, prepare: Call, make_batch: Call) -> None:
        """Same attack, same weights: the difference between two betas is the unweighted mean divergence."""
        batch = make_batch(9, classes=3)
        losses, logits = [], list[Tensor]()
        for beta in (0.0, 5.0):
            method = with_weights(prepare(DAFA(beta=beta), classes=3, epoch=WARM + 1), 0.4, 1.0, 1.6)
            method.model.register_forward_hook(lambda _net, _in, out: logits.append(out.detach()))
            losses.append(method.loss(batch))
        clean, adversarial = logits[-2:]
        difference = (losses[1] - losses[0]).item()
        assert difference == pytest.approx(5 * kl_divergence(adversarial, clean).mean().item(), rel=1e-4)

    def test_on_adversarial_training_the_loss_is_a_weighted_mean(self, prepare: Call, make_batch: Call) -> None:
        """Divided by the number of images, not by the sum of their weights."""
        method = with_weights(prepare(DAFAAT(), classes=3, epoch=WARM + 1), 0.4, 1.0, 1.6)
        logits: list[Tensor] = []
        method.model.register_forward_hook(lambda _net, _in, out: logits.append(out.detach()))
        batch = make_batch(7, classes=3, labels=[0, 0, 0, 0, 1, 2, 2])
        loss = method.loss(batch)
        losses = cross_entropy(logits[-1], batch.labels)
        expected = (0.4 * losses[:4].sum() + losses[4] + 1.6 * losses[5:].sum()) / 7
        assert loss.item() == pytest.approx(expected.item())


class TestAsReleased:
    """The released attack on adversarial training, for ablation."""

    def test_it_steps_twice_along_one_gradient_and_never_leaves_the_plain_ball(
        self, prepare: Call, make_batch: Call, make_net: Call
    ) -> None:
        method, batch = prepare(DAFAAT(as_released=True), epoch=WARM + 1), make_batch(24)
        method.exchange.weights[::2] = 1.5
        seen: list[Tensor] = []
        method.model.register_forward_pre_hook(lambda _net, inputs: seen.append(inputs[0].detach()))
        method.loss(batch)
        first, second, attacked = seen[0], seen[1], seen[-1]
        net = make_net().eval().requires_grad_(False)
        point = first.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(cross_entropy(net(point), batch.labels).sum(), point)
        weights = method.exchange.weights[batch.labels].float()
        epsilon, step = method.threat.epsilon, method.threat.step
        own, plain = Ball("Linf", batch.images, epsilon * weights), Ball("Linf", batch.images, epsilon)
        everyone = torch.arange(24)
        once = own.project(first + step * weights.view(-1, 1, 1, 1) * gradient.sign(), everyone)
        torch.testing.assert_close(second, plain.project(once + step * gradient.sign(), everyone), rtol=0, atol=1e-6)
        assert plain.contains(attacked).all()

    def test_the_warm_up_is_the_papers(self, prepare: Call, same_training: Call) -> None:
        assert same_training(*(prepare(DAFAAT(as_released=value), epoch=WARM) for value in (False, True)))
        assert not same_training(*(prepare(DAFAAT(as_released=value), epoch=WARM + 1) for value in (False, True)))

    def test_without_strength_the_default_is_adversarial_training_from_a_gaussian_start(
        self, prepare: Call, make_batch: Call, make_net: Call
    ) -> None:
        method, batch, net = prepare(DAFAAT(strength=0), epoch=WARM + 1), make_batch(), make_net().train()
        noise = torch.Generator().set_state(method.noise.get_state())
        attacked = pgd(net, batch.images, batch.labels, threat=method.threat, generator=noise, start="gaussian")
        assert torch.equal(method.loss(batch), cross_entropy(net(attacked.images), batch.labels).mean())


@pytest.mark.parametrize(("cls", "units"), [(DAFA, 27), (DAFAAT, 23)])
def test_it_costs_what_its_base_costs(
    cls: type[Any], units: int, *, prepare: Call, make_batch: Call, step: Call
) -> None:
    """In the epoch that looks at predictions and afterwards."""
    for epoch in (WARM, WARM + 1):
        method = prepare(cls(), epoch=epoch)
        with PassCounter(method.model) as counter:
            step(method, make_batch(16))
        assert counter.passes.units == units * 16


@both
def test_a_batch_that_is_repeated_changes_nothing(prepare: Call, make_batch: Call, cls: type[Any]) -> None:
    """Means over images, not sums; the batch statistics of two copies are those of one."""
    once, twice = (with_weights(prepare(cls(), epoch=WARM + 1, epsilon=1e-7), *[0.5, 1.5] * 5) for _ in range(2))
    batch = make_batch()
    doubled = replace(batch, images=batch.images.repeat(2, 1, 1, 1), labels=batch.labels.repeat(2))
    torch.testing.assert_close(once.loss(batch), twice.loss(doubled))
