"""Hyper-parameters: fields of a method that are documented, checked, and the same on the command line and in Python."""

import math
from collections.abc import Mapping
from dataclasses import Field, field, fields
from typing import Any, TypeVar

from fairbench.errors import UserError, not_allowed
from fairbench.fields import Allowed, plain_number
from fairbench.protocol.suite import Parameter

_P = TypeVar("_P", bound=Parameter)


def hyperparameter(
    default: _P,
    description: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    infinite: bool = False,
    choices: tuple[str, ...] = (),
    only_with: tuple[str, *tuple[Parameter, ...]] | None = None,
) -> _P:
    """A documented field of a method: an option on the command line, part of the run's key, a row of its page.

    Args:
        default: its value when the user changes nothing; its type is the field's type.
        description: what it is, with the paper's symbol.
        at_least: smallest allowed value.
        at_most: largest allowed value.
        infinite: whether infinity, within the bounds, means something.
        choices: allowed values of a string.
        only_with: another field and the values of it with which this one has an effect, as in
            `only_with=("base", "trades", "mart")`; with other values it must keep its default.
    """
    allowed = Allowed(at_least=at_least, at_most=at_most, infinite=infinite, choices=choices)
    return field(default=default, metadata={"description": description, "allowed": allowed, "only_with": only_with})


def allowed_by(option: "Field[Any]") -> Allowed:
    """What a field of a method allows beyond its type; any finite value if `hyperparameter` did not make it."""
    allowed = option.metadata.get("allowed")
    return allowed if isinstance(allowed, Allowed) else Allowed()


def read_hyperparameter(owner: type, name: str, value: str | Parameter) -> Parameter:
    """Text as the type of the field's default; what is no text stays as it is."""
    default: object = _field(owner, name).default
    kind = type(default)
    if not isinstance(value, str) or kind is str:
        return value
    given = f"{owner.__name__}: {name}={value!r}"
    if kind is bool:
        if value.lower() in ("true", "false"):
            return value.lower() == "true"
        raise not_allowed(given, "true, false")
    try:
        return int(value) if kind is int else float(value)
    except ValueError as error:
        raise UserError(f"{given} is not {'an integer' if kind is int else 'a number'}.") from error


def checked_hyperparameter(owner: type, name: str, value: Parameter) -> Parameter:
    """The value as its field wants it (3 becomes 3.0, so that both spellings are the same run).

    Raises:
        UserError: if it has another type than the default, or is outside what the field allows.
    """
    found = _field(owner, name)
    default: object = found.default
    value = plain_number(value)
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    given = f"{owner.__name__}: {name}={value!r}"
    if type(value) is not type(default):
        raise UserError(f"{given} must be {type(default).__name__}, like its default {default!r}.")
    if isinstance(value, float) and math.isnan(value):
        raise UserError(f"{given} is not a number.")
    if instead := allowed_by(found).instead_of(value):
        raise not_allowed(given, instead)
    return value


def check_effects(owner: type, values: Mapping[str, Parameter]) -> None:
    """Refuse a changed value that changes nothing: one training under two keys would be two rows of the board.

    Args:
        owner: the method.
        values: of all its hyper-parameters, by name.

    Raises:
        UserError: if one differs from its default where, by its `only_with`, it has no effect.
    """
    for found in fields(owner):
        rule = found.metadata.get("only_with")
        if rule is None or values[found.name] == found.default:
            continue
        other, *effective = rule
        if values[other] not in effective:
            needed = " or ".join(map(repr, effective))
            raise UserError(
                f"{owner.__name__}: {found.name}={values[found.name]!r} has no effect with {other}={values[other]!r}; "
                f"set {other} to {needed}, or {found.name} to {found.default!r}, its default."
            )


def _field(owner: type, name: str) -> Field[Any]:
    return next(found for found in fields(owner) if found.name == name)
