"""CFA: radii, regularisation and gate by hand; PGD-AT and TRADES where classes do not differ."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor, nn

from fairbench import load_suite
from fairbench.attacks import Ball
from fairbench.data.loading import load_dataset
from fairbench.execution.plan import Planner
from fairbench.method.contract import Batch, Method, Setup, Validation
from fairbench.method.losses import cross_entropy, kl_divergence
from fairbench.outcomes.work_folder import WorkFolder
from fairbench.protocol.recipe import Recipe
from fairbench.protocol.threat import Threat
from fairbench.training.averaging import WeightAverage
from fairbench.training.loop import train as real_training
from fairbench.training.passes import PGD_AT_UNITS, PassCounter
from fairbench_methods import cfa as cfa_module
from fairbench_methods.cfa import CFAAT, CFATRADES, ClassCalibration
from fairbench_methods.parts import trades_halves
from fairbench_methods.parts.fawa import worst_class_accuracy
from fairbench_methods.parts.rate_scaling import scaled_decay
from fairbench_methods.parts.trades_halves import boundary_attack
from fairbench_methods.pgd_at import PGDAT
from fairbench_methods.trades import TRADES
from fixture_types import Call

LATE = 50
"""An epoch of 100 in which classes differ."""

both = pytest.mark.parametrize("cls", [CFAAT, CFATRADES])


def doubles(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def split(*batches: Batch) -> Validation:
    return Validation(statistics=None, batches=lambda: iter(batches))


def memory_of(classes: int, *, epoch: int = LATE) -> ClassCalibration:
    """Of a method in an epoch of 100."""
    setup = Setup(
        model=nn.Identity(),
        threat=Threat(epsilon=8 / 255, step=2 / 255, steps=10),
        recipe=Recipe(epochs=100, schedule="one-cycle"),
        classes=classes,
        class_counts=torch.ones(classes),
        noise=torch.Generator(),
        generator=torch.Generator(),
        prerequisites={},
        device=torch.device("cpu"),
    )
    memory = ClassCalibration(setup, calibration_frac=0.05)
    memory.begin_epoch(epoch)
    return memory


def calibrated(method: Any, *accuracies: float) -> Any:
    """The method with given t_c."""
    method.classwise.accuracy.copy_(doubles(*accuracies))
    return method


class TestCalibration:
    def test_fixture_f16(self, prepare: Call, make_batch: Call, monkeypatch: pytest.MonkeyPatch) -> None:
        """For t = 0.3, radius 6.4/255; beta 4.8, weights 0.172414 and 0.827586."""
        at = calibrated(prepare(CFAAT(lambda1=0.5), epoch=LATE), *[0.3] * 10)
        torch.testing.assert_close(at.radii(), torch.full((10,), 6.4 / 255, dtype=torch.float64))
        trades = calibrated(prepare(CFATRADES(beta=6.0, lambda2=0.5), epoch=LATE), *[0.3] * 10)
        torch.testing.assert_close(trades.betas(), torch.full((10,), 4.8, dtype=torch.float64))
        for natural, boundary, weight in ((1.0, 0.0, 0.172414), (0.0, 1.0, 0.827586)):
            monkeypatch.setattr(trades_halves, "cross_entropy", lambda z, _y, v=natural: z.sum(dim=1) * 0 + v)
            monkeypatch.setattr(trades_halves, "kl_divergence", lambda z, _r, v=boundary: z.sum(dim=1) * 0 + v)
            assert trades.loss(make_batch()).item() == pytest.approx(weight, abs=1e-6)

    def test_it_is_the_share_of_each_class_over_its_own_count(self) -> None:
        """The released code divides by N / C, which halves a rare class."""
        memory = memory_of(3)
        memory.add(torch.tensor([0, 0, 0, 0, 1]), torch.eye(3)[[0, 0, 0, 2, 1]])
        memory.add(torch.tensor([1, 1]), torch.eye(3)[[0, 2]])
        assert memory.accuracy.tolist() == [0, 0, 0]  # of the previous epoch, there was none
        memory.end_epoch()
        torch.testing.assert_close(memory.accuracy, doubles(3 / 4, 1 / 3, 0))

    def test_an_absent_class_keeps_what_it_had_and_epochs_do_not_mix(self) -> None:
        memory = memory_of(2)
        memory.add(torch.tensor([0, 1]), torch.eye(2))
        memory.end_epoch()
        memory.add(torch.tensor([0, 0]), torch.eye(2))
        memory.end_epoch()
        assert memory.accuracy.tolist() == [0.5, 1.0]

    @given(st.lists(st.floats(0, 1), min_size=2, max_size=10), st.floats(0, 2))
    def test_factors_stay_within_one_of_lambda(self, accuracies: list[float], offset: float) -> None:
        memory = memory_of(len(accuracies))
        memory.accuracy.copy_(doubles(*accuracies))
        factors = memory.factors(offset, active=True)
        assert ((factors >= offset) & (factors <= offset + 1 + 1e-12)).all()
        ones = [1.0] * len(accuracies)
        assert memory.factors(offset, active=False).tolist() == ones
        memory.begin_epoch(4)
        assert memory.factors(offset, active=True).tolist() == ones

    @both
    def test_it_counts_the_train_mode_forward_on_attacked_images(
        self, cls: Any, prepare: Call, make_batch: Call
    ) -> None:
        """No forward is spent on it, and the prediction is neither the attack's nor the clean one."""
        method, batch = prepare(cls(), epoch=LATE), make_batch(200)
        outputs: list[Tensor] = []
        method.model.register_forward_hook(lambda net, _in, out: outputs.append(out) if net.training else None)
        method.loss(batch)
        method.end_epoch(LATE)
        for label in range(10):
            members = batch.labels == label
            expected = (outputs[-1].argmax(dim=1) == batch.labels)[members].double().mean().item()
            assert method.classwise.accuracy[label].item() == pytest.approx(expected)

    @both
    def test_each_image_is_attacked_within_its_class_ball(
        self, cls: Any, prepare: Call, make_batch: Call, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The radius follows the class; step and number of steps do not."""
        name = "pgd" if cls is CFAAT else "boundary_attack"
        attack, seen = getattr(cfa_module, name), {}

        def spy(*args: Any, **settings: Any) -> Any:
            seen.update(settings)
            seen["attacked"] = attack(*args, **settings)
            return seen["attacked"]

        monkeypatch.setattr(cfa_module, name, spy)
        method = calibrated(prepare(cls(lambda1=0.5), classes=3, epoch=LATE), 0.0, 0.4, 0.9)
        batch = make_batch(60, classes=3)
        method.loss(batch)
        radius = torch.tensor([0.5, 0.9, 1.4])[batch.labels] * 8 / 255
        assert Ball("Linf", batch.images, radius).contains(seen["attacked"].images).all()
        moved = (seen["attacked"].images - batch.images).abs().flatten(1).amax(dim=1)
        for label in range(3):
            members = batch.labels == label
            assert moved[members].max() > radius[members].max() - 1e-3
        assert "step" not in seen
        assert "steps" not in seen

    def test_the_uniform_start_fills_the_ball_of_the_class(self, prepare: Call, make_batch: Call) -> None:
        method = calibrated(prepare(CFAAT(), classes=2, epoch=LATE), 0.0, 1.0)
        batch = make_batch(300, classes=2)
        images = batch.images.clamp(0.2, 0.8)  # nothing is clipped
        inputs: list[Tensor] = []
        method.model.register_forward_pre_hook(lambda _net, given: inputs.append(given[0].detach()))
        method.loss(replace(batch, images=images))
        for label, factor in ((0, 0.5), (1, 1.5)):
            start = (inputs[0] - images)[batch.labels == label]
            assert start.abs().max().item() == pytest.approx(factor * 8 / 255, rel=0.01)

    @both
    def test_it_starts_at_five_percent_on_what_the_epoch_before_measured(self, cls: Any, prepare: Call) -> None:
        method = prepare(cls())
        for epoch in range(6):
            method.begin_epoch(epoch, split())
            method.classwise.add(torch.arange(10), torch.eye(10)[[0] * 10 if epoch == 4 else list(range(10))])
            history = method.end_epoch(epoch)
            expected = [1.0] * 10 if epoch < 5 else [method.lambda1 + (label == 0) for label in range(10)]
            assert history["radius"] == pytest.approx([factor * 8 / 255 for factor in expected]), epoch

    @both
    @pytest.mark.parametrize(
        ("epochs", "fraction", "first"), [(200, 0.05, 10), (30, 0.05, 2), (5, 0.05, 1), (200, 0.005, 1), (10, 1.0, 9)]
    )
    def test_an_epoch_is_measured_before_classes_differ(
        self, cls: Any, epochs: int, fraction: float, first: int, prepare: Call
    ) -> None:
        """Also where five percent of a short training are no epoch; and one epoch is left in which they differ."""
        recipe = Recipe(epochs=epochs, schedule="one-cycle")
        method = calibrated(prepare(cls(calibration_frac=fraction), recipe=recipe), *[0.9] * 10)
        for epoch in range(first):
            method.begin_epoch(epoch, split())
            assert method.radii().tolist() == [8 / 255] * 10
        method.begin_epoch(first, split())
        assert method.radii()[0].item() == pytest.approx((method.lambda1 + 0.9) * 8 / 255)

    @pytest.mark.parametrize(
        ("parts", "margins", "weights"),
        [("both", True, True), ("ccm", True, False), ("ccr", False, True), ("none", False, False)],
    )
    def test_the_parts_can_be_had_alone(self, parts: str, margins: bool, weights: bool, prepare: Call) -> None:
        method = calibrated(prepare(CFATRADES(calibration=parts), epoch=LATE), *[0.9] * 10)
        assert bool((method.radii() != 8 / 255).all()) == margins
        assert bool((method.betas() != 6).all()) == weights

    def test_images_count_by_the_beta_of_their_class(self, prepare: Call, make_batch: Call, make_net: Call) -> None:
        """By hand, with CCR alone so that the attack is TRADES'."""
        batch = make_batch(7, classes=2, labels=[0, 0, 1, 1, 1, 1, 0])
        method = calibrated(prepare(CFATRADES(calibration="ccr", beta=4.0), classes=2, epoch=LATE), 0.0, 0.75)
        reference = prepare(TRADES(), classes=2)
        attacked = boundary_attack(
            reference.model, batch.images, batch.labels, threat=method.threat, generator=reference.noise
        )
        net = make_net(2).train()
        clean, adversarial = net(batch.images), net(attacked.images)
        natural, boundary = cross_entropy(clean, batch.labels), kl_divergence(adversarial, clean)
        betas = [2.0, 5.0]
        expected = sum(
            (natural[i] + betas[label] * boundary[i]) / (1 + betas[label])
            for i, label in enumerate(batch.labels.tolist())
        )
        loss = method.loss(batch)
        torch.testing.assert_close(loss, expected / 7)
        rescaled = calibrated(
            prepare(CFATRADES(calibration="ccr", beta=4.0, rescale=True), classes=2, epoch=LATE), 0.0, 0.75
        )
        assert rescaled.loss(batch).item() == pytest.approx(5 * loss.item(), rel=1e-5)


class TestIdentities:
    @pytest.mark.parametrize("options", [{"lambda1": 1.0}, {"calibration": "none"}])
    @pytest.mark.parametrize("attack_bn", ["eval", "train"])
    def test_cfa_at_is_pgd_at(
        self, options: dict[str, Any], attack_bn: str, prepare: Call, same_training: Call
    ) -> None:
        """I21, bitwise: lambda1 = 1 and t = 0, or without the calibration."""
        method = prepare(CFAAT(averaging="suite", attack_bn=attack_bn, **options), epoch=LATE)
        assert same_training(method, prepare(PGDAT(attack_bn=attack_bn)))

    def test_cfa_at_is_pgd_at_until_it_starts(self, prepare: Call, same_training: Call) -> None:
        accuracies = [label / 10 for label in range(10)]
        assert same_training(calibrated(prepare(CFAAT(), epoch=4), *accuracies), prepare(PGDAT()))
        assert not same_training(calibrated(prepare(CFAAT(), epoch=5), *accuracies), prepare(PGDAT()))

    @pytest.mark.parametrize("beta", [1.0, 6.0])
    def test_cfa_trades_is_trades(self, beta: float, prepare: Call, make_batch: Call, same_training: Call) -> None:
        """I22: divided by 1 + beta; with `rescale` bit for bit."""
        base = prepare(TRADES(beta=beta))
        method = prepare(CFATRADES(beta=beta, lambda1=1.0, lambda2=1.0, averaging="suite"), epoch=LATE)
        batch = make_batch()
        torch.testing.assert_close(method.loss(batch), base.loss(batch) / (1 + beta), rtol=1e-6, atol=0)
        rescaled = CFATRADES(beta=beta, lambda1=1.0, lambda2=1.0, rescale=True, averaging="suite")
        assert same_training(prepare(rescaled, epoch=LATE), prepare(TRADES(beta=beta)))
        assert same_training(prepare(CFATRADES(beta=beta, rescale=True), epoch=0), prepare(TRADES(beta=beta)))


class TestGate:
    @pytest.fixture
    def sharp(self) -> Callable[..., nn.Module]:
        """Two classes by the first pixel, bright or dark, with class 0 within an attack's reach.

        Logits are (0.1 - pixel, pixel - 0.1) times 50: an image of 0.1 - distance flips iff distance < 8/255.
        """

        class Pixel(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.weight = nn.Parameter(torch.tensor([-50.0, 50.0]))

            def forward(self, images: Tensor) -> Tensor:
                return (images[:, 0, 0, :1] - 0.1) * self.weight

        return Pixel

    def batch(self, make_batch: Call, pixels: list[float], labels: list[int]) -> Batch:
        found: Batch = make_batch(len(pixels), labels=labels)
        found.images[:, 0, 0, 0] = torch.tensor(pixels)
        return found

    def test_worst_class_by_hand(self, prepare: Call, make_batch: Call, sharp: Call) -> None:
        """x_K is judged: one of four images of class 0, in another batch than the rest, withstands ten steps."""
        method = prepare(CFAAT(), classes=2, model=sharp())
        held_out = split(
            self.batch(make_batch, [0.09, 0.08, 0.9, 0.9], [0, 0, 1, 1]), self.batch(make_batch, [0.09, 0.0], [0, 0])
        )
        assert worst_class_accuracy(method.setup, held_out).item() == 0.25

    def test_a_class_without_images_has_no_say(self, prepare: Call, make_batch: Call, sharp: Call) -> None:
        method = prepare(CFAAT(), classes=2, model=sharp())
        assert worst_class_accuracy(method.setup, split(self.batch(make_batch, [0.9, 0.1], [1, 1]))).item() == 0.5

    @both
    @pytest.mark.parametrize(("gate", "admitted"), [(0.0, True), (0.25, True), (0.26, False), (1.0, False)])
    def test_it_opens_at_delta(
        self, cls: Any, gate: float, admitted: bool, prepare: Call, make_batch: Call, sharp: Call
    ) -> None:
        method = prepare(cls(gate=gate), classes=2, model=sharp())
        held_out = split(self.batch(make_batch, [0.09, 0.08, 0.09, 0.0, 0.9], [0, 0, 0, 0, 1]))
        assert method.admits(held_out) is admitted

    @both
    def test_what_it_saw_is_in_the_history_of_the_epoch(
        self, cls: Any, prepare: Call, make_batch: Call, sharp: Call
    ) -> None:
        """The trainer asks the gate before it writes the history; an epoch that is not averaged has no verdict."""
        method = prepare(cls(gate=0.5), classes=2, model=sharp())
        method.admits(split(self.batch(make_batch, [0.09, 0.08, 0.09, 0.0, 0.9], [0, 0, 0, 0, 1])))
        history = method.end_epoch(0)
        assert (history["gate_worst"], history["gate_admitted"]) == (0.25, 0.0)
        assert "gate_worst" not in method.end_epoch(1)

    @both
    def test_asking_changes_nothing_in_the_training(
        self, cls: Any, prepare: Call, make_batch: Call, same_training: Call
    ) -> None:
        """The gate's noise is the method's own; buffers and modes are untouched."""
        asked, undisturbed = prepare(cls(), epoch=LATE), prepare(cls(), epoch=LATE)
        asked.admits(split(make_batch(30, seed=7)))
        assert not torch.equal(asked.setup.generator.get_state(), undisturbed.setup.generator.get_state())
        assert same_training(asked, undisturbed)

    @both
    def test_the_suite_s_average_has_no_gate(self, cls: Any, prepare: Call, make_batch: Call) -> None:
        method = prepare(cls(averaging="suite"))
        with PassCounter(method.model) as counter:
            assert method.admits(split(make_batch()))
        assert counter.passes.units == 0


class TestAveraging:
    @both
    def test_the_recipe_is_averaged_as_published(self, cls: Any) -> None:
        recipe = replace(load_suite("cifar10").recipe, averaging_decay=0.5, averaging_start=0.7)
        assert cls().recipe(recipe) == replace(recipe, averaging="ema", averaging_decay=0.85, averaging_start=0.25)
        assert cls(averaging="suite").recipe(recipe) == recipe
        changed = cls(decay=0.88, averaging_start=0.0).recipe(recipe)
        assert (changed.averaging_decay, changed.averaging_start) == (0.88, 0.0)

    @both
    @pytest.mark.parametrize(("epochs", "decay"), [(200, 0.85), (100, 0.7225), (400, math.sqrt(0.85)), (2, 0.85**100)])
    def test_the_decay_follows_the_length_if_asked(self, cls: Any, epochs: int, decay: float) -> None:
        recipe = replace(load_suite("cifar10").recipe, epochs=epochs)
        assert cls(rate_scaling="length").recipe(recipe).averaging_decay == pytest.approx(decay)
        assert cls().recipe(recipe).averaging_decay == 0.85

    @given(st.floats(0, 0.999), st.integers(1, 500))
    def test_a_scaled_decay_forgets_as_much_over_the_whole_training(self, decay: float, epochs: int) -> None:
        scaled = scaled_decay(decay, scaling="length", reference_epochs=200, epochs=epochs)
        assert scaled**epochs == pytest.approx(decay**200, rel=1e-6, abs=1e-12)
        assert 0 <= scaled < 1

    @pytest.mark.parametrize("decay", [0.0, 0.85])
    def test_buffers_are_averaged_like_weights(self, decay: float, prepare: Call, make_batch: Call, step: Call) -> None:
        """I23 for d = 0: the weights themselves. Otherwise one convex combination for all of the state."""
        method = prepare(CFAAT(decay=decay, averaging_start=0.0))
        average = WeightAverage(method.setup.recipe)
        states: list[dict[str, Tensor]] = []
        for epoch in range(2):
            step(method, make_batch(seed=epoch))
            assert average.due(epoch)
            average.add(method.model)
            states.append({name: value.clone() for name, value in method.model.state_dict().items()})
        assert any("running_mean" in name for name in average.weights)
        for name, value in average.weights.items():
            if value.is_floating_point():
                torch.testing.assert_close(value, decay * states[0][name] + (1 - decay) * states[1][name])

    @both
    def test_real_epochs_pass_or_do_not_pass(self, cls: Any, train: Call) -> None:
        """I23 in a real training: a closed gate gives the last weights, an open one plain averaging."""
        plain, closed = train(cls(averaging="suite")), train(cls(gate=1.0, averaging_start=0.0))
        assert all(torch.equal(plain[name], value) for name, value in closed.items())
        opened, ema = train(cls(gate=0.0, averaging_start=0.0)), train(cls(averaging="suite"), averaging="ema")
        assert all(torch.equal(opened[name], value) for name, value in ema.items())
        assert any(not torch.equal(opened[name], value) for name, value in plain.items())


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., dict[str, Tensor]]:
    """Trains three short epochs on the real digits and returns the last weights that would be evaluated."""

    def run(method: Method, averaging: Any = "none") -> dict[str, Tensor]:
        suite = load_suite("digits")
        suite = replace(
            suite,
            recipe=replace(suite.recipe, epochs=3, warmup=0.5, averaging=averaging, averaging_start=0.0),
            threat=replace(suite.threat, steps=2, step=0.075),
            evaluation=replace(suite.evaluation, tier="screen", pgd_steps=1, pgd_step=0.075),
        )
        dataset = load_dataset(suite.dataset, folder=suite.folder, data_dir=tmp_path)
        (planned,) = Planner(suite=suite, create=lambda *_: method).plan([("cfa", method)], seeds=[0])
        folder = WorkFolder(tmp_path / planned.key)
        real_training(planned, method, dataset, folder=folder, device=torch.device("cpu"))
        return load_file(folder.checkpoint("last"))

    return run


@pytest.mark.parametrize(("cls", "units", "multiple"), [(CFAAT, 23, 1.06), (CFATRADES, 27, 1.23)])
def test_cost(cls: Any, units: int, multiple: float, prepare: Call, make_batch: Call, step: Call) -> None:
    """The base's cost per image, and 21 units per validation image where the gate is asked.

    With a 6 % split, 1.06 and 1.23 times PGD-AT if it is asked in every epoch.
    """
    method = prepare(cls(), epoch=LATE)
    with PassCounter(method.model) as training:
        step(method, make_batch(16))
    with PassCounter(method.model) as judging:
        method.admits(split(make_batch(16), make_batch(4)))
    assert training.passes.units == units * 16
    assert judging.passes.units == 21 * 20
    assert (training.passes.units / 16 + judging.passes.units / 20 * 0.06 / 0.94) / PGD_AT_UNITS == pytest.approx(
        multiple, abs=5e-3
    )
