"""FAAL: its base where the mixture is uniform, its weights by hand, its short stage."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import NonlinearConstraint, minimize
from scipy.special import softmax
from torch import Tensor

from fairbench import load_suite
from fairbench.method.losses import cross_entropy
from fairbench.training.passes import PassCounter
from fairbench_methods import faal as faal_module
from fairbench_methods.awp import ATAWP, TRADESAWP
from fairbench_methods.faal import FAAL, worst_mixture
from fairbench_methods.parts.base_loss import BaseLoss
from fairbench_methods.parts.trades_halves import boundary_attack
from fairbench_methods.parts.weight_perturbation import adversarial_moves
from fairbench_methods.pgd_at import PGDAT
from fairbench_methods.trades import TRADES
from fixture_types import Call

BY_HAND = (0.2, -0.1, -0.4, -0.6)
"""Scores of four classes."""

briefly = settings(max_examples=40, deadline=None)

radii = st.floats(1e-3, 2)
several_scores = st.lists(st.integers(-1000, 1000).map(lambda n: n / 1000), min_size=2, max_size=12)
unequal_scores = several_scores.filter(lambda scores: len(set(scores)) > 1)

each_base = pytest.mark.parametrize("base", ["pgd-at", "trades", "mart", "at-awp", "trades-awp"])


def doubles(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def divergence(mixture: Tensor) -> float:
    """KL(u || q)."""
    return float(-(len(mixture) * mixture).log().mean())


def logits_of(*probabilities: tuple[float, ...]) -> Tensor:
    return torch.tensor(probabilities).log()


class TestIdentities:
    @pytest.mark.parametrize(
        ("base", "same"),
        [
            ("pgd-at", PGDAT()),
            ("trades", TRADES(beta=6.0)),
            ("at-awp", ATAWP(gamma=0.005)),
            ("trades-awp", TRADESAWP(gamma=0.005, start_frac=0.0)),
        ],
    )
    @pytest.mark.parametrize("score", ["sum", "mean"])
    def test_radius_zero_is_the_base_bit_for_bit(
        self, prepare: Call, same_training: Call, base: str, same: Any, score: str
    ) -> None:
        """I25, whichever classes are present: parameters, batch norm and noise."""
        recipe = replace(load_suite("cifar10").recipe, epochs=2)
        ours, theirs = prepare(FAAL(base=base, kl_radius=0.0, score=score)), prepare(same, recipe=recipe)
        assert same_training(ours, theirs)
        assert not same_training(prepare(FAAL(base=base, score=score)), prepare(same, recipe=recipe))

    def test_radius_zero_is_mart_on_the_attack_of_trades(self, prepare: Call, make_batch: Call) -> None:
        ours, base = (prepare(FAAL(base="mart", kl_radius=0.0)) for _ in range(2))
        batch = make_batch()
        attacked = boundary_attack(base.model, batch.images, batch.labels, threat=base.threat, generator=base.noise)
        mart = BaseLoss(name="mart", weight=6.0)
        expected = mart.losses(base.model, batch.images, attacked.images, batch.labels)[0].mean()
        assert torch.equal(ours.loss(batch), expected)
        assert torch.equal(ours.noise.get_state(), base.noise.get_state())


class TestWeights:
    def test_by_hand(self, prepare: Call) -> None:
        """Margins of the attacked prediction, summed by class, and C q_y for the three classes that are present."""
        method = prepare(FAAL(kl_radius=0.1), classes=4)
        logits = logits_of((0.2, 0.7, 0.05, 0.05), (0.6, 0.2, 0.1, 0.1), (0.1, 0.1, 0.7, 0.1), (0.5, 0.4, 0.05, 0.05))
        labels = torch.tensor([0, 0, 2, 1])
        mixture = worst_mixture(doubles(0.5 - 0.4, 0.1, -0.6), radius=0.1)
        weights = method.image_weights(logits, labels)
        torch.testing.assert_close(weights, 3 * mixture[[0, 0, 2, 1]].float())

    @pytest.mark.parametrize(("score", "harder"), [("sum", 0), ("mean", 1)])
    def test_a_frequent_class_sums_more(self, prepare: Call, score: str, harder: int) -> None:
        """Four images at 0.2 exceed one at 0.6 as a sum (the code), not as a mean."""
        method = prepare(FAAL(score=score), classes=2)
        logits = logits_of(*[(0.4, 0.6)] * 4, (0.8, 0.2))
        weights = method.image_weights(logits, torch.tensor([0, 0, 0, 0, 1]))
        assert (weights[0] > weights[4]) == (harder == 0)

    def test_absent_classes_absorb_no_weight(self, prepare: Call) -> None:
        """In the released code they score 0, which beats every well classified class."""
        method = prepare(FAAL(), classes=100)
        labels = torch.arange(5)
        logits = torch.zeros(5, 100).scatter(1, labels[:, None], torch.tensor([[9.0], [9.0], [9.0], [9.0], [8.0]]))
        weights = method.image_weights(logits, labels)
        assert weights.mean().item() == pytest.approx(1)
        assert weights.argmax() == 4

    def test_a_single_class_counts_as_in_the_base(self, prepare: Call) -> None:
        weights = prepare(FAAL()).image_weights(torch.randn(3, 10), torch.tensor([7, 7, 7]))
        assert torch.equal(weights, torch.ones(3))

    @each_base
    def test_they_multiply_the_losses_and_take_no_gradient(self, prepare: Call, make_batch: Call, base: str) -> None:
        """Divided by the number of images, whatever the sizes of the classes."""
        ours, by_hand = (prepare(FAAL(base=base), classes=3) for _ in range(2))
        batch = make_batch(9, classes=3, labels=[0, 0, 0, 0, 0, 1, 1, 2, 2])
        attacked = by_hand._attack(batch)
        losses, logits = by_hand._base.losses(by_hand.model, batch.images, attacked, batch.labels)
        weights = by_hand.image_weights(logits.detach(), batch.labels)
        assert weights.std() > 0.1
        pairs = [(ours, ours.loss(batch)), (by_hand, (weights.detach() * losses).sum() / 9)]
        torch.testing.assert_close(pairs[0][1], pairs[1][1])
        first, second = (torch.autograd.grad(loss, list(m.model.parameters())) for m, loss in pairs)
        for one, other in zip(first, second, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)

    def test_the_worse_class_counts_more(self, prepare: Call, make_batch: Call) -> None:
        method = prepare(FAAL(), classes=2)
        method.model.head.bias.data.copy_(torch.tensor([50.0, 0.0]))  # class 1 fails
        method.loss(make_batch(8, classes=2, labels=[0, 1] * 4))
        easy, hard = method.end_epoch(0)["weight"]
        assert easy < 1 < hard

    def test_history(self, prepare: Call, make_batch: Call) -> None:
        """Mean weight of a class's images and in how many batches it was; one epoch knows nothing of another."""
        method = prepare(FAAL(kl_radius=0.0), classes=3)
        for labels in ([0, 0, 1], [0], [0, 0, 0], [0, 1]):
            method.loss(make_batch(len(labels), classes=3, labels=labels))
        assert method.end_epoch(0) == {"weight": [1.0, 1.0, 0.0], "presence": [1.0, 0.5, 0.0]}
        assert method.end_epoch(1) == {"weight": [0.0] * 3, "presence": [0.0] * 3}
        assert method.state_dict() == {}


