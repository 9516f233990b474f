"""A model that somebody's own code builds: a function of a package, or of a file that nobody installed.

    model = call_factory("torchvision.models:resnet18")
    model = call_factory("experiments/models.py:robust_resnet")

The function is called without arguments and returns an `nn.Module` that maps images in [0, 1] to logits. Whatever
goes wrong in such code is one sentence with the file and line.
"""

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from types import ModuleType

from torch import nn

from fairbench.errors import UserError

_PRIVATE = "_fairbench_model_file"
_IMPORTING = {__file__, importlib.__file__}  # whose lines tell the user nothing


def call_factory(given: str) -> nn.Module:
    """Import what is before the last colon, and call what is after it.

    Args:
        given: `package.module:factory` or `path/to/file.py:factory`. A file is alone: it is imported under a private
            name, without its folder, and `__file__` is its path.

    Raises:
        UserError: if it cannot be imported, fails, or returns something else.
    """
    target, _, name = given.rpartition(":")
    path = Path(target).expanduser().absolute() if target.endswith(".py") else None
    with _imported(target, path=path) as module:
        factory = getattr(module, name, None)
        if not callable(factory):
            own = [
                n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module.__name__
            ]
            raise UserError(
                f"{target} has no function {name!r}; it defines: {', '.join(sorted(own)) or 'none'}. Give the one "
                "that builds the model, as file.py:factory or package.module:factory."
            )
        with _explained(f"{given} failed, called without arguments", path=path):
            model = factory()
    if not isinstance(model, nn.Module):
        raise UserError(f"{given} returned an object of type {type(model).__name__}; it must return a torch.nn.Module.")
    return model


@contextmanager
def _imported(target: str, *, path: Path | None) -> Iterator[ModuleType]:
    """The module. Afterwards one of a file is gone from the table of modules, and the search path is as it was."""
    searched = list(sys.path)
    try:
        yield _module(target) if path is None else _module_of_file(path)
    finally:
        sys.path[:] = searched
        sys.modules.pop(_PRIVATE, None)


def _module(name: str) -> ModuleType:
    with _explained(f"{name} cannot be imported", path=None):
        return importlib.import_module(name)


def _module_of_file(path: Path) -> ModuleType:
    try:
        source = path.read_bytes()
    except OSError as error:
        raise UserError(f"Cannot read the model {path}: {error.strerror or error}.") from error
    spec = importlib.util.spec_from_loader(_PRIVATE, loader=None, origin=str(path))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(path)
    sys.modules[_PRIVATE] = module  # dataclasses resolve annotations through it
    with _explained(f"{path} cannot be imported", path=path):
        exec(compile(source, str(path), "exec"), vars(module))  # noqa: S102  running it is what the user asked for
    return module


@contextmanager
def _explained(problem: str, *, path: Path | None) -> Iterator[None]:
    """Say in one sentence what went wrong in somebody's code, and where: in their own file if the error crossed it."""
    try:
        yield
    except (Exception, SystemExit) as error:  # the border to foreign code: the user shall see whatever it raises
        raise UserError(f"{problem}: {type(error).__name__}: {_described(error, path)}.{_advice(error)}") from error


def _described(error: BaseException, path: Path | None) -> str:
    if isinstance(error, SyntaxError):
        return f"{error.msg} ({error.filename or path}, line {error.lineno or 1})"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename not in _IMPORTING]
    frames = [f for f in frames if not f.filename.startswith("<frozen")]
    own = [f for f in frames if f.filename == str(path)] or frames
    said = shorten(str(error), 300)  # torch lists hundreds of missing keys
    return f"{said} ({own[-1].filename}, line {own[-1].lineno})" if own else said


def _advice(error: BaseException) -> str:
    if not isinstance(error, ModuleNotFoundError):
        return ""
    return " Install it or set PYTHONPATH; a model in a file that is not installed is given as path/to/file.py:factory."
