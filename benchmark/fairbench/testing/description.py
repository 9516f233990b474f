"""Checks of what a method says about itself."""

from dataclasses import fields

from fairbench.method.explanation import first_paragraph
from fairbench.method.hyperparameter import allowed_by
from fairbench.testing.check import CheckFailedError
from fairbench.testing.trial import Trial

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
