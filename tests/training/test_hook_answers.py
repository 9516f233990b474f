"""What hooks answer by mistake is told in the first epoch, and so is a network that they rebuild."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fairbench import Batch, Card, Method, Suite, UserError
from fairbench.method.losses import cross_entropy
from fairbench.outcomes.work_folder import WorkFolder
from fairbench.training.hook_answers import admitted, kept, reported
from fairbench.training.same_network import check_same
from fixture_types import PlanOne, Train


@dataclass(kw_only=True)
class Answering(Method):
    """Answers what a test wants it to."""

    card = Card(
        title="A", authors="A", venue="V", year=2026, link="https://example.org", bibtex="@misc{a}", code_licence="none"
    )
    hook: str = "loss"

    def __post_init__(self) -> None:
        mistakes: dict[str, Callable[..., Any]] = {
            "admits": lambda _: None,
            "end_epoch": lambda _: None,
            "state_dict": lambda: {"step": 3},
            "start": self.rebuild,
        }
        setattr(self, self.hook, mistakes.get(self.hook, self.loss))

    def rebuild(self) -> None:
        """A layer more than anybody stores."""
        self.model.add_module("extra", nn.Linear(2, 2))

    def loss(self, batch: Batch) -> Tensor:
        """Clean cross-entropy."""
        return cross_entropy(self.model(batch.images), batch.labels).mean()


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        ("admits", "`admits` of Answering returned None, which is not allowed; allowed: True or False"),
        ("end_epoch", "`end_epoch` of Answering returned None; it must return numbers by name"),
        ("state_dict", "`state_dict` of Answering holds 'step', which is int; allowed: tensors"),
        ("start", "Answering has rebuilt the network, which differs in extra.bias, extra.weight"),
    ],
)
def test_a_mistake_is_told_in_the_first_epoch(
    hook: str, said: str, short_suite: Suite, plan_one: PlanOne, train_one: Train, tmp_path: Path
) -> None:
    averaged = replace(short_suite, recipe=replace(short_suite.recipe, averaging="ema", averaging_start=0.0))
    run = plan_one("answering", Answering(hook="start"), suite=averaged)
    with pytest.raises(UserError, match=f"^{said}"):
        train_one(run, tmp_path, method=Answering(hook=hook))
    assert not WorkFolder(tmp_path).state.exists()


@pytest.mark.parametrize("answer", [True, np.bool_(1), torch.tensor(data=True), 1])
def test_whatever_means_yes_opens_the_gate(answer: object) -> None:
    assert admitted(answer, method=Answering(hook="admits"))
    assert not admitted(False, method=Answering(hook="admits"))


def test_answers_are_taken_as_they_are_meant() -> None:
    method = Answering(hook="admits")
    assert reported({"rate": torch.tensor(0.5), 3: [1, float("nan")]}, method=method) == {"rate": 0.5, "3": [1, None]}
    assert kept({}, method=method) == {}
    with pytest.raises(UserError, match=r"`state_dict` of Answering returned None; it must return tensors by name"):
        kept(None, method=method)


class TestSameNetwork:
    images = torch.rand(2, 3, generator=torch.Generator().manual_seed(0))

    def test_other_weights_are_what_training_is_for(self) -> None:
        first, second = nn.Linear(3, 2), nn.Linear(3, 2)
        check_same(first, second, self.images, method="M")
        assert torch.equal(first.weight, second.weight)

    def test_another_activation_is_another_network(self) -> None:
        first = nn.Sequential(nn.Linear(3, 2), nn.SiLU())
        with pytest.raises(UserError, match="M has rebuilt the network, which gives other logits"):
            check_same(first, nn.Sequential(nn.Linear(3, 2), nn.ReLU()), self.images, method="M")

    def test_what_draws_or_learns_in_train_mode_is_left_as_it_is(self) -> None:
        """Drop-out, batch norm and the random state; and a model that says nothing finite is for others to refuse."""
        first, second = (nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Dropout(0.5)) for _ in range(2))
        before, state = {name: value.clone() for name, value in first.state_dict().items()}, torch.get_rng_state()
        check_same(first.train(), second, self.images, method="M")
        assert first.training
        assert all(torch.equal(value, before[name]) for name, value in first.state_dict().items())
        assert torch.equal(torch.get_rng_state(), state)
        torch.nn.init.constant_(next(first.parameters()), torch.nan)
        check_same(first, second, self.images, method="M")
