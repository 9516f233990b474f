"""Hyper-parameters: fields of a method that are documented, checked, and the same on the command line and in Python."""

import math
from dataclasses import Field, field, fields
from typing import Any, TypeVar

from fairbench.errors import UserError

Parameter = bool | int | float | str
"""The type of a hyper-parameter."""

_P = TypeVar("_P", bound=Parameter)


def hyperparameter(
    default: _P,
    description: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    choices: tuple[str, ...] = (),
) -> _P:
    """A documented field of a method: an option on the command line, part of the run's key, a row of its page.

    Args:
        default: its value when the user changes nothing; its type is the field's type.
        description: what it is, with the paper's symbol.
        at_least: smallest allowed value.
        at_most: largest allowed value.
        choices: allowed values of a string.
    """
    metadata = {"description": description, "at_least": at_least, "at_most": at_most, "choices": choices}
    return field(default=default, metadata=metadata)


def read_hyperparameter(owner: type, name: str, value: str | Parameter) -> Parameter:
    """Text as the type of the field's default; what is no text stays as it is."""
    default: object = _field(owner, name).default
    kind = type(default)
    if not isinstance(value, str) or kind is str:
        return value
    if kind is bool:
        if value.lower() in ("true", "false"):
            return value.lower() == "true"
        raise UserError(f"{owner.__name__}: {name}={value!r} is not allowed; allowed: true, false.")
    try:
        return int(value) if kind is int else float(value)
    except ValueError as error:
        wanted = "an integer" if kind is int else "a number"
        raise UserError(f"{owner.__name__}: {name}={value!r} is not {wanted}.") from error


def checked_hyperparameter(owner: type, name: str, value: Parameter) -> Parameter:
    """The value as its field wants it (3 becomes 3.0, so that both spellings are the same run).

    Raises:
        UserError: if it has another type than the default, or is outside what the field allows.
    """
    found = _field(owner, name)
    default: object = found.default
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(default):
        raise UserError(
            f"{owner.__name__}: {name}={value!r} must be {type(default).__name__}, like its default {default!r}."
        )
    rules = found.metadata
    low, high, choices = rules.get("at_least"), rules.get("at_most"), rules.get("choices", ())
    if isinstance(value, str) and choices and value not in choices:
        raise UserError(f"{owner.__name__}: {name}={value!r} is not allowed; allowed: {', '.join(choices)}.")
    if isinstance(value, float | int) and not isinstance(value, bool):
        if math.isnan(value):
            raise UserError(f"{owner.__name__}: {name}={value!r} is not a number.")
        if not (low is None or value >= low):
            raise UserError(f"{owner.__name__}: {name}={value!r} is not allowed; allowed: at least {low}.")
        if not (high is None or value <= high):
            raise UserError(f"{owner.__name__}: {name}={value!r} is not allowed; allowed: at most {high}.")
    return value


def _field(owner: type, name: str) -> Field[Any]:
    return next(found for found in fields(owner) if found.name == name)