class TestPerturbation:
    @pytest.mark.parametrize(("base", "unmoved"), [("at-awp", "pgd-at"), ("trades-awp", "trades")])
    def test_weights_move_by_the_unweighted_loss(
        self, prepare: Call, make_batch: Call, step: Call, monkeypatch: pytest.MonkeyPatch, base: str, unmoved: str
    ) -> None:
        """The mixture does not reach the move, and gamma is 0.005 on either base."""
        moves: list[dict[str, Tensor]] = []

        def spy(*args: Any, **settings: Any) -> dict[str, Tensor]:
            moves.append(adversarial_moves(*args, **settings))
            return moves[-1]

        monkeypatch.setattr(faal_module, "adversarial_moves", spy)
        batch = make_batch(16)
        step(prepare(FAAL(base=unmoved)), batch)
        assert moves == []
        for radius in (0.0, 0.5):
            method = prepare(FAAL(base=base, kl_radius=radius))
            lengths = {name: p.detach().norm() for name, p in method.model.named_parameters()}
            step(method, batch)
            for name, move in moves[-1].items():
                torch.testing.assert_close(move.norm(), 0.005 * lengths[name])
        assert moves[0].keys() == moves[1].keys()
        assert all(torch.equal(move, moves[1][name]) for name, move in moves[0].items())

    def test_margins_are_those_of_the_moved_weights(self, prepare: Call, make_batch: Call, step: Call) -> None:
        """One train-mode forward gives the loss and its weights."""
        method, batch = prepare(FAAL(base="at-awp")), make_batch(16)
        logits: list[Tensor] = []
        method.model.register_forward_hook(lambda net, _in, out: logits.append(out.detach()) if net.training else None)
        loss = step(method, batch)
        at_rest, moved_to = logits
        assert not torch.equal(at_rest, moved_to)
        weights = method.image_weights(moved_to, batch.labels)
        torch.testing.assert_close(loss, (weights * cross_entropy(moved_to, batch.labels)).mean())


