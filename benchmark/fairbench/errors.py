"""Errors that a user can act on: what was given, what is allowed, what to do next."""

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


INTERRUPTED = 130
"""Exit code after Ctrl-C, as the shell has it."""


class UserError(ValueError):
    """Something the user gave cannot be used. The command line prints the message without a traceback."""


class TrainingFailedError(RuntimeError):
    """Training cannot go on (a NaN, a collapse). It is a result: the run is stored as failed, with the reason.

    Args:
        reason: what happened, in one sentence.
        epoch: 0-based epoch in which it happened.

    Attributes:
        history: of the epochs before, which the trainer adds; it often explains the failure.
        seconds: wall time spent.
    """

    def __init__(self, reason: str, *, epoch: int) -> None:
        super().__init__(f"{reason} (epoch {epoch + 1})")
        self.reason = reason
        self.epoch = epoch
        self.history: list[dict[str, Any]] = []
        self.seconds = 0.0


def not_allowed(given: str, allowed: str) -> UserError:
    """An error for a value, given with its field as in `threat.steps = 0`, and what is allowed instead, in words."""
    return UserError(f"{given} is not allowed; allowed: {allowed}.")


def unknown(kind: str, given: str, allowed: "Iterable[str]", *, advice: str = "") -> UserError:
    """An error for a name that does not exist, with the closest one that does."""
    names = sorted(allowed)
    close = get_close_matches(given.lower(), names, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return UserError(f"Unknown {kind} {given!r}.{hint} Known: {', '.join(names)}.{' ' + advice if advice else ''}")


def first_line(error: BaseException) -> str:
    """What an error says in its first line; its type if it says nothing."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
