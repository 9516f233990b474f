"""What a method is asked before anything is trained: to be constructed, for its recipe, and for what it builds on.

    method = constructed(MyMethod, {"beta": "3"}, called="The method 'my-method' of the plug-in mine.py")
    recipe_of(method, suite.recipe), needed_by(method)

These hooks are their author's code and run while a plan is made, so whatever they raise or return by mistake is one
sentence with the file and line, and stops no other method.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

from fairbench.errors import UserError
from fairbench.foreign_code import run_foreign
from fairbench.method.contract import Method, Prerequisite
from fairbench.protocol.recipe import Recipe
from fairbench.protocol.suite import Parameter

_T = TypeVar("_T")

_ADVICE = "Only hyper-parameters are known so early; what the trainer gives (model, classes) is there from `start` on."


def constructed(cls: type[Method], changes: Mapping[str, str | Parameter], *, called: str = "") -> Method:
    """A method with some hyper-parameters changed; text is read as the field's type.

    Args:
        cls: the method.
        changes: by name.
        called: what it is to the user, as a sentence begins; its class by default.

    Raises:
        UserError: for an unknown hyper-parameter or a value that is not allowed, and if the constructor raises.
    """
    found = _asked(cls, lambda: cls.configured(changes), f"{called or cls.__name__} cannot be constructed")
    options = [field.name for field in fields(cls) if field.init]
    if unset := [name for name in options if not hasattr(found, name)]:
        raise UserError(f"{called or cls.__name__} cannot be constructed: its constructor leaves {unset[0]!r} unset.")
    return found


def recipe_of(method: Method, recipe: Recipe) -> Recipe:
    """The recipe as a method needs it.

    Raises:
        UserError: if the hook raises, or returns something else.
    """
    name = type(method).__name__
    found = _asked(type(method), lambda: method.recipe(recipe), f"`recipe` of {name} failed")
    if not isinstance(found, Recipe):
        raise UserError(
            f"`recipe` of {name} returned {found!r}; it must return a Recipe, such as dataclasses.replace(recipe, ...)."
        )
    return found


def needed_by(method: Method) -> tuple[Prerequisite, ...]:
    """What must be trained first.

    Raises:
        UserError: if the hook raises, or returns something else.
    """
    name = type(method).__name__
    found = _asked(type(method), method.prerequisites, f"`prerequisites` of {name} failed")
    if not isinstance(found, tuple | list) or not all(isinstance(need, Prerequisite) for need in found):
        raise UserError(
            f"`prerequisites` of {name} returned {found!r}; it must return a tuple of Prerequisite, () for none."
        )
    return tuple(found)


def _asked(cls: type[Method], call: Callable[[], _T], problem: str) -> _T:
    inside = inspect.getsourcefile(cls)
    return run_foreign(call, problem, inside=Path(inside) if inside else None, advice=_ADVICE, passing=UserError)
