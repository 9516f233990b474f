"""A new method as a small installable package, from the templates next to this file.

    write_package("my-method", Path("my-method"))

The package works untouched: it can be installed, checked and run, and its method is on the board beside the others.
Templates end in `.template`; `$name`, `$module`, `$cls`, `$title` and `$year` are replaced in their text and paths.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.machinery import PathFinder
from importlib.resources import files
from importlib.resources.abc import Traversable
from keyword import iskeyword
from pathlib import Path, PurePosixPath
from string import Template

from fairbench import __version__
from fairbench.errors import UserError
from fairbench.method import registry

SUFFIX = ".template"


def write_package(name: str, folder: Path) -> list[Path]:
    """Write the package; the files written, in order.

    Args:
        name: of the method, in kebab-case.
        folder: becomes the root of the package; it must not exist, or be empty.

    Raises:
        UserError: if the name cannot be used or is taken, if the folder is not empty, or if it cannot be written.
    """
    words = _words(name)
    values = {
        "name": name,
        "module": "_".join(words),
        "cls": "".join(word.capitalize() for word in words),
        "title": " ".join(words).capitalize(),
        "year": str(datetime.now(UTC).year),
        "version": __version__,
    }
    written = []
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"{folder} exists and is not an empty folder; choose another one by --directory.")
        for template, path in _templates(files("fairbench.testing.scaffold"), PurePosixPath()):
            target = folder / Template(str(path)).substitute(values)
            target.parent.mkdir(parents=True, exist_ok=True)
            text = Template(template.read_text(encoding="utf-8")).substitute(values)
            with target.open("x", encoding="utf-8") as file:
                file.write(text)
            written.append(target)
    except OSError as error:
        raise UserError(f"Cannot write {folder}: {error.strerror or error}.") from error
    return written


def _words(name: str) -> list[str]:
    """The words of a name that can be a method, a module and a class."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise UserError(
            f"The name {name!r} cannot be used; allowed: lower-case letters and digits in words joined by '-', "
            "beginning with a letter, for example my-method."
        )
    if (origin := registry.origins().get(name)) is not None:
        raise UserError(f"The name {name!r} is taken by {origin}; choose another one.")
    module = name.replace("-", "_")
    if iskeyword(module) or PathFinder.find_spec(module) is not None:
        raise UserError(
            f"The name {name!r} cannot be used: {module!r} is a module or a word of Python already. "
            f"Choose another one, for example {name}-at."
        )
    return name.split("-")


def _templates(folder: Traversable, path: PurePosixPath) -> Iterator[tuple[Traversable, PurePosixPath]]:
    """Templates with the paths that they stand for, sorted."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _templates(entry, path / entry.name)
        elif entry.name.endswith(SUFFIX):
            yield entry, path / entry.name.removesuffix(SUFFIX)
