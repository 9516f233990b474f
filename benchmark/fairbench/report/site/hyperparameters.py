"""The hyper-parameters of a row as a table, explained by what its outcome files say of them.

    hyperparameters(row)[0]
    # Hyperparameter(name="beta", value="3.0", setting="changed", meaning="beta, weight of ...", default="6.0", ...)

The method need not be installed. Results are not trusted: an explanation that is none is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairbench.boards.row import Row


@dataclass(frozen=True, kw_only=True, slots=True)
class Hyperparameter:
    """A line of the table.

    Attributes:
        name: of the field.
        value: in this row.
        setting: `default`; `suite` if the suite chose another value; `changed` if the user did.
        meaning: in the words of the method; this and the rest are "" where the outcome file does not say it.
        default: of the method.
        allowed: values, in words.
    """

    name: str
    value: str
    setting: str
    meaning: str
    default: str
    allowed: str


def hyperparameters(row: Row) -> list[Hyperparameter]:
    """Sorted by name; none of a model that was trained elsewhere."""
    return [_explained(row, name, value) for name, value in sorted(row.parameters.items())]


def _explained(row: Row, name: str, value: Any) -> Hyperparameter:
    rules = row.provenance.hyperparameters.get(name, {})
    usual = rules.get("default", value) == value
    return Hyperparameter(
        name=name,
        value=str(value),
        setting="changed" if name in row.provenance.changed else "default" if usual else "suite",
        meaning=str(rules.get("description", "")),
        default=str(rules.get("default", "")),
        allowed="; ".join(filter(None, (_values(rules), _condition(rules)))),
    )


def _values(rules: Mapping[str, Any]) -> str:
    """`pgd-at, trades, mart`, `0 to 100`, `at least 0, or inf`; "" where anything goes."""
    if choices := _listed(rules.get("choices")):
        return ", ".join(choices)
    if isinstance(rules.get("default"), bool):
        return "True, False"
    low, high = rules.get("at_least"), rules.get("at_most")
    bounds = {
        (True, True): f"{low} to {high}",
        (True, False): f"at least {low}",
        (False, True): f"at most {high}",
        (False, False): "",
    }[low is not None, high is not None]
    return f"{bounds}, or inf" if bounds and rules.get("infinite") is True else bounds


def _condition(rules: Mapping[str, Any]) -> str:
    """`only with base = trades or mart`."""
    other, *values = _listed(rules.get("only_with")) or [""]
    return f"only with {other} = {' or '.join(values)}" if values else ""


def _listed(values: Any) -> list[str]:
    return [str(value) for value in values] if isinstance(values, list) else []