class TestStage:
    @pytest.mark.parametrize(("epochs", "stage"), [(110, 2), (200, 4), (40, 2), (3, 2), (1, 2), (500, 9)])
    def test_fine_tuning_is_short_and_slow(self, epochs: int, stage: int) -> None:
        """Two epochs of the released 110, the second at a hundredth of the peak rate."""
        base = replace(load_suite("digits").recipe, epochs=epochs, averaging="ema")
        recipe = FAAL().recipe(base)
        assert (recipe.epochs, recipe.schedule, recipe.drops, recipe.drop_factor) == (stage, "steps", (0.5,), 0.1)
        assert recipe.learning_rate == pytest.approx(0.1 * base.learning_rate)
        assert recipe.averaging == "ema"

    def test_its_length_is_a_share_of_the_base_training(self) -> None:
        recipe = replace(load_suite("cifar10").recipe, epochs=200)
        assert FAAL(finetune_frac=0.1).recipe(recipe).epochs == 20

    @pytest.mark.parametrize("hot_start", ["pgd-at", "trades", "mart", "at-awp", "trades-awp"])
    def test_it_fine_tunes_another_run(self, hot_start: str) -> None:
        (need,) = FAAL(hot_start=hot_start, base="trades").prerequisites()
        assert (need.role, need.method) == ("hot start", hot_start)

    def test_from_scratch_the_recipe_is_the_suites(self) -> None:
        recipe = load_suite("cifar10").recipe
        method = FAAL(hot_start="none")
        assert method.prerequisites() == ()
        assert method.recipe(recipe) == recipe


@pytest.mark.parametrize(
    ("base", "units"), [("pgd-at", 23), ("trades", 27), ("mart", 27), ("at-awp", 26), ("trades-awp", 33)]
)
def test_it_costs_what_its_base_costs(base: str, units: int, *, prepare: Call, make_batch: Call, step: Call) -> None:
    """No clean forward beyond the base's; the mixture needs no network. MART pays for TRADES' attack."""
    method = prepare(FAAL(base=base))
    with PassCounter(method.model) as counter:
        step(method, make_batch(16))
    assert counter.passes.units == units * 16


