"""An option of the command line is a field of a dataclass, and a command is given the dataclass.

    @dataclass(frozen=True, kw_only=True)
    class Selection:
        suite: str = option("--suite", "Protocol to follow.", default="digits", metavar="NAME|FILE")
        weights: Weights                      # a group in a group: its options stand here

    @main.command()
    @options
    def status(selection: Selection) -> None: ...

Options are listed by `--help` in the order of the fields; what contradicts itself is refused by a group's
`__post_init__`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, field, fields, is_dataclass
from functools import partial, wraps
from pathlib import Path
from typing import Any, TypeVar, get_type_hints, overload

import click

from fairbench.outcomes.object_storage import is_url, mirrored


class _Folder(click.Path):
    """A folder of a file system."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; object storage is none."""
        if is_url(str(value)):
            self.fail(f"{value} is no folder; only --results may be on object storage, which has no locks.", param, ctx)
        return super().convert(value, param, ctx)


class _Results(_Folder):
    """A folder of results, or object storage, which a folder mirrors."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path of the folder, brought up to date."""
        return mirrored(value) if is_url(str(value)) else super().convert(value, param, ctx)


FOLDER = _Folder(file_okay=False, path_type=Path)
RESULTS = _Results(file_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, path_type=Path)

_OPTION = "option"

_T = TypeVar("_T")


@overload
def option(
    name: str,
    about: str,
    *,
    kind: "click.ParamType[Any] | None" = None,
    metavar: str | None = None,
    repeatable: bool = False,
) -> Any: ...


@overload
def option(
    name: str,
    about: str,
    *,
    default: _T,
    kind: "click.ParamType[Any] | None" = None,
    metavar: str | None = None,
    repeatable: bool = False,
) -> _T: ...


def option(
    name: str,
    about: str,
    *,
    default: object = MISSING,
    kind: "click.ParamType[Any] | None" = None,
    metavar: str | None = None,
    repeatable: bool = False,
) -> object:
    """A field that is an option on the command line.

    Args:
        name: as it is typed, with its dashes.
        about: one sentence for `--help`.
        default: its value when the user does not say it, shown unless it is empty; False makes a flag. An option
            without a default must be given.
        kind: what is allowed; text if None.
        metavar: how `--help` writes its value.
        repeatable: whether it may be given several times; the field is a tuple.
    """
    declared = partial(click.option, name, type=kind, multiple=repeatable, metavar=metavar, help=about)
    if default is MISSING:
        return field(metadata={_OPTION: partial(declared, required=True)})
    shown = partial(declared, default=default, show_default=default != "", is_flag=default is False)
    return field(default=default, metadata={_OPTION: shown})


def options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of the groups among its parameters; other parameters are declared by click."""
    groups = {
        name: kind for name, kind in get_type_hints(command).items() if isinstance(kind, type) and is_dataclass(kind)
    }
    declared = [one for kind in groups.values() for one in _declared(kind)]

    @wraps(command)
    def grouped(**given: object) -> None:
        others = {name: value for name, value in given.items() if name not in {one.name for one in declared}}
        command(**{name: _gathered(kind, given) for name, kind in groups.items()}, **others)

    for one in reversed(declared):  # as decorators are applied
        grouped = one.metadata[_OPTION](one.name)(grouped)
    return grouped


def _declared(group: type) -> Iterator[Field[Any]]:
    """The options of a group and of the groups in it, in order."""
    kinds = get_type_hints(group)
    for one in fields(group):
        if _OPTION in one.metadata:
            yield one
        else:
            yield from _declared(kinds[one.name])


def _gathered(group: type, given: Mapping[str, object]) -> object:
    """A group of what was given."""
    kinds = get_type_hints(group)
    return group(
        **{
            one.name: given[one.name] if _OPTION in one.metadata else _gathered(kinds[one.name], given)
            for one in fields(group)
        }
    )
