"""Verdicts on disk as they are found, so that an interrupted evaluation goes on where it stopped.

One JSON object per line. The first line is the fingerprint of the evaluation, by part; every further line holds the
verdicts of one chunk of images under one attack, appended and flushed as soon as they are known. A last line that a
kill cut off is dropped and its chunk attacked again; a log of another evaluation is refused, never mixed.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from fairbench.atomic import atomic
from fairbench.errors import UserError


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkVerdicts:
    """What one attack did to one chunk of images.

    Attributes:
        attack: its name.
        images: indices of the attacked images in the test set.
        broken: positions within the chunk of verified breaks.
        predictions: of the broken images, in the same order.
        unverified: positions of images with a break that the attack claimed and the verification refused.
        nonfinite: positions of images with a point in their ball where a logit is infinite or NaN; they are broken.
        seconds: wall time.
    """

    attack: str
    images: list[int]
    broken: list[int]
    predictions: list[int]
    unverified: list[int]
    nonfinite: list[int]
    seconds: float


class Verdicts(Protocol):
    """One line of a log: a dataclass of plain values."""

    @property
    def attack(self) -> str:
        """Name of the attack."""


_V = TypeVar("_V", bound=Verdicts)


class VerdictLog(Generic[_V]):
    """The log of one evaluation.

    Args:
        path: of the file; created if it does not exist.
        fingerprint: what the verdicts depend on, by part (`weights`, `data`, `settings`); plain values.
        kind: of its lines.

    Raises:
        UserError: if the file belongs to another evaluation, or cannot be read or written.
    """

    def __init__(self, path: Path, fingerprint: Mapping[str, object], *, kind: type[_V]) -> None:
        self._path = path
        self._known: list[_V] = []
        try:
            lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        except OSError as error:
            raise UserError(f"Cannot read {path}: {error.strerror or error}.") from error
        if not lines or not lines[0].endswith(b"\n"):
            with atomic(path) as temporary:
                temporary.write_text(json.dumps({"fingerprint": fingerprint}) + "\n", encoding="utf-8")
            return
        _check_fingerprint(path, lines[0], fingerprint)
        length = len(lines[0])
        for line in lines[1:]:
            verdicts = _read(line, kind)
            if verdicts is None:
                break
            self._known.append(verdicts)
            length += len(line)
        with path.open("r+b") as file:
            file.truncate(length)  # so that the next line does not continue a broken one

    def of(self, attack: str) -> list[_V]:
        """What is known of an attack, in the order in which it was found."""
        return [verdicts for verdicts in self._known if verdicts.attack == attack]

    def append(self, verdicts: _V) -> None:
        """Add the verdicts of a chunk; they are on disk when this returns.

        Raises:
            UserError: if the disk is full or the file has become unwritable.
        """
        try:
            with self._path.open("ab") as file:
                file.write(json.dumps(_plain(verdicts)).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UserError(f"Cannot write {self._path}: {error.strerror or error}.") from error
        self._known.append(verdicts)


def _check_fingerprint(path: Path, line: bytes, fingerprint: Mapping[str, object]) -> None:
    try:
        found = dict(json.loads(line)["fingerprint"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no log of verdicts; move it away and run again.") from error
    expected = json.loads(json.dumps(fingerprint))
    differing = sorted(part for part in {*found, *expected} if found.get(part) != expected.get(part))
    if differing:
        raise UserError(
            f"{path} holds the verdicts of another evaluation, with other {' and other '.join(differing)}; "
            "use another folder, or delete the file to attack from the beginning."
        )


def _plain(verdicts: Any) -> dict[str, object]:
    return asdict(verdicts)


def _read(line: bytes, kind: type[_V]) -> _V | None:
    """The verdicts of a line; None if it was cut off."""
    if not line.endswith(b"\n"):
        return None
    try:
        return kind(**json.loads(line))
    except (ValueError, TypeError):
        return None
