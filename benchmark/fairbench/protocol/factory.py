"""Networks that somebody's own code builds, as a suite and the command line name them.

    model = "nets.py:vit_tiny"              # a function of a file; or of a package, "timm:create_model"

    [model_arguments]                       # with which it is called
    depth = 6

Where such a network is used, its arguments and the SHA-256 of its source are part of a run's key; its folder is not.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from fairbench.errors import UserError

Scalar = bool | int | float | str
Argument = Scalar | tuple[Scalar, ...]
"""What a factory can be called with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Factory:
    """What a suite knows of the factory of a network, beside its name.

    Attributes:
        arguments: by name, sorted.
        code: SHA-256 of the source; "" where nobody looked at it yet.
    """

    arguments: tuple[tuple[str, Argument], ...] = ()
    code: str = ""

    @property
    def keywords(self) -> dict[str, object]:
        """The arguments as plain values; lists as lists."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in self.arguments}


def is_factory(model: str) -> bool:
    """Whether a model is named as `file.py:factory` or `package.module:factory`, and not by an architecture of ours."""
    return ":" in model


def shown(model: str) -> str:
    """The name of a model without folders, which no key and no page may hold."""
    target, colon, name = model.rpartition(":")
    return f"{PurePath(target).name if target.endswith('.py') else target}{colon}{name}"


def located(model: str, *, folder: str) -> str:
    """The name of a model with the path of its file resolved against a folder; one of a package as it is."""
    target, colon, name = model.rpartition(":")
    return f"{Path(folder, Path(target).expanduser())}{colon}{name}" if target.endswith(".py") else model


def read_arguments(table: object, *, field: str) -> tuple[tuple[str, Argument], ...]:
    """Arguments of a factory from a table.

    Raises:
        UserError: for anything but numbers, booleans, text and lists of these.
    """
    if not isinstance(table, Mapping):
        raise UserError(f"{field} = {table!r} must be a table, written as [{field}].")
    read = []
    for name, value in sorted(table.items()):
        items = value if isinstance(value, list) else [value]
        if not all(isinstance(item, Scalar) for item in items):
            raise UserError(
                f"{field}.{name} = {value!r} is no argument of a factory; allowed: a number, true, false, text, or a "
                "list of these."
            )
        read.append((name, tuple(value) if isinstance(value, list) else value))
    return tuple(read)


def parse_arguments(texts: tuple[str, ...], *, option: str) -> tuple[tuple[str, Argument], ...]:
    """Arguments as they are typed, `depth=6`; a value is written as in a suite, where text needs no quotes.

    Raises:
        UserError: for what is no assignment, for a name that is given twice, and as `read_arguments`.
    """
    table: dict[str, object] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name.isidentifier() or not value:
            raise UserError(f"{option} {text!r} is not understood; write {option} NAME=VALUE, as in {option} depth=6.")
        if name in table:
            raise UserError(f"{option} gives {name!r} twice; an argument has one value.")
        try:
            table[name] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            table[name] = value
    return read_arguments(table, field=option)
