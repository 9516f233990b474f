"""The registry of further attacks: entry points of installed packages, and plug-in files.

    names()                                               # ['corruptions', 'l1-apgd', 'pgd-restarts', 'targeted']
    found = resolve(["pgd-restarts:restarts=100", "mine"], plugins=[Path("mine.py")])
    found["mine#3f2a90c1b7de"]                            # a callable; the text has the digest of the file's code

A package registers its attacks in the group `fairbench.attacks`, exactly as ours does. A file registers every function
or class that it defines and that is called as `(model, images, labels, threat, noise)`, under the kebab-case of its
name. Settings follow a colon, separated by commas. Listing imports no attack and no torch.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from fairbench.errors import UserError, unknown
from fairbench.foreign_attacks import attacks_in
from fairbench.foreign_code import ForeignFile, Plugin, read_plugin, run_foreign
from fairbench.method.hyperparameter import checked_hyperparameter, read_hyperparameter

Attack = Callable[..., Any]
"""As `fairbench.attacks.further.contract` wants it; that module needs torch."""

GROUP = f"{__name__.partition('.')[0]}.attacks"  # a group of entry points; the folder of this name is not imported

DIGITS = 12
"""Of the digest of a file's code in an attack's text."""


def names() -> list[str]:
    """Registered names of installed attacks, sorted."""
    return sorted(point.name for point in entry_points(group=GROUP))


def origins() -> dict[str, str]:
    """Where each installed attack comes from, by name."""
    return {point.name: _origin(point) for point in entry_points(group=GROUP)}


def pinned(texts: Iterable[str], *, plugins: Sequence[Plugin] = ()) -> tuple[str, ...]:
    """The texts with the digest of their code where they come from a file; no installed attack is imported.

    Raises:
        UserError: for an unknown name, or a digest of other code.
    """
    return tuple(text for text, _ in _found(texts, plugins))


def resolve(texts: Iterable[str], *, plugins: Sequence[Plugin] = ()) -> dict[str, Attack]:
    """Attacks by their text, with the digest of their code where they come from a file.

    Args:
        texts: `name` or `name:option=value,option=value`; a digest that follows is checked.
        plugins: files in which names are looked for as well; those that define no attack are passed over.

    Raises:
        UserError: for an unknown name or option, a value that is not allowed, a digest of other code, or an attack that
            cannot be imported.
    """
    return {text: _configured(load(), text.partition("#")[0]) for text, load in _found(texts, plugins)}


def _found(texts: Iterable[str], plugins: Sequence[Plugin]) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Every attack that is asked for: its text with its digest, and what loads it."""
    files: dict[str, list[tuple[Path, Any, str]]] = {}
    for file in {file.path: file for file in map(read_plugin, plugins)}.values():
        for name, kind, digest in _of_file(file):
            files.setdefault(name, []).append((file.path, kind, digest))
    installed: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        installed.setdefault(point.name, []).append(point)
    for text in texts:
        said, _, wanted = text.partition("#")
        name = said.partition(":")[0]
        claims = [*map(_origin, installed.get(name, [])), *(str(path) for path, _, _ in files.get(name, []))]
        if len(claims) > 1:
            raise UserError(f"Two attacks are named {name!r}: {' and '.join(claims)}. Rename or uninstall one of them.")
        if name in files:
            ((path, kind, digest),) = files[name]
            if wanted not in ("", digest):
                raise UserError(f"{path} is not the code that {text!r} names: its digest is {digest}.")
            yield f"{said}#{digest}", lambda kind=kind: kind  # type: ignore[misc]  # bound per turn
        elif name in installed:
            (point,) = installed[name]
            problem = f"The attack {name!r} of {_origin(point)} cannot be imported"
            yield said, partial(run_foreign, point.load, problem, advice="Repair or uninstall that package.")
        else:
            advice = (
                "PGD-20 and AutoAttack are what every evaluation has (`pgd20`, `autoattack`, a tier). An attack of "
                "your own is given with --plugin FILE, or by an installed package."
            )
            raise unknown("attack", name, [*installed, *files], advice=advice)


def _of_file(file: ForeignFile) -> list[tuple[str, Any, str]]:
    module = file.module()
    digest = file.code_sha256(module)[:DIGITS]
    return [(name, kind, digest) for name, kind in attacks_in(module).items()]


def _configured(kind: Any, text: str) -> Attack:
    """An attack with its settings; a function has none."""
    given = _settings(text)
    if not isinstance(kind, type):
        if given or not callable(kind):
            problem = "has no options" if given else "is not callable"
            raise UserError(f"The attack {text.partition(':')[0]!r} {problem}.")
        function: Attack = kind
        return function
    known = {field.name: field for field in fields(kind) if field.init} if is_dataclass(kind) else {}
    for name in given:
        if name not in known:
            raise unknown(f"option of the attack {text.partition(':')[0]}", name, known)
    values = {name: read_hyperparameter(kind, name, value) for name, value in given.items()}
    checked = {name: checked_hyperparameter(kind, name, value) for name, value in values.items()}
    attack: Attack = run_foreign(partial(kind, **checked), f"The attack {text!r} cannot be built")
    return attack


def _settings(text: str) -> Mapping[str, str]:
    settings = text.partition(":")[2]
    pairs = [pair.partition("=") for pair in settings.split(",")] if settings else []
    if any(not (name and equals and value) for name, equals, value in pairs):
        raise UserError(f"The attack {text!r} is not allowed; allowed: NAME, or NAME:OPTION=VALUE,OPTION=VALUE.")
    return {name: value for name, _, value in pairs}


def _origin(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unnamed package"
