"""MART: its loss in training, its attack, its recipe."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from fairbench import load_suite
from fairbench.attacks import pgd
from fairbench.training.passes import PassCounter
from fairbench_methods import mart as mart_module
from fairbench_methods.mart import MART
from fairbench_methods.parts.mart_terms import boosted_cross_entropy
from fixture_types import Call


class TestTraining:
    def test_without_lambda_the_clean_branch_leaves_the_gradient(self, prepare: Call, make_batch: Call) -> None:
        """I3: BCE on the attacked images alone; the clean forward is still seen by batch norm."""
        method, other, batch = prepare(MART(weight=0)), prepare(MART(weight=0)), make_batch()
        attacked: list[Tensor] = []
        method.model.register_forward_pre_hook(lambda net, x: attacked.append(x[0]) if net.training else None)
        loss = method.loss(batch)
        assert torch.equal(attacked[0], batch.images)
        other.model(batch.images)
        expected = boosted_cross_entropy(other.model(attacked[1]), batch.labels).mean()
        assert torch.equal(loss, expected)
        gradients = [
            torch.autograd.grad(value, list(m.model.parameters())) for value, m in ((loss, method), (expected, other))
        ]
        assert all(torch.equal(first, second) for first, second in zip(*gradients, strict=True))
        buffers = [dict(m.model.named_buffers()) for m in (method, other)]
        assert all(torch.equal(value, buffers[1][name]) for name, value in buffers[0].items())

    def test_the_attack_is_cross_entropy_from_next_to_the_image(
        self, prepare: Call, make_batch: Call, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """CE-G: a Gaussian start as for TRADES, but the loss of PGD-AT."""
        calls: list[dict[str, Any]] = []

        def spy(*args: Any, **settings: Any) -> Any:
            calls.append(settings)
            return pgd(*args, **settings)

        monkeypatch.setattr(mart_module, "pgd", spy)
        method, batch = prepare(MART()), make_batch(64)
        seen: list[Tensor] = []
        method.model.register_forward_pre_hook(lambda _net, inputs: seen.append(inputs[0].detach()))
        method.loss(batch)
        (settings,) = calls
        assert settings.keys() == {"threat", "generator", "start"}  # the engine's loss is the cross-entropy
        assert settings["generator"] is method.noise
        noise = seen[0] - batch.images
        assert noise.std().item() == pytest.approx(0.001, rel=0.1)
        assert noise.abs().max() < 0.006

    def test_it_costs_twenty_six_units(self, prepare: Call, make_batch: Call, step: Call) -> None:
        method = prepare(MART())
        with PassCounter(method.model) as counter:
            step(method, make_batch(16))
        assert counter.passes.units == 26 * 16

    def test_the_recipe_is_the_suites(self) -> None:
        recipe = load_suite("cifar10").recipe
        assert MART().recipe(recipe) == recipe

    def test_the_authors_recipe_is_an_option(self) -> None:
        """ResNet-18: 120 epochs from 1, drops from 75, 90 and 100; the length stays the suite's."""
        suite = load_suite("cifar10-fast").recipe  # one-cycle
        recipe = MART(authors_recipe=True).recipe(suite)
        assert recipe.drops == pytest.approx((0.617, 0.742, 0.825), abs=5e-4)
        assert recipe == replace(
            suite, learning_rate=0.01, weight_decay=3.5e-3, schedule="steps", drops=recipe.drops, drop_factor=0.1
        )