class TestWorstMixture:
    """By hand, by its properties, and against a general solver."""

    @pytest.mark.parametrize(
        ("radius", "expected", "nu"),
        [
            (0.1, (0.442481, 0.245926, 0.170284, 0.141308), 0.575356),
            (0.5, (0.710034, 0.145894, 0.081300, 0.062772), 0.277584),
        ],
    )
    def test_fixture_f18(self, radius: float, expected: tuple[float, ...], nu: float) -> None:
        scores, mixture = doubles(*BY_HAND), worst_mixture(doubles(*BY_HAND), radius=radius)
        torch.testing.assert_close(mixture, doubles(*expected), rtol=0, atol=1e-6)
        # q_c (nu - a_c) is the same Z for every class
        found = (mixture[0] * scores[0] - mixture[1:] * scores[1:]) / (mixture[0] - mixture[1:])
        torch.testing.assert_close(found, torch.full_like(found, nu), rtol=0, atol=1e-6)

    @pytest.mark.parametrize(("radius", "largest"), [(0.1, 0.282), (0.5, 0.575), (1.0, 0.764)])
    def test_fixture_f19(self, radius: float, largest: float) -> None:
        """What one class of ten can receive at most."""
        mixture = worst_mixture(torch.eye(10)[3], radius=radius)
        assert mixture[3].item() == pytest.approx(largest, abs=5e-4)
        assert mixture.argmax() == 3

    @briefly
    @given(several_scores)
    def test_radius_zero_is_the_uniform_mixture(self, scores: list[float]) -> None:
        mixture = worst_mixture(doubles(*scores), radius=0.0)
        assert torch.equal(mixture, torch.full_like(mixture, 1 / len(scores)))

    @briefly
    @given(st.integers(1, 100), st.floats(-1, 1), radii)
    def test_equal_scores_are_the_uniform_mixture(self, classes: int, score: float, radius: float) -> None:
        mixture = worst_mixture(torch.full((classes,), score, dtype=torch.float64), radius=radius)
        torch.testing.assert_close(mixture, torch.full_like(mixture, 1 / classes))

    @briefly
    @given(unequal_scores, radii)
    def test_it_is_a_mixture_on_the_border_of_the_ball(self, scores: list[float], radius: float) -> None:
        mixture = worst_mixture(doubles(*scores), radius=radius)
        assert mixture.min() > 0
        assert mixture.sum().item() == pytest.approx(1)
        assert divergence(mixture) == pytest.approx(radius, rel=1e-6)

    @briefly
    @given(several_scores, radii)
    def test_a_higher_score_gets_a_higher_share(self, scores: list[float], radius: float) -> None:
        values = doubles(*scores)
        mixture = worst_mixture(values, radius=radius)
        assert (mixture[values.argsort()].diff() >= -1e-12).all()
        assert ((values[:, None] > values) <= (mixture[:, None] > mixture)).all()
        assert ((values[:, None] == values) <= torch.isclose(mixture[:, None], mixture)).all()

    @briefly
    @given(unequal_scores, radii, st.floats(-10, 10), st.floats(1e-3, 1e3))
    def test_shift_and_scale_of_the_scores_do_not_matter(
        self, scores: list[float], radius: float, shift: float, scale: float
    ) -> None:
        values = doubles(*scores)
        expected = worst_mixture(values, radius=radius)
        torch.testing.assert_close(worst_mixture(scale * values + shift, radius=radius), expected, rtol=1e-6, atol=1e-9)

    @briefly
    @given(unequal_scores, st.just(0.0) | st.floats(1e-12, 1), st.just(0.0) | st.floats(1e-12, 1))
    def test_a_larger_ball_is_worse(self, scores: list[float], first: float, second: float) -> None:
        values = doubles(*scores)
        small, large = (worst_mixture(values, radius=r) @ values for r in sorted((first, second)))
        assert small <= large + 1e-9

    @pytest.mark.parametrize("classes", [2, 3, 10])
    @pytest.mark.parametrize("radius", [0.1, 0.5, 1.0])
    @pytest.mark.parametrize("seed", [0, 1])
    def test_a_general_solver_finds_the_same(self, classes: int, radius: float, seed: int) -> None:
        """The program as stated, by sequential quadratic programming over the logarithms of the shares."""
        scores = torch.randn(classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        ball = NonlinearConstraint(lambda x: -np.log(classes * softmax(x)).mean(), -np.inf, radius)
        found = minimize(
            lambda x: -softmax(x) @ scores.numpy(), x0=np.zeros(classes), constraints=[ball], method="SLSQP", tol=1e-12
        )
        # Whether it reports success depends on its version: at this tolerance the last line search may find nothing
        # better.
        mixture = worst_mixture(scores, radius=radius)
        assert -found.fun == pytest.approx(float(mixture @ scores), abs=1e-8)
        torch.testing.assert_close(mixture, torch.from_numpy(softmax(found.x)), rtol=0, atol=1e-5)

    @briefly
    @given(unequal_scores, radii, st.data())
    def test_absent_classes_take_no_part(self, scores: list[float], radius: float, data: st.DataObject) -> None:
        """The mixture of the others is as if the absent ones did not exist, whatever their score."""
        present = torch.tensor(
            data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)).filter(any))
        )
        values = doubles(*scores).masked_fill(~present, data.draw(st.sampled_from([-1e6, 0.0, 1e6, torch.nan])))
        mixture = worst_mixture(values, radius=radius, present=present)
        assert not mixture[~present].any()
        torch.testing.assert_close(mixture[present], worst_mixture(doubles(*scores)[present], radius=radius))

    @pytest.mark.parametrize("classes", [100, 1000])
    @pytest.mark.parametrize("radius", [1e-9, 0.5, 20.0])
    def test_many_classes_and_extreme_radii(self, classes: int, radius: float) -> None:
        """log(nu - max a) then goes down to -20000, where nu itself equals max a in floating point."""
        scores = torch.randn(classes, generator=torch.Generator().manual_seed(0))
        mixture = worst_mixture(scores, radius=radius)
        assert mixture.isfinite().all()
        assert mixture.sum().item() == pytest.approx(1)
        assert divergence(mixture) == pytest.approx(radius, rel=1e-3)
        assert mixture.argmax() == scores.argmax()

    def test_no_gradient_flows_through_it(self) -> None:
        scores = doubles(*BY_HAND).requires_grad_(True)
        assert not worst_mixture(scores, radius=0.5).requires_grad
