"""JSON objects that strangers wrote, as dataclasses: nothing missing, nothing unknown, nothing of another type.

receipt = read_object(Receipt, text, origin="seed0.verified.json", schema=1)
"""

import json
from typing import Any, TypeVar

import orjson

from fairbench.errors import UserError, first_line
from fairbench.fields import TableError, build

_T = TypeVar("_T")


def read_object(kind: type[_T], text: str | bytes, *, origin: str, schema: int, content: str = "content") -> _T:
    """A dataclass from an object that says its `schema` beside its fields; a field with a default may be missing.

    Args:
        kind: the dataclass.
        text: of the object.
        origin: names the file.
        schema: that is read here.
        content: what the object is, for people.

    Raises:
        UserError: if it is no JSON object, of another schema, or has a field too many, too few, or of a wrong type.
    """
    try:
        values: dict[str, Any] = _loaded(text)
        if not isinstance(values, dict):
            raise TypeError(f"it is {type(values).__name__}, and no object")  # noqa: TRY301  told as the others
        version = values.pop("schema")
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise UserError(f"{origin} has unreadable {content} ({first_line(error)}).") from error
    if version != schema:
        older = isinstance(version, int) and version < schema
        advice = "Compute it again, or read it with the fairbench that wrote it." if older else "Update fairbench."
        raise UserError(f"{origin} has schema {version!r}; this fairbench reads {schema}. {advice}")
    try:
        return build(kind, values)
    except TableError as error:
        problem = f"that schema {schema} does not allow or misses" if error.unexpected else "of a wrong type"
        names = ", ".join(error.unexpected or error.wrong).encode("utf-8", errors="backslashreplace").decode()
        raise UserError(f"{origin} has {content} {problem}: {names}.") from error  # in what every terminal can print


def _loaded(text: str | bytes) -> Any:
    """JSON as plain values. Outcome files are read by the thousand, and orjson takes a quarter of the time.

    What it refuses beyond the standard, such as half of a surrogate pair, the standard library may still read.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)
