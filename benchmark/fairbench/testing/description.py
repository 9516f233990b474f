"""Checks of what a method says about itself, and asks of the suite."""

from dataclasses import fields, replace

from fairbench.method import registry
from fairbench.method.asking import needed_by, recipe_of
from fairbench.method.explanation import first_paragraph
from fairbench.method.hyperparameter import allowed_by
from fairbench.testing.check import CheckFailedError
from fairbench.testing.trial import Trial

SUITES_OWN = ("batch_size", "momentum", "weight_decay", "crop_padding", "flip", "precision")
"""What every method of a suite has in common, so that none wins by it."""

DEEPEST = 8
"""How many runs may build on one another, as when they are planned."""

SHORTEST = 10
"""Characters of the shortest description that can say anything."""


def fields_are_documented(trial: Trial) -> None:
    """A class docstring, a description for every hyper-parameter, and every default among its choices."""
    cls = trial.cls
    if not first_paragraph(cls):
        raise CheckFailedError(f"{cls.__name__} has no docstring.")
    for field in (f for f in fields(cls) if f.init):
        if len(field.metadata.get("description", "").strip()) < SHORTEST:
            raise CheckFailedError(f"The hyper-parameter {field.name!r} of {cls.__name__} has no description.")
        choices = allowed_by(field).choices
        if choices and field.default not in choices:
            raise CheckFailedError(f"The default {field.default!r} of {field.name!r} is not one of its choices.")


def card_is_complete(trial: Trial) -> None:
    """Everything that a citation needs."""
    card = trial.cls.card
    for name in ("title", "authors", "venue", "link", "bibtex", "code_licence", "family"):
        if not getattr(card, name).strip():
            raise CheckFailedError(f"The card has no {name}.")
    if not card.link.startswith("https://"):
        raise CheckFailedError(f"The card's link {card.link!r} does not start with https://.")
    entry = card.bibtex.strip()
    if not entry.startswith("@") or entry.count("{") != entry.count("}"):
        raise CheckFailedError("The card's bibtex is no entry with balanced braces: @article{key, ...}.")
    squeezed = "".join(entry.lower().split())
    for name in ("title", "author", "year"):
        if f"{name}=" not in squeezed:
            raise CheckFailedError(f"The card's bibtex has no {name}.")
    if str(card.year) not in entry:
        raise CheckFailedError(f"The card's year {card.year} is not the one of its bibtex.")


def prerequisites_can_be_planned(trial: Trial) -> None:
    """What it builds on exists, with these hyper-parameters, and ends somewhere."""
    waiting = [(trial.cls(), 1)]
    while waiting:
        method, depth = waiting.pop()
        if depth > DEEPEST:
            raise CheckFailedError(f"{trial.cls.__name__} builds on itself: its `prerequisites` have no end.")
        waiting += [
            (registry.create(need.method, dict(need.parameters), plugins=trial.plugins), depth + 1)
            for need in needed_by(method)
        ]


def recipe_is_the_suites(trial: Trial) -> None:
    """Batch size, weight decay, augmentation and precision are as asked, whatever a suite asks for."""
    usual = trial.run.suite.recipe
    for asked in (
        usual,
        replace(usual, batch_size=100, momentum=0.8, weight_decay=1e-3, crop_padding=2, flip=True, precision="bf16"),
    ):
        given = recipe_of(trial.cls(), asked)
        for name in SUITES_OWN:
            value, wanted = getattr(given, name), getattr(asked, name)
            if value != wanted:
                raise CheckFailedError(f"`recipe` sets {name} to {value!r}, where the suite says {wanted!r}.")
