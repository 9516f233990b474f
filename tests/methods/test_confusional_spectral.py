"""Confusional spectral regularisation: prices and counts by hand, and TRADES where nothing is priced."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fairbench import load_suite
from fairbench.method.contract import Validation
from fairbench.method.losses import cross_entropy, kl_divergence
from fairbench.training.passes import PassCounter
from fairbench_methods.confusional_spectral import ConfusionalSpectral, spectral_prices
from fairbench_methods.parts.trades_halves import boundary_attack
from fairbench_methods.trades import TRADES
from fixture_types import Call

NOTHING = Validation(statistics=None, batches=lambda: iter(()))

confusions = st.integers(2, 6).flatmap(
    lambda classes: st.lists(
        st.lists(st.integers(0, 50), min_size=classes, max_size=classes), min_size=classes, max_size=classes
    )
)


def doubles(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


class TestPrices:
    def test_by_hand(self) -> None:
        """Singular values 4 and 3; the larger one is the four images of class 0 that are predicted as 1."""
        torch.testing.assert_close(spectral_prices(doubles((0, 3), (4, 0))), doubles((0.01, 0.01), (2.01, 0.01)))

    @pytest.mark.parametrize("counts", [torch.zeros(3, 3), torch.ones(4, 4)], ids=["no errors", "all alike"])
    def test_nothing_to_tell_apart_costs_the_same(self, counts: Tensor) -> None:
        assert torch.equal(spectral_prices(counts), torch.ones_like(counts, dtype=torch.float64))

    @given(confusions)
    def test_they_are_positive_and_blind_to_scale(self, rows: list[list[int]]) -> None:
        counts = torch.tensor(rows).fill_diagonal_(0)
        prices = spectral_prices(counts)
        assert prices.isfinite().all()
        assert prices.min() > 0
        assert prices.max() <= 2.01 + 1e-9
        gap = torch.linalg.svdvals(counts.double())[:2].diff().abs()
        if float(gap) > 1e-3:  # two equal singular values have no first vector
            torch.testing.assert_close(prices, spectral_prices(3 * counts), rtol=1e-6, atol=1e-6)

    def test_the_singular_vectors_may_point_either_way(self) -> None:
        """Exchanging their signs exchanges none of their product."""
        counts = doubles((0, 5, 1), (2, 0, 7), (4, 1, 0))
        left, _, right = torch.linalg.svd(counts)
        product = torch.outer(-left[:, 0], -right[0])
        expected = 2 * (product - product.min()) / (product.max() - product.min()) + 0.01
        torch.testing.assert_close(spectral_prices(counts), expected)


class TestCounts:
    def test_errors_by_prediction_and_class(self, prepare: Call) -> None:
        """The factor turns a narrow hit into an error, and leaves correct predictions out."""
        method = prepare(ConfusionalSpectral(matrix="running"), classes=3)
        logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 0.95], [3.0, 1.0, 0.0], [3.0, 1.0, 0.0]])
        method.count(logits, torch.tensor([0, 1, 2, 2]))
        assert torch.equal(method._confusion, doubles((0, 0, 2), (0, 0, 0), (0, 1, 0)))

    def test_a_negative_true_logit_rises(self, prepare: Call) -> None:
        """As released: -1.0 becomes -0.9 and wins."""
        method = prepare(ConfusionalSpectral(matrix="running"), classes=2)
        method.count(torch.tensor([[-1.0, -0.95]]), torch.tensor([0]))
        assert not method._confusion.any()

    def test_every_epoch_counts_anew(self, prepare: Call) -> None:
        """Of the model as it is, with noise of the method's own: the training's attacks do not notice."""
        method = prepare(ConfusionalSpectral())
        first, noise = method.prices.clone(), method.noise.get_state()
        assert first.unique().numel() > 1
        method.model.head.bias.data.add_(torch.linspace(0, 3, 10))
        method.begin_epoch(1, NOTHING)
        assert not torch.equal(method.prices, first)
        assert not method._confusion.any()
        assert torch.equal(method.noise.get_state(), noise)

    def test_running_takes_the_attacks_of_the_last_epoch(self, prepare: Call, make_batch: Call, step: Call) -> None:
        method = prepare(ConfusionalSpectral(matrix="running"))
        assert torch.equal(method.prices, torch.ones(10, 10, dtype=torch.float64))
        step(method, make_batch(32))
        counted = method._confusion.clone()
        assert method.end_epoch(0)["error_price"] == [1.0] * 10  # of the epoch that ends
        assert counted.any()
        assert torch.equal(method.prices, spectral_prices(counted))
        method.begin_epoch(1, NOTHING)
        assert torch.equal(method.prices, spectral_prices(counted))


class TestLoss:
    @pytest.mark.parametrize("matrix", ["pass", "running"])
    def test_without_a_priced_term_it_is_trades(self, prepare: Call, same_training: Call, matrix: str) -> None:
        """Bit for bit, whatever the pass over the training split draws."""
        recipe = load_suite("cifar10").recipe
        ours = ConfusionalSpectral(clean_weight=1.0, spectral_weight=0.0, matrix=matrix)
        assert same_training(prepare(ours, recipe=recipe), prepare(TRADES(), recipe=ours.recipe(recipe)))
        assert not same_training(prepare(ConfusionalSpectral()), prepare(TRADES()))

    def test_by_hand(self, prepare: Call, make_batch: Call) -> None:
        ours, by_hand = (prepare(ConfusionalSpectral(beta=2.0)) for _ in range(2))
        batch, model = make_batch(), by_hand.model
        attacked = boundary_attack(
            model, batch.images, batch.labels, threat=by_hand.threat, generator=by_hand.noise
        ).images
        clean, adversarial = model(batch.images), model(attacked)
        prices = ours.prices[adversarial.argmax(dim=1), batch.labels].float()
        log_p = adversarial.log_softmax(dim=1).gather(1, batch.labels[:, None]).squeeze(1)
        priced = prices * (prices.log() - log_p)
        losses = 0.7 * cross_entropy(clean, batch.labels) + 2 * kl_divergence(adversarial, clean) + 0.3 * priced
        torch.testing.assert_close(ours.loss(batch), losses.mean())

    def test_a_pricier_error_weighs_more(self, prepare: Call, make_batch: Call) -> None:
        """And G takes no gradient: the loss is linear in it, up to a constant."""
        batch, gradients = make_batch(1, labels=[3]), []
        for price in (0.5, 1.0, 1.5):
            method = prepare(ConfusionalSpectral(clean_weight=0.0, beta=0.0))
            method.prices.fill_(price)
            (gradient,) = torch.autograd.grad(method.loss(batch), [method.model.head.weight])
            gradients.append(gradient)
        torch.testing.assert_close(gradients[0] + gradients[2], 2 * gradients[1])


class TestStage:
    @pytest.mark.parametrize(("epochs", "stage"), [(100, 2), (110, 2), (200, 4), (40, 1), (1, 1)])
    def test_fine_tuning_is_short_and_slow(self, epochs: int, stage: int) -> None:
        base = replace(load_suite("digits").recipe, epochs=epochs, averaging="ema")
        recipe = ConfusionalSpectral().recipe(base)
        assert (recipe.epochs, recipe.schedule, recipe.drops) == (stage, "steps", ())
        assert recipe.learning_rate == pytest.approx(0.01 * base.learning_rate)
        assert recipe.averaging == "ema"

    @pytest.mark.parametrize("hot_start", ["trades", "trades-awp"])
    def test_it_fine_tunes_another_run(self, hot_start: str) -> None:
        (need,) = ConfusionalSpectral(hot_start=hot_start).prerequisites()
        assert (need.role, need.method) == ("hot start", hot_start)

    def test_from_scratch_the_recipe_is_the_suites(self) -> None:
        recipe = load_suite("cifar10").recipe
        method = ConfusionalSpectral(hot_start="none")
        assert method.prerequisites() == ()
        assert method.recipe(recipe) == recipe

    @pytest.mark.parametrize(("matrix", "units"), [("pass", 21), ("running", 0)])
    def test_it_costs_trades_and_a_pass(
        self, prepare: Call, make_batch: Call, step: Call, matrix: str, units: int
    ) -> None:
        method = prepare(ConfusionalSpectral(matrix=matrix))
        with PassCounter(method.model) as counter:
            step(method, make_batch(16))
        assert counter.passes.units == 27 * 16
        with PassCounter(method.model) as counter:
            method.begin_epoch(1, NOTHING)
        assert counter.passes.units == units * 20
