"""Code that somebody gave: the one place where it is loaded and called, and where what it raises becomes a sentence.

    module = ForeignFile.read(Path("mine.py"), called="the plug-in").module()     # runs once, until it is edited
    method = run_foreign(point.load, "The method 'mine' cannot be imported")      # or a UserError with file and line

A file is a module of its own, named after its content, that nobody can import by accident. While it runs it may import
what lies beside it (`fairbench.siblings`), with or without a leading dot; the search path stays as it is.
"""

import hashlib
import importlib
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from textwrap import shorten
from types import ModuleType
from typing import TypeVar

from fairbench.errors import UserError
from fairbench.siblings import Siblings

_T = TypeVar("_T")

_RAN = "__code_sha256__"  # of a module: the digest of the code that ran
_MISSING = "Install it or put it beside that file."
_FRONT_DOOR = "Whatever authors need is imported from fairbench itself, as in `from fairbench import Method, pgd`."


@dataclass(frozen=True, kw_only=True)
class ForeignFile:
    """A Python file, as it was when it was read.

    Attributes:
        path: of it, absolute.
        source: its bytes.
        called: what it is to the user, as in "the plug-in".
    """

    path: Path
    source: bytes
    called: str

    @classmethod
    def read(cls, path: Path, *, called: str) -> "ForeignFile":
        """Read, and not run yet.

        Raises:
            UserError: if it cannot be read.
        """
        try:
            return cls(path=path, source=path.read_bytes(), called=called)
        except OSError as error:
            raise UserError(f"Cannot read {called} {path}: {error.strerror or error}.") from error

    def module(self) -> ModuleType:
        """It as a module, which runs once and stays, until it or what it imported from beside it is edited.

        Raises:
            UserError: if it raises anything; nothing half-imported is left behind.
        """
        name = self._name("once")
        known = sys.modules.get(name)
        if known is not None and vars(known).get(_RAN) in (None, self.code_sha256(known)):  # None while it runs
            return known
        _forget(name)
        module = self._run(name)
        vars(module)[_RAN] = self.code_sha256(module)
        return module

    @contextmanager
    def passing_module(self) -> Iterator[ModuleType]:
        """It as a module that runs anew, can import what lies beside it all the time, and leaves no trace.

        What it draws or counts while it runs is then the same every time.

        Raises:
            UserError: as `module`.
        """
        name, searched = self._name("now"), list(sys.path)
        try:
            module = self._run(name)
            with Siblings(self.path.parent, package=_beside(name)).importable():
                yield module
        finally:
            sys.path[:] = searched
            _forget(name)

    def code_sha256(self, module: ModuleType) -> str:
        """What its module is recognised by: the SHA-256 of its bytes, and of those of its siblings if it has any."""
        found = self.siblings(module)
        return code_sha256(self.source, {name: path.read_bytes() if path else b"" for name, path in found.items()})

    def siblings(self, module: ModuleType) -> dict[str, Path | None]:
        """Files that its module imported from beside it, by dotted name; None for a folder that is a package."""
        beside = f"{_beside(module.__name__)}."
        known = {name: Path(found.__file__ or "") for name, found in sys.modules.items() if name.startswith(beside)}
        return {name.removeprefix(beside): path if path.is_file() else None for name, path in known.items()}

    def _name(self, prefix: str) -> str:
        """Of its module: another one in another place, so that two files of equal content are two modules."""
        return f"fairbench_{prefix}_{hashlib.sha256(bytes(self.path) + self.source).hexdigest()[:16]}"

    def _run(self, name: str) -> ModuleType:
        siblings = Siblings(self.path.parent, package=_beside(name))
        spec = spec_from_loader(f"{_beside(name)}.{name}", loader=None, origin=str(self.path))
        assert spec is not None
        module = module_from_spec(spec)  # in the package of its siblings, so that it can name them by a leading dot
        module.__name__, module.__file__ = name, str(self.path)
        sys.modules[name] = module  # dataclasses resolve annotations through it

        def run() -> None:
            siblings.make_package()
            with siblings.importable():
                exec(compile(self.source, str(self.path), "exec"), vars(module))  # noqa: S102  it is what the user asked for

        try:
            problem = f"{self.called[0].upper()}{self.called[1:]} {self.path} cannot be imported"
            run_foreign(run, problem, inside=self.path, missing=_MISSING)
        except BaseException:
            _forget(name)
            raise
        return module


