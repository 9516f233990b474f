"""What an author's constructor and planning hooks raise or return by mistake is a sentence with the line."""

from dataclasses import dataclass
from typing import Any

import pytest

from fairbench import Batch, Card, Method, Prerequisite, Recipe, UserError, hyperparameter, load_suite
from fairbench.method.asking import constructed, needed_by, recipe_of

CARD = Card(
    title="Test", authors="A", venue="V", year=2026, link="https://example.org", bibtex="@misc{a}", code_licence="none"
)


@dataclass(kw_only=True)
class Early(Method):
    """Asks for the classes before there are any."""

    card = CARD

    def __post_init__(self) -> None:
        self.known = self.classes

    def loss(self, batch: Batch) -> None:
        del batch


class Hidden(Method):
    """A constructor of its own, which forgets what it was given."""

    card = CARD
    beta: float = hyperparameter(1.0, "a weight of the loss")

    def __init__(self, *, beta: float = 1.0) -> None:
        if beta > 1:
            raise KeyError("beta")

    def loss(self, batch: Batch) -> None:
        del batch


Hidden = dataclass(init=False)(Hidden)  # type: ignore[misc]


@dataclass(kw_only=True)
class Mistaken(Method):
    """Hooks that return what they were told to, or raise."""

    card = CARD
    returned: str = hyperparameter("none", "what is returned")

    def recipe(self, recipe: Recipe) -> Any:
        return {"none": None, "itself": recipe, "table": {"epochs": 3}}[self.returned]

    def prerequisites(self) -> Any:
        need = Prerequisite(role="teacher", method="trades")
        return {"none": None, "itself": (need,), "one": need, "name": "trades"}[self.returned]

    def loss(self, batch: Batch) -> None:
        del batch


def test_a_constructor_that_raises_is_told_with_its_line() -> None:
    with pytest.raises(
        UserError, match=r"^It cannot be constructed: AttributeError: .*'setup' \(.*test_asking\.py, line 23"
    ) as e:
        constructed(Early, {}, called="It")
    assert "there is from `start` on" in str(e.value) or "is there from `start` on" in str(e.value)


def test_a_constructor_that_forgets_is_told() -> None:
    del Hidden.beta
    with pytest.raises(UserError, match="Hidden cannot be constructed: its constructor leaves 'beta' unset"):
        constructed(Hidden, {})


def test_what_is_told_already_passes() -> None:
    with pytest.raises(UserError, match=r"^Unknown hyper-parameter of Early 'beta'"):
        constructed(Early, {"beta": 3})


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("none", "`recipe` of Mistaken returned None; it must return a Recipe"),
        ("table", "`recipe` of Mistaken returned .*'epochs'"),
        ("one", r"`recipe` of Mistaken failed: KeyError: 'one' \(.*test_asking\.py, line 54\)"),
    ],
)
def test_a_recipe_is_a_recipe(returned: str, said: str) -> None:
    recipe = load_suite("digits").recipe
    assert recipe_of(Mistaken(returned="itself"), recipe) is recipe
    with pytest.raises(UserError, match=said):
        recipe_of(Mistaken(returned=returned), recipe)


@pytest.mark.parametrize("returned", ["none", "one", "name"])
def test_prerequisites_are_a_tuple_of_them(returned: str) -> None:
    assert [need.method for need in needed_by(Mistaken(returned="itself"))] == ["trades"]
    with pytest.raises(UserError, match=r"`prerequisites` of Mistaken returned .*a tuple of Prerequisite"):
        needed_by(Mistaken(returned=returned))
