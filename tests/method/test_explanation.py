"""What is stored of a method's own words."""

import json
import re
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from fairbench import Batch, Card, Method, hyperparameter, load_suite
from fairbench.execution.plan import Planner
from fairbench.method import registry
from fairbench.method.explanation import explained_card, explained_hyperparameters, first_paragraph

each_method = pytest.mark.parametrize("name", registry.names())

CARD = Card(title="M", authors="A", venue="V", year=2026, link="https://x.org", bibtex="@a", code_licence="none")


@dataclass(kw_only=True)
class Plain(Method):
    """One idea
    on two lines.

    And more than that.
    """  # noqa: D205  a summary of two lines is what is tested

    card = CARD
    rate: float = hyperparameter(1.0, "how fast", at_least=0.5, infinite=True, only_with=("base", "x", "y"))
    base: str = hyperparameter("x", "which one", choices=("x", "y"))
    old: bool = False

    def loss(self, batch: Batch) -> Any:
        raise NotImplementedError


class Odd:
    """Something that JSON does not know."""

    def __str__(self) -> str:
        return "odd"


@each_method
def test_every_method_has_an_idea(name: str) -> None:
    """One to three whole sentences, and not the docstring again, which is for readers of the code."""
    idea = registry.card(name).idea
    assert 80 <= len(idea) <= 320
    assert idea.endswith(".")
    assert idea[0].isupper()
    assert 1 <= len(re.findall(r"\.(?: |$)", idea)) <= 3
    assert "  " not in idea
    assert idea != first_paragraph(registry.load(name))


def test_no_two_methods_have_the_same_idea() -> None:
    ideas = [registry.card(name).idea for name in registry.names()]
    assert len(set(ideas)) == len(ideas)


@each_method
def test_every_hyperparameter_is_explained(name: str) -> None:
    """Completely, and as JSON can hold it."""
    method = registry.load(name)
    explained = explained_hyperparameters(method)
    assert set(explained) == set(registry.create(name, {}).parameters())
    assert json.loads(json.dumps(explained, allow_nan=False)) == explained
    for rules in explained.values():
        assert len(rules["description"]) >= 10
        assert set(rules) <= {"description", "default", "at_least", "at_most", "infinite", "choices", "only_with"}


def test_a_card_without_an_idea_has_it_from_the_docstring() -> None:
    assert explained_card(Plain)["idea"] == "One idea on two lines."
    assert explained_card(type("Told", (Plain,), {"card": replace(CARD, idea="Another.")}))["idea"] == "Another."


@pytest.mark.parametrize("written", [None, "", "Told(*, rate: float = 1.0)"])
def test_without_either_there_is_none(written: str | None) -> None:
    assert explained_card(type("Told", (Plain,), {"__doc__": written}))["idea"] == ""


def test_rules_that_a_hyperparameter_has() -> None:
    assert explained_hyperparameters(Plain) == {
        "rate": {
            "description": "how fast",
            "default": 1.0,
            "at_least": 0.5,
            "infinite": True,
            "only_with": ["base", "x", "y"],
        },
        "base": {"description": "which one", "default": "x", "choices": ["x", "y"]},
        "old": {"description": "", "default": False},
    }


def test_a_field_of_a_stranger_does_not_stop_a_run() -> None:
    """It is noticed after hours of training, when the outcomes are written."""

    @dataclass(kw_only=True)
    class Strange(Plain):
        far: float = float("inf")
        odd: Any = field(default=Odd(), metadata={"description": 7, "allowed": Odd(), "only_with": 3})

    explained = explained_hyperparameters(Strange)
    assert explained["far"]["default"] == "inf"
    assert explained["odd"] == {"description": "7", "default": "odd"}
    json.dumps(explained, allow_nan=False)


def test_words_are_no_part_of_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    suite, method = load_suite("digits"), registry.load("trades")

    def key() -> str:
        (run,) = Planner(suite=suite, create=registry.create).plan([("trades", method())], seeds=[0])
        return run.key

    before = key()
    monkeypatch.setattr(method, "card", replace(method.card, idea="Something else."))
    assert explained_card(method)["idea"] == "Something else."
    assert key() == before
