"""Which callables of a file are attacks: those that are called as `(model, images, labels, threat, noise)`."""

import inspect
import re
from types import ModuleType
from typing import Any

SIGNATURE = ("model", "images", "labels", "threat", "noise")


def attacks_in(module: ModuleType) -> dict[str, Any]:
    """Functions and classes that a file defines itself and that are attacks, by the kebab-case of their names."""
    own = {
        name: value
        for name, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__ and not name.startswith("_")
    }
    return {_kebab(name): value for name, value in own.items() if _is_attack(value)}


def _is_attack(value: Any) -> bool:
    called = value.__call__ if isinstance(value, type) and "__call__" in vars(value) else value
    if not inspect.isfunction(called):
        return False
    parameters = tuple(inspect.signature(called).parameters)
    return (parameters[1:] if called is not value else parameters) == SIGNATURE


def _kebab(name: str) -> str:
    """`random_corners` and `RandomCorners` are random-corners."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name.replace("_", "-")).lower()
