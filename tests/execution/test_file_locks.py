"""Three ways in which locks do not hold, each in a sentence, and one in which they do."""

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fairbench.execution.file_locks import lock_problem


def failing(number: int) -> Callable[[int, int], None]:
    """A `flock` of a file system that cannot."""

    def flock(descriptor: int, operation: int) -> None:
        del descriptor, operation
        raise OSError(number, os.strerror(number))

    return flock


def test_locks_that_hold_are_no_problem(tmp_path: Path) -> None:
    assert not lock_problem(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flock", "words"),
    [
        (failing(errno.ENOSYS), "is on a file system without locks (Function not implemented). Mount it with locks"),
        (failing(errno.ENOLCK), "does not answer (No locks available). Mount it with locks"),
        (lambda _descriptor, _operation: None, "exclude nobody. Mount it with locks"),
    ],
)
def test_locks_that_do_not_hold(
    flock: Callable[[int, int], None], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", flock)
    problem = lock_problem(tmp_path)
    assert words in problem
    assert str(tmp_path) in problem
    assert "--work-dir" in problem
