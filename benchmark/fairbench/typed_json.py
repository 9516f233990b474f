"""JSON objects that strangers wrote, as dataclasses: nothing missing, nothing unknown, nothing of another type.

values = read_object(text, origin="seed0.verified.json")
from_object(Receipt, values, origin="seed0.verified.json", schema=1)
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from fairbench.errors import UserError, first_line

_T = TypeVar("_T")


def read_object(text: str | bytes, *, origin: str, schema: int, content: str = "content") -> dict[str, Any]:
    """The fields of an object that says its `schema`, without it.

    Args:
        text: of the object.
        origin: names the file.
        schema: that is read here.
        content: what the object is, for people.

    Raises:
        UserError: if it is no JSON object, or of another schema.
    """
    try:
        values: dict[str, Any] = json.loads(text)
        version = values.pop("schema")
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise UserError(f"{origin} has unreadable {content} ({first_line(error)}).") from error
    if version != schema:
        older = isinstance(version, int) and version < schema
        advice = "Compute it again, or read it with the fairbench that wrote it." if older else "Update fairbench."
        raise UserError(f"{origin} has schema {version!r}; this fairbench reads {schema}. {advice}")
    return values


def from_object(kind: type[_T], values: Mapping[str, Any], *, origin: str, schema: int, content: str = "content") -> _T:
    """A dataclass of plain values, checked field by field; a field with a default may be missing.

    Args:
        kind: the dataclass.
        values: of its fields.
        origin: names the file.
        schema: of the object.
        content: what the object is, for people.

    Raises:
        UserError: if a field is missing, unknown, or of a wrong type.
    """
    declared = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]  # a dataclass, which types cannot say
    required = {name for name, f in declared.items() if f.default is MISSING and f.default_factory is MISSING}
    if unexpected := sorted(set(values) - set(declared)) + sorted(required - set(values)):
        raise UserError(f"{origin} has {content} that schema {schema} does not allow or misses: {_named(unexpected)}.")
    hints = get_type_hints(kind)
    if wrong := sorted(name for name, value in values.items() if not _has_type(value, hints[name])):
        raise UserError(f"{origin} has {content} of a wrong type: {_named(wrong)}.")
    return kind(**values)


def _named(names: list[str]) -> str:
    """Names that every terminal can print."""
    return ", ".join(names).encode("utf-8", errors="backslashreplace").decode()


def _has_type(value: Any, wanted: Any) -> bool:
    """Whether a JSON value is what a field holds, its elements included; numbers must be finite."""
    inner = get_args(wanted)
    if wanted is float:
        return type(value) in (int, float) and abs(value) <= sys.float_info.max  # JSON knows integers of any size
    if get_origin(wanted) is Literal:
        return value in inner
    if get_origin(wanted) is list:
        return isinstance(value, list) and all(_has_type(item, inner[0]) for item in value)
    if get_origin(wanted) is dict:
        return isinstance(value, dict) and all(_has_type(item, inner[1]) for item in value.values())
    return wanted is Any or type(value) is wanted
