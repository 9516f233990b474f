"""A model that somebody's own code builds: a function of a package, or of a file that nobody installed.

    model = call_factory("torchvision.models:resnet18", arguments={"num_classes": 10}).model
    model = call_factory("experiments/models.py:robust_resnet").model

The function returns an `nn.Module` that maps images to logits. Whatever goes wrong in such code is one sentence with
the file and line.
"""

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType, ModuleType

from torch import nn

from fairbench.errors import UserError
from fairbench.foreign_code import ForeignFile, run_foreign

_MISSING = "Install it or set PYTHONPATH; a model in a file that is not installed is given as path/to/file.py:factory."


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """What a factory gave.

    Attributes:
        model: from images in [0, 1] to logits.
        code_sha256: of the file with the factory and of what it imported from beside it; "" for a package.
    """

    model: nn.Module
    code_sha256: str


def call_factory(
    given: str,
    *,
    arguments: Mapping[str, object] = MappingProxyType({}),
    offered: Mapping[str, object] = MappingProxyType({}),
) -> Built:
    """Import what is before the last colon, and call what is after it.

    Args:
        given: `package.module:factory` or `path/to/file.py:factory`. A file may import what lies beside it; `__file__`
            is its path, and nothing of it stays imported.
        arguments: with which it is called, by name.
        offered: more of them, for parameters of these names, where it has them and `arguments` does not say otherwise.

    Raises:
        UserError: if it cannot be imported, fails, or returns something else.
    """
    target, _, name = given.rpartition(":")
    path = Path(target).expanduser().absolute() if target.endswith(".py") else None
    file = None if path is None else ForeignFile.read(path, called="the model")
    with _module(target) if file is None else file.passing_module() as module:
        factory = getattr(module, name, None)
        if not callable(factory):
            own = [
                n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module.__name__
            ]
            raise UserError(
                f"{target} has no function {name!r}; it defines: {', '.join(sorted(own)) or 'none'}. Give the one "
                "that builds the model, as file.py:factory or package.module:factory."
            )
        known = _parameters(factory)
        keywords = {**{name: value for name, value in offered.items() if name in known}, **arguments}
        listed = ", ".join(f"{name}={value!r}" for name, value in keywords.items())
        problem = f"{given} failed, called with {listed}" if keywords else f"{given} failed, called without arguments"
        model = run_foreign(partial(factory, **keywords), problem, inside=path, missing=_MISSING)
        code = "" if file is None else file.code_sha256(module)
    if not isinstance(model, nn.Module):
        raise UserError(f"{given} returned an object of type {type(model).__name__}; it must return a torch.nn.Module.")
    return Built(model=model, code_sha256=code)


def _parameters(factory: Callable[..., object]) -> set[str]:
    """Names of its parameters; none where Python does not know them."""
    try:
        return set(inspect.signature(factory).parameters)
    except (TypeError, ValueError):
        return set()


@contextmanager
def _module(name: str) -> Iterator[ModuleType]:
    """An installed module. Afterwards the search path is as it was."""
    searched = list(sys.path)
    try:
        yield run_foreign(partial(importlib.import_module, name), f"{name} cannot be imported", missing=_MISSING)
    finally:
        sys.path[:] = searched
