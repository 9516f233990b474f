"""Trackers by what the user asks for, held so that none of them can hurt the run that it watches.

with watching(("tensorboard", "mine.py:Printing"), subject) as tracker:
tracker.on_epoch(epoch)
"""

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fairbench.errors import UserError, first_line, unknown
from fairbench.foreign_code import ForeignFile, run_foreign
from fairbench.tracking.tracker import Attacked, Epoch, Subject, Tracker

ADAPTERS = {
    "tensorboard": ("fairbench.tracking.tensorboard", "TensorBoard"),
    "wandb": ("fairbench.tracking.wandb", "WeightsAndBiases"),
}
_ADVICE = "One of your own is given as file.py:Class or package.module:Class."


def check_trackers(names: Sequence[str]) -> None:
    """Refuse a tracker that does not exist, before anything is computed. Imports no adapter.

    Raises:
        UserError: naming those that there are.
    """
    for name in names:
        target, colon, _ = name.rpartition(":")
        if not colon and name not in ADAPTERS:
            raise unknown("tracker", name, ADAPTERS, advice=_ADVICE)
        if target.endswith(".py") and not Path(target).is_file():
            raise UserError(f"--track {name}: there is no file {target}.")


@contextmanager
def watching(names: Sequence[str], subject: Subject) -> Iterator[Tracker]:
    """The trackers of a run, as one.

    Args:
        names: of `ADAPTERS`, or `file.py:Class`, `package.module:Class`, called with the subject.
        subject: which run.

    Raises:
        UserError: if one does not exist or cannot be made.
    """
    guarded = _Guarded([(name, _made(name, subject)) for name in names])
    try:
        yield guarded
    finally:
        guarded.close()


class _Guarded:
    """Several trackers as one; one that raises is not told anything more, and the run goes on."""

    def __init__(self, trackers: list[tuple[str, Any]]) -> None:
        self._trackers = trackers

    def on_epoch(self, epoch: Epoch) -> None:
        self._tell(lambda tracker: tracker.on_epoch(epoch))

    def on_attack(self, attack: Attacked) -> None:
        self._tell(lambda tracker: tracker.on_attack(attack))

    def close(self) -> None:
        self._tell(lambda tracker: tracker.close())

    def _tell(self, say: Callable[[Any], object]) -> None:
        for one in list(self._trackers):
            try:
                say(one[1])
            except Exception as error:  # noqa: BLE001  the border to foreign code: watching must not stop a run
                self._trackers.remove(one)
                said = f"The tracker {one[0]} failed, and is not told anything more: {type(error).__name__}: "
                sys.stderr.write(f"{said}{first_line(error)}\n")


def _made(name: str, subject: Subject) -> object:
    target, colon, attribute = name.rpartition(":")
    if not colon:
        if name not in ADAPTERS:
            raise unknown("tracker", name, ADAPTERS, advice=_ADVICE)
        module, attribute = ADAPTERS[name]
        return getattr(importlib.import_module(module), attribute)(subject)
    if target.endswith(".py"):
        found: Any = ForeignFile.read(Path(target).expanduser().absolute(), called="the tracker").module()
    else:
        found = run_foreign(partial(importlib.import_module, target), f"The tracker {target} cannot be imported")
    make = getattr(found, attribute, None)
    if not callable(make):
        raise UserError(f"{target} has no class {attribute!r}; give the one that watches, as file.py:Class.")
    return run_foreign(partial(make, subject), f"The tracker {name} cannot be made")