Plugin = Path | ForeignFile
"""A file with methods or attacks: where it lies, or what it was when somebody read it."""


def read_plugin(plugin: Plugin) -> ForeignFile:
    """A plug-in as it is now, or as it was when it was read.

    Raises:
        UserError: if it cannot be read.
    """
    return ForeignFile.read(plugin.resolve(), called="the plug-in") if isinstance(plugin, Path) else plugin


def code_sha256(source: bytes, siblings: Mapping[str, bytes]) -> str:
    """What code is recognised by, wherever it lies: its bytes, and those of what it imports from beside it, by name."""
    code = hashlib.sha256(source)
    for name, content in sorted(siblings.items()):
        code.update(f"\0{name}\0".encode() + content)
    return code.hexdigest()


def run_foreign(
    call: Callable[[], _T],
    problem: str,
    *,
    inside: Path | None = None,
    advice: str = "",
    missing: str = "",
    passing: type[Exception] | tuple[type[Exception], ...] = (),
) -> _T:
    """Call somebody's code; whatever it raises, leaving Python included, is one sentence with the file and line.

    Args:
        call: their code, or what imports it.
        problem: what did not work, as the sentence begins.
        inside: their file, if it is one; its lines, and those beside it, tell them more than a library's.
        advice: what to do.
        missing: what to do if a module was not found.
        passing: errors that say everything already.

    Returns:
        What it returns.

    Raises:
        UserError: if it raises.
    """
    try:
        return call()
    except passing:
        raise
    except (Exception, SystemExit) as error:  # the border to foreign code: the user shall see whatever it raises
        sentences = [f"{problem}: {_described(error, inside=inside)}."]
        if missing and isinstance(error, ModuleNotFoundError):
            sentences.append(_FRONT_DOOR if str(error.name).startswith("fairbench.") else missing)
        raise UserError(" ".join([*sentences, advice] if advice else sentences)) from error


def _described(error: BaseException, *, inside: Path | None) -> str:
    """The error with the file and line where it arose, in their own code where it can be."""
    kind = type(error).__name__
    if isinstance(error, SyntaxError):
        return f"{kind}: {error.msg} ({error.filename or inside}, line {error.lineno or 1})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_loading(frame.filename)]
    own = [frame for frame in frames if inside and Path(frame.filename).parent == inside.parent] or frames
    words = re.sub(r"fairbench_(?:once|now)_[0-9a-f]{16}_beside\.?", ".", str(error))  # a name that only we know
    said = f"{kind}: {shorten(words, 300)}"  # torch lists hundreds of missing keys
    return f"{said} ({own[-1].filename}, line {own[-1].lineno})" if own else said


def _is_loading(filename: str) -> bool:
    """Whether a frame is of what loads code, whose lines tell nobody anything."""
    machinery = {Path(importlib.__file__).parent, Path(importlib.__file__).parent / "metadata"}
    ours = {__file__, sys.modules[Siblings.__module__].__file__}
    return filename.startswith("<frozen") or filename in ours or Path(filename).parent in machinery


def _beside(name: str) -> str:
    """The package in which a module's siblings are kept."""
    return f"{name}_beside"


def _forget(name: str) -> None:
    """Take a module and its siblings out of the table of modules."""
    beside = _beside(name)
    for known in [known for known in sys.modules if known in (name, beside) or known.startswith(f"{beside}.")]:
        del sys.modules[known]
