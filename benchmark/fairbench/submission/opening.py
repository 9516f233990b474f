"""Opening a bundle that a stranger wrote: which files it has is settled before any of them is read.

    bundle = open_bundle(Path("results/digits/smooth-at"))
    bundle.submission.runs[0].seed
    bundle.outcomes(bundle.submission.runs[0])

Only plain files in their places: no links, no devices, nothing that is not asked for, nothing larger than it can be.
Nothing that is read here can run code.
"""

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fairbench.errors import UserError, first_line
from fairbench.identity import file_sha256
from fairbench.outcomes.receipt import ENDING
from fairbench.outcomes.store import Outcomes, read_outcomes
from fairbench.submission.bundle import (
    SUBMISSION,
    Submission,
    SubmittedRun,
    outcomes_file,
    read_submission,
    weights_file,
)

MEBIBYTE = 2**20
_KINDS = (
    (re.compile(re.escape(SUBMISSION)), MEBIBYTE),
    (re.compile(r"seed\d{1,10}\.parquet"), 64 * MEBIBYTE),
    (re.compile(r"weights/seed\d{1,10}\.safetensors"), 2048 * MEBIBYTE),
    (re.compile(r"code/(?:[A-Za-z0-9_]+/)*[A-Za-z0-9_]+\.py"), MEBIBYTE),
)
"""What a bundle may hold, by path, and the most bytes of it."""

MOST_FILES = 500
MOST_ROWS = 2_000_000
"""Of an outcome file; the largest test set that anybody ranks on has a fortieth of it."""

MOST_METADATA = 16 * MEBIBYTE
MOST_UNPACKED = 256 * MEBIBYTE


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """A bundle whose files are what they should be, as far as that shows from outside.

    Attributes:
        folder: of it.
        submission: what it says of itself.
        files: paths below the folder, sorted.
    """

    folder: Path
    submission: Submission
    files: tuple[str, ...]

    def outcomes(self, run: SubmittedRun) -> Outcomes:
        """The verdicts of a seed, in the bytes that the submission names.

        Raises:
            UserError: if the file is missing, another one, too large once it is unpacked, or not what it claims to be.
        """
        path = outcomes_file(self.folder, run)
        self._check_bytes(path, run.outcomes)
        _check_size(path)
        try:
            return read_outcomes(path)
        except UserError as error:
            raise UserError(str(error).replace(str(path), path.name)) from error

    def weights(self, run: SubmittedRun) -> Path | None:
        """The checkpoint of a seed, in the bytes that the submission names; None if it brings none.

        Raises:
            UserError: if the file is missing or another one.
        """
        if not run.weights:
            return None
        path = weights_file(self.folder, run)
        self._check_bytes(path, run.weights)
        return path

    def code(self) -> dict[str, bytes]:
        """Python files by their path below `code/`; nothing of them was run."""
        return {
            name.removeprefix("code/"): (self.folder / name).read_bytes()
            for name in self.files
            if name.startswith("code/")
        }

    def _check_bytes(self, path: Path, expected: str) -> None:
        name = path.relative_to(self.folder).as_posix()
        if name not in self.files:
            raise UserError(f"{name} is missing, though {SUBMISSION} speaks of it.")
        if file_sha256(path) != expected:
            raise UserError(f"{name} is not the file that {SUBMISSION} speaks of: its SHA-256 is another one.")


def open_bundle(folder: Path) -> Bundle:
    """List the files of a bundle, and read what it says of itself.

    Raises:
        UserError: if it holds anything that is no part of a bundle, or says what is not allowed.
    """
    files = _files(folder)
    if SUBMISSION not in files:
        raise UserError(f"{folder} is no bundle: it holds no {SUBMISSION}. `fairbench submit` writes one.")
    submission = read_submission((folder / SUBMISSION).read_bytes())
    named = {outcomes_file(folder, run) for run in submission.runs}
    named |= {weights_file(folder, run) for run in submission.runs if run.weights}
    expected = {path.relative_to(folder).as_posix() for path in named} | {SUBMISSION}
    strays = [name for name in files if name not in expected and not name.startswith("code/")]
    if strays:
        raise UserError(f"The bundle holds {strays[0]}, of which {SUBMISSION} does not speak.")
    if not submission.code.file and any(name.startswith("code/") for name in files):
        raise UserError(f"The bundle holds code, of which {SUBMISSION} does not speak.")
    return Bundle(folder=folder, submission=submission, files=files)


def _files(folder: Path) -> tuple[str, ...]:
    """Every file, if each is a plain one in its place."""
    if folder.is_symlink() or not folder.is_dir():
        raise UserError(f"{folder} is no folder; give the one that `fairbench submit` wrote.")
    found: list[str] = []
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as listed:
            entries = list(listed)
        for entry in entries:
            name = Path(entry.path).relative_to(folder).as_posix()
            kind = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(kind.st_mode):
                waiting.append(Path(entry.path))
            else:
                _check_file(name, kind)
                found.append(name)
            if len(found) + len(waiting) > MOST_FILES:
                raise UserError(f"The bundle holds more than {MOST_FILES} files; a submission has a few per seed.")
    return tuple(sorted(found))


def _check_file(name: str, kind: os.stat_result) -> None:
    shown = repr(name) if not name.isprintable() else name
    if stat.S_ISLNK(kind.st_mode):
        raise UserError(f"The bundle holds the link {shown}; only plain files are read.")
    if not stat.S_ISREG(kind.st_mode):
        raise UserError(f"The bundle holds {shown}, which is no plain file.")
    if name.endswith(ENDING):
        raise UserError(
            f"The bundle holds the receipt {shown}; receipts are made by whoever keeps the board, never brought."
        )
    largest = next((largest for pattern, largest in _KINDS if pattern.fullmatch(name)), None)
    if largest is None:
        raise UserError(f"The bundle holds {shown}, which is no part of a submission.")
    if kind.st_size > largest:
        raise UserError(f"{shown} has {kind.st_size:,} bytes; at most {largest:,} are read.")


def _check_size(path: Path) -> None:
    """Refuse a parquet file that unpacks to more than any outcomes do, from its footer alone."""
    try:
        with pq.ParquetFile(path) as file:
            footer = file.metadata
            unpacked = sum(footer.row_group(n).total_byte_size for n in range(footer.num_row_groups))
            rows, said = footer.num_rows, sum(map(len, (footer.metadata or {}).values()))
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path.name} is not a readable parquet file ({first_line(error)}).") from error
    for what, given, most in (
        ("rows", rows, MOST_ROWS),
        ("unpacked bytes", unpacked, MOST_UNPACKED),
        ("bytes of metadata", said, MOST_METADATA),
    ):
        if not 0 <= given <= most:
            raise UserError(f"{path.name} claims {given:,} {what}; at most {most:,} are read.")
