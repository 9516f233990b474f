"""What an outcome file says of its method, so that a page can explain it where the method is not installed.

    explained_card(TRADES)["idea"]                      # "Adds to the clean cross-entropy a penalty ..."
    explained_hyperparameters(TRADES)["beta"]           # {"description": "beta, weight of ...", "default": 6.0, ...}

None of it is part of a run's key: words may change, and the run remains the same.
"""

import inspect
import math
from collections.abc import Iterator
from dataclasses import Field, asdict, fields
from typing import Any

from fairbench.method.contract import Method
from fairbench.method.hyperparameter import allowed_by
from fairbench.protocol.suite import Parameter


def explained_card(method: type[Method]) -> dict[str, Any]:
    """The card as plain values; a card that is silent on the idea has it from the docstring."""
    card = asdict(method.card)
    return card | {"idea": card["idea"] or first_paragraph(method)}


def first_paragraph(method: type[Method]) -> str:
    """Of the docstring, as one line; "" without one."""
    written = inspect.cleandoc(method.__doc__ or "")
    if written.startswith(f"{method.__name__}("):  # what a dataclass writes by itself
        return ""
    return " ".join(written.partition("\n\n")[0].split())


def explained_hyperparameters(method: type[Method]) -> dict[str, dict[str, Any]]:
    """By name, as plain values: `description`, `default`, and those of the rules of `hyperparameter` that it has."""
    return {field.name: dict(_explained(field)) for field in fields(method) if field.init}


def _explained(field: "Field[Any]") -> Iterator[tuple[str, Any]]:
    yield "description", str(field.metadata.get("description", ""))
    yield "default", _plain(field.default)
    only_with = field.metadata.get("only_with")
    rules = {**asdict(allowed_by(field)), "only_with": only_with if isinstance(only_with, tuple) else ()}
    for name in ("at_least", "at_most", "infinite", "choices", "only_with"):
        if isinstance(rules[name], tuple) and rules[name]:
            yield name, [_plain(value) for value in rules[name]]
        elif isinstance(rules[name], int | float) and rules[name] is not False:
            yield name, _plain(rules[name])


def _plain(value: object) -> Parameter:
    """As JSON can hold it: an infinite bound is spelled out, and so is whatever a stranger's field holds."""
    if isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)
