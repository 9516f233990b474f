"""A check and its outcome."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from fairbench.testing.trial import Trial


class CheckFailedError(AssertionError):
    """A method does not do what a check wants; the message says what happened, in one sentence."""


class Outcome(Enum):
    """How a check ended; the value is what people read."""

    PASSED = "passed"
    FAILED = "failed"
    EXPECTED_FAILURE = "expected failure"
    UNEXPECTEDLY_PASSED = "unexpectedly passed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """Something that must hold for every method.

    Attributes:
        name: in kebab-case; a key of `Method.expected_failures`.
        advice: what to do when it fails.
        run: raises if it does not hold.
    """

    name: str
    advice: str
    run: Callable[[Trial], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """What became of a check.

    Attributes:
        check: which.
        outcome: how it ended.
        reason: what happened, or why it was expected; "" if it passed.
        same_as: an earlier check that failed for the same reason, which is the one to look at; "" if there is none.
    """

    check: Check
    outcome: Outcome
    reason: str = ""
    same_as: str = ""

    @property
    def good(self) -> bool:
        """Whether everything is as its author says."""
        return self.outcome in (Outcome.PASSED, Outcome.EXPECTED_FAILURE)
