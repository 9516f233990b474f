"""Fair-ARD and Fair-RSLAD: class weights by hand, and the base methods where they are equal."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fairbench.method.contract import Method
from fairbench.training.passes import PassCounter
from fairbench_methods.ard import ARD
from fairbench_methods.fair_ard import Difficulty, FairARD, FairRSLAD, difficulty_weights
from fairbench_methods.rslad import RSLAD
from fixture_types import Call

both = pytest.mark.parametrize("cls", [FairARD, FairRSLAD])


def weights(survived: list[float], *, power: float = 2.0, renormalise: bool = False) -> Tensor:
    kappa = torch.tensor(survived, dtype=torch.float64)
    return difficulty_weights(kappa, power=power, low=5 / 6, high=5 / 2, renormalise=renormalise)


def doubles(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


class TestWeights:
    @pytest.mark.parametrize(
        ("power", "raw", "clipped"),
        [
            (1.0, (0.428572, 0.857144, 1.714284), (0.833333, 0.857144, 1.714284)),
            (2.0, (0.142858, 0.571431, 2.285711), (0.833333, 0.833333, 2.285711)),
        ],
    )
    def test_fixture_f12(self, power: float, raw: tuple[float, ...], clipped: tuple[float, ...]) -> None:
        """Of kappa = (8, 4, 2), before and after the clip."""
        kappa = doubles(8, 4, 2)
        free = difficulty_weights(kappa, power=power, low=0, high=10, renormalise=False)
        torch.testing.assert_close(free, doubles(*raw), rtol=0, atol=1e-6)
        torch.testing.assert_close(weights([8, 4, 2], power=power), doubles(*clipped), rtol=0, atol=1e-6)

    def test_fixture_f13(self) -> None:
        """Ten classes: the hardest reaches the upper bound, and the mean exceeds 1."""
        kappa = [7.5, 8.4, 4, 2.5, 3.5, 4.2, 6, 6.8, 7.9, 7.7]
        expected = doubles(0.8333, 0.8333, 1.3156, 2.5, 1.7183, 1.1933, 0.8333, 0.8333, 0.8333, 0.8333)
        torch.testing.assert_close(weights(kappa), expected, rtol=0, atol=1e-4)
        assert weights(kappa).sum().item() == pytest.approx(11.7273, abs=1e-4)
        again = weights(kappa, renormalise=True)
        torch.testing.assert_close(again, weights(kappa) / 1.17273, rtol=1e-5, atol=0)

    @pytest.mark.parametrize("kappa", [0.0, 10.0])
    @pytest.mark.parametrize("power", [0.0, 2.0, 50.0])
    def test_equal_classes_weigh_the_same(self, kappa: float, power: float) -> None:
        """Also if none survives a step, where the released Fair-RSLAD divides by zero."""
        torch.testing.assert_close(weights([kappa] * 4, power=power), torch.ones(4, dtype=torch.float64))

    def test_a_class_that_survives_nothing_gets_the_largest_weight(self) -> None:
        torch.testing.assert_close(weights([0.0, 5.0, 5.0]), doubles(5 / 2, 5 / 6, 5 / 6))

    @given(st.lists(st.floats(0, 10), min_size=2, max_size=12), st.floats(0, 50))
    def test_fewer_steps_never_weigh_less(self, kappa: list[float], power: float) -> None:
        found = weights(kappa, power=power)
        assert ((found >= 5 / 6 - 1e-12) & (found <= 5 / 2 + 1e-12)).all()
        ordered = found[torch.tensor(kappa, dtype=torch.float64).argsort()]
        assert (ordered.diff() <= 1e-12).all()
        assert weights(kappa, power=power, renormalise=True).mean().item() == pytest.approx(1)

    def test_a_class_without_images_keeps_its_weight(self) -> None:
        """And the others are normalised among themselves."""
        difficulty = Difficulty(4)
        difficulty.weights.copy_(doubles(1, 1.5, 1, 1))
        difficulty.add(torch.tensor([0, 2, 3]), torch.tensor([8, 4, 2]))
        logged = difficulty.end_epoch(power=2.0, low=5 / 6, high=5 / 2, renormalise=False)
        torch.testing.assert_close(difficulty.weights, doubles(0.833333, 1.5, 0.833333, 2.285711), rtol=0, atol=1e-6)
        assert logged == {"weight": difficulty.weights.tolist(), "survived_steps": [8, 0, 4, 2]}

    @pytest.mark.parametrize("renormalise", [False, True])
    def test_an_epoch_without_images_changes_nothing(self, renormalise: bool) -> None:
        difficulty = Difficulty(2)
        difficulty.weights.copy_(doubles(0.9, 1.3))
        difficulty.end_epoch(power=2.0, low=5 / 6, high=5 / 2, renormalise=renormalise)
        assert torch.equal(difficulty.weights, doubles(0.9, 1.3))

    def test_many_images_do_not_make_a_class_easy(self) -> None:
        """Class means; the released code divides sums by the size of an average class."""
        difficulty = Difficulty(2)
        difficulty.add(torch.tensor([0] * 9 + [1]), torch.tensor([2] * 9 + [8]))
        difficulty.end_epoch(power=1.0, low=5 / 6, high=5 / 2, renormalise=False)
        torch.testing.assert_close(difficulty.weights, doubles(1.6, 5 / 6), rtol=0, atol=1e-5)

    def test_an_epoch_forgets_the_one_before(self) -> None:
        difficulty = Difficulty(2)
        for survived in ([2, 8], [5, 5]):
            difficulty.add(torch.tensor([0, 1]), torch.tensor(survived))
            difficulty.end_epoch(power=2.0, low=5 / 6, high=5 / 2, renormalise=False)
        torch.testing.assert_close(difficulty.weights, doubles(1, 1))


class TestIdentities:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"soft_share": 0.4, "temperature": 4.0},
            {"attack_bn": "train"},
            {"clean_forward": True},
            {"lr_bug": True},
        ],
        ids=str,
    )
    def test_power_zero_is_ard_bit_for_bit(self, prepare: Call, same_training: Call, options: dict[str, Any]) -> None:
        """I18, before and after weights were computed."""
        fair, base = prepare(FairARD(power=0.0, **options)), prepare(ARD(**options))
        assert fair.setup.recipe == base.setup.recipe
        assert same_training(fair, base)
        fair.end_epoch(0)
        assert same_training(fair, base)

    def test_power_zero_is_rslad_bit_for_bit(self, prepare: Call, same_training: Call) -> None:
        """I18, before and after weights were computed."""
        fair, base = prepare(FairRSLAD(power=0.0)), prepare(RSLAD())
        assert same_training(fair, base)
        fair.end_epoch(0)
        assert same_training(fair, base)

    @pytest.mark.parametrize(("cls", "base"), [(FairARD, ARD), (FairRSLAD, RSLAD)])
    def test_the_first_epoch_is_the_base_and_the_second_is_not(
        self, prepare: Call, same_training: Call, cls: type[Method], base: type[Method]
    ) -> None:
        fair, plain = prepare(cls()), prepare(base())
        assert same_training(fair, plain)
        fair.end_epoch(0)
        assert not same_training(fair, plain)


@both
class TestTraining:
    def test_weights_multiply_every_term_of_an_image(self, prepare: Call, make_batch: Call, cls: type[Any]) -> None:
        """Doubled for all classes, the loss is doubled; doubled for one class, only its images are."""
        options = {"soft_share": 0.5} if cls is FairARD else {}
        labels = [0, 0, 0, 1, 1, 1]

        def loss(*class_weights: float) -> float:
            method = prepare(cls(**options), classes=2)
            method.difficulty.weights.copy_(doubles(*class_weights))
            value: float = method.loss(make_batch(6, classes=2, labels=labels)).item()
            return value

        assert loss(2, 2) == pytest.approx(2 * loss(1, 1), rel=1e-5)
        assert loss(2, 1) + loss(1, 2) == pytest.approx(3 * loss(1, 1), rel=1e-5)
        assert abs(loss(2, 1) - loss(1, 2)) > 1e-4

    @pytest.mark.parametrize(("bias", "steps"), [(50.0, 10.0), (-50.0, 0.0)], ids=["always right", "always wrong"])
    def test_steps_are_counted_along_the_training_attack(
        self, prepare: Call, make_batch: Call, cls: type[Any], bias: float, steps: float
    ) -> None:
        """The start counts, the last iterate does not: 10 of 10 steps survived, or none."""
        method = prepare(cls(), classes=3)
        method.model.head.bias.data.copy_(torch.tensor([0.0, bias, 0.0]))
        method.loss(make_batch(5, classes=3, labels=[1] * 5))
        logged = method.end_epoch(0)
        assert logged["survived_steps"] == [0, steps, 0]
        assert all(math.isfinite(value) for value in logged["weight"])

    def test_the_class_that_gives_in_counts_more(self, prepare: Call, make_batch: Call, cls: type[Any]) -> None:
        method = prepare(cls(), classes=2)
        method.model.head.bias.data.copy_(torch.tensor([50.0, 0.0]))  # class 1 fails
        method.loss(make_batch(8, classes=2, labels=[0, 1] * 4))
        assert method.end_epoch(0)["weight"] == pytest.approx([5 / 6, 2])

    def test_options_reach_the_weights(self, prepare: Call, make_batch: Call, cls: type[Any]) -> None:
        method = prepare(cls(power=1.0, low=0.5, high=1.5, renorm_after_clip=True), classes=2)
        method.model.head.bias.data.copy_(torch.tensor([50.0, 0.0]))
        method.loss(make_batch(8, classes=2, labels=[0, 1] * 4))
        assert method.end_epoch(0)["weight"] == pytest.approx([0.5, 1.5])

    def test_weights_survive_a_kill(self, prepare: Call, cls: type[Any]) -> None:
        method, resumed = prepare(cls(), classes=3), prepare(cls(), classes=3)
        method.difficulty.add(torch.tensor([0, 1, 2]), torch.tensor([8, 4, 2]))
        method.end_epoch(0)
        resumed.load_state_dict(method.state_dict())
        assert torch.equal(resumed.difficulty.weights, method.difficulty.weights)
        assert resumed.difficulty.weights is not method.difficulty.weights

    def test_a_teacher_is_needed(self, cls: type[Any]) -> None:
        (need,) = cls().prerequisites()
        assert (need.role, need.method) == ("teacher", "trades")


@pytest.mark.parametrize(("method", "units"), [(FairARD(), 23), (FairARD(soft_share=0.5), 26), (FairRSLAD(), 26)])
def test_cost(prepare: Call, make_batch: Call, step: Call, method: Any, units: int) -> None:
    """That of the base: counting steps is free."""
    prepare(method)
    with PassCounter(method.model) as student, PassCounter(method.setup.prerequisites["teacher"]) as teacher:
        step(method, make_batch(16))
    assert student.passes.units == units * 16
    assert teacher.passes.units == 16
