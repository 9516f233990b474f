"""The registry of training methods: entry points of installed packages, and plug-in files.

    names()                                         # ['absld', 'bat', ...]; imports no method and no torch
    create("trades", {"beta": "3"})                 # a configured method
    load("my-method", plugins=[Path("mine.py")])    # a class from a file that nobody installed

A package registers its methods in the group `fairbench.methods`, exactly as ours does; entry points are read from the
installed metadata, so a newly declared one appears after `pip install -e .`. A plug-in file, given by its path or as it
was read, registers every method it defines under the kebab-case of its class name (`MyMethod` is `my-method`). Listing
loads no installed method, so that a broken one is still listed and stops nobody else; a plug-in file has to be run to
know what it defines.
"""

import inspect
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from fairbench.errors import UserError, unknown
from fairbench.foreign_attacks import attacks_in
from fairbench.foreign_code import ForeignFile, Plugin, read_plugin, run_foreign
from fairbench.method.asking import constructed
from fairbench.method.contract import Card, Method
from fairbench.protocol.suite import Parameter

GROUP = "fairbench.methods"
_SPLIT = ("none", "attacked", "batches", "both")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    origin: str
    code: Mapping[str, str]
    load: Callable[[], object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Methods:
    """All methods at one moment: whoever asks for many reads plug-in files once.

    Attributes:
        entries: who claims each name; more than one only among installed packages, which may not stop the others.
    """

    entries: Mapping[str, Sequence[_Entry]]

    def names(self) -> list[str]:
        """Registered names, sorted; broken installed methods are listed too."""
        return sorted(self.entries)

    def load(self, name: str) -> type[Method]:
        """The class of a method; see the function of that name."""
        return self._found(name)[0]

    def create(self, name: str, changes: Mapping[str, str | Parameter]) -> Method:
        """A method with some hyper-parameters changed; see the function of that name."""
        cls, origin = self._found(name)
        return constructed(cls, changes, called=f"The method {name!r} of {origin}")

    def _found(self, name: str) -> tuple[type[Method], str]:
        """The class of a method, and where it comes from."""
        if name not in self.entries:
            advice = (
                "A method of your own is given with --plugin FILE, or by an installed package (`fairbench new-method`)."
            )
            raise unknown("method", name, self.entries, advice=advice)
        first, *others = self.entries[name]
        if others:
            raise _taken(name, first.origin, others[0].origin)
        return _method(name, first.load(), origin=first.origin), first.origin


def methods(*, plugins: Sequence[Plugin] = ()) -> Methods:
    """All methods as they are now.

    Raises:
        UserError: if a plug-in file cannot be imported, defines no method, or one with a name that is taken.
    """
    return Methods(entries=_entries(plugins))


def names(*, plugins: Sequence[Plugin] = ()) -> list[str]:
    """Registered names, sorted; broken installed methods are listed too."""
    return methods(plugins=plugins).names()


def origins(*, plugins: Sequence[Plugin] = ()) -> dict[str, str]:
    """Where each method comes from, by name: the package with its version, or the plug-in file."""
    return {name: " and ".join(entry.origin for entry in found) for name, found in _entries(plugins).items()}


def code(name: str, *, plugins: Sequence[Plugin] = ()) -> dict[str, str]:
    """Whose code a method is: `package` and `version`, or `file` and `sha256`, which covers its siblings.

    Raises:
        UserError: if there is no such method.
    """
    entries = _entries(plugins)
    if name not in entries:
        raise unknown("method", name, entries)
    return dict(entries[name][0].code)


def load(name: str, *, plugins: Sequence[Plugin] = ()) -> type[Method]:
    """The class of a method.

    Raises:
        UserError: if there is no such method, if two have the name, or if what has it cannot be imported or is no
            method; the message names the package or file.
    """
    return methods(plugins=plugins).load(name)


def create(name: str, changes: Mapping[str, str | Parameter], *, plugins: Sequence[Plugin] = ()) -> Method:
    """A method with some hyper-parameters changed; text is read as the field's type.

    Raises:
        UserError: as `load`, for an unknown hyper-parameter or a value that is not allowed, and if it cannot be
            constructed.
    """
    return methods(plugins=plugins).create(name, changes)


def card(name: str, *, plugins: Sequence[Plugin] = ()) -> Card:
    """Who a method belongs to.

    Raises:
        UserError: as `load`.
    """
    return load(name, plugins=plugins).card


def _entries(plugins: Sequence[Plugin]) -> dict[str, list[_Entry]]:
    """Who claims each name; more than one only among installed packages, which may not stop the others."""
    found: dict[str, list[_Entry]] = {}
    for name, entry in _declared(tuple(sys.path)):
        found.setdefault(name, []).append(entry)
    for file in {file.path: file for file in map(read_plugin, plugins)}.values():
        defined, origin = _plugin_methods(file), f"the plug-in {file.path}"
        own = {"file": file.path.name, "sha256": file.code_sha256(file.module())}
        for name, cls in defined.items():
            if name in found:
                raise _taken(name, found[name][0].origin, origin)
            found[name] = [_Entry(origin=origin, code=own, load=lambda cls=cls: cls)]  # type: ignore[misc]  # bound per turn
    return found


@cache
def _declared(search: tuple[str, ...]) -> tuple[tuple[str, _Entry], ...]:
    """What installed packages declare, by name; read once for a search path, for a plan asks a thousand times."""
    del search
    return tuple((point.name, _installed(point)) for point in entry_points(group=GROUP))


def _installed(point: EntryPoint) -> _Entry:
    package = f"{point.dist.name} {point.dist.version}" if point.dist else "an unnamed package"
    origin = f"the package {package} ({point.value})"

    def load_point() -> object:
        return run_foreign(
            point.load,
            f"The method {point.name!r} of {origin} cannot be imported",
            advice="Repair or uninstall that package; the other methods are not affected.",
        )

    named = {"package": point.dist.name, "version": point.dist.version} if point.dist else {}
    return _Entry(origin=origin, code=named, load=load_point)


def _plugin_methods(file: ForeignFile) -> dict[str, type[Method]]:
    """Methods that a file defines itself, by registered name."""
    module, path = file.module(), file.path
    found: dict[str, type[Method]] = {}
    for value in vars(module).values():
        own = isinstance(value, type) and value.__module__ == module.__name__
        if own and issubclass(value, Method) and not inspect.isabstract(value) and value not in found.values():
            name = _kebab(value.__name__)
            if name in found:
                raise _taken(name, f"the class {found[name].__name__}", f"the class {value.__name__} of {path}")
            found[name] = value
    if not found and not attacks_in(module):
        raise UserError(
            f"The plug-in {path} defines no method: write a subclass of fairbench.Method with a `loss`, "
            "or start from `fairbench new-method NAME`."
        )
    return found


def _method(name: str, found: object, *, origin: str) -> type[Method]:
    """What an entry point led to, if it is a method that can be used."""

    def refuse(problem: str) -> UserError:
        return UserError(f"The method {name!r} of {origin} cannot be used: {problem}.")

    if not (isinstance(found, type) and issubclass(found, Method)):
        raise refuse(f"{found!r} is not a subclass of fairbench.Method")
    if inspect.isabstract(found):
        raise refuse(f"{found.__name__} does not define {', '.join(sorted(found.__abstractmethods__))}")
    if not isinstance(getattr(found, "card", None), Card):
        raise refuse(f"{found.__name__} has no card; add `card = Card(title=..., authors=..., ...)`")
    if any(isinstance(value, Field) for value in vars(found).values()):
        raise refuse(f"{found.__name__} is not a dataclass; write @dataclass(kw_only=True) above it")
    if bare := [f.name for f in fields(found) if f.init and f.default is MISSING]:
        raise refuse(f"its field {bare[0]!r} has no default; write hyperparameter(default, description)")
    if problem := _misdeclared(found):
        raise refuse(problem)
    return found


def _misdeclared(cls: type[Method]) -> str:
    """What a class says of itself and must not, in words; "" if there is nothing."""
    for option in (f for f in fields(cls) if f.init):
        if not isinstance(option.default, Parameter):
            return (
                f"its field {option.name!r} has the default {option.default!r}; allowed: a number, True, False or text"
            )
    if cls.validation not in _SPLIT:
        return f"its `validation` is {cls.validation!r}; allowed: {', '.join(_SPLIT)}"
    radius: object = cls.largest_radius
    if not isinstance(radius, int | float) or isinstance(radius, bool) or not 0 < radius < math.inf:
        return f"its `largest_radius` is {radius!r}; allowed: a positive number, in radii of the threat"
    if not isinstance(cls.expected_failures, Mapping):
        return "its `expected_failures` is no dictionary; write {check: reason}"
    for check, reason in cls.expected_failures.items():
        if not isinstance(check, str) or not isinstance(reason, str):
            return (
                f"its `expected_failures` has the entry {check!r}: {reason!r}; allowed: a check and a reason, as text"
            )
    return ""


def _taken(name: str, first: str, second: str) -> UserError:
    return UserError(
        f"Two methods are named {name!r}: {first}, and {second}. Rename the class of the plug-in or uninstall one "
        "package; a built-in method cannot be replaced."
    )


def _kebab(name: str) -> str:
    """TRADES -> trades, MyMethod -> my-method, FairAT -> fair-at."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name.replace("_", "-")).lower()
