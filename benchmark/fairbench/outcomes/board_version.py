"""A released version of a board: what it is made of, when it was released, and the file that lists all of a suite.

    results/<suite>/board.toml                                    [[versions]], oldest first
    results/<suite>/versions/<n>/<suite>/<label>/seed<k>.parquet  what version n is made of; a results folder by itself

    read_versions(Path("results"), "cifar10-small")[-1].tag       # "cifar10-small-2"

A version never changes: its digest says which files it has and what is in them. What lies in `results/<suite>/` itself
is the board as it is today, of which the next version will be made.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from fairbench.atomic import atomic
from fairbench.errors import UserError, first_line
from fairbench.fields import Allowed, build, check_fields
from fairbench.identity import file_sha256
from fairbench.outcomes.receipt import ENDING

FILE = "board.toml"
FOLDER = "versions"
"""Of a suite's released versions, below its folder of results."""

RECORD = re.compile(rf"[a-z0-9_-][a-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9._-]*/seed\d+(\.parquet|{re.escape(ENDING)})")
"""What a version holds: outcome files and receipts, by their path in it."""

_HEAD = "# Released versions of this board, oldest first. Written by `fairbench release`.\n"


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


Day = Annotated[str, Allowed(holds=_is_date, words="a date such as 2026-11-30")]
Digest = Annotated[str, Allowed(holds=re.compile("[0-9a-f]{64}").fullmatch, words="64 lower-case hexadecimal digits")]
SuiteName = Annotated[
    str,
    Allowed(holds=re.compile("[a-z0-9_-][a-z0-9_.-]*").fullmatch, words="lower-case letters, digits, '-', '_' and '.'"),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class BoardVersion:
    """One release of one board.

    Attributes:
        suite: name of the suite.
        number: from 1.
        released: the day, as in ISO 8601.
        protocol: version of the rules.
        engine: of AutoAttack, with its version.
        sha256: digest of what it is made of, see `content_sha256`.
        note: what the release is about, in a sentence; "" for none.
    """

    suite: SuiteName
    number: Annotated[int, Allowed(at_least=1)]
    released: Day
    protocol: str
    engine: str
    sha256: Digest
    note: str = ""

    def __post_init__(self) -> None:
        check_fields(self, prefix="versions.")

    @property
    def tag(self) -> str:
        """What it is called wherever versions of several boards are: `<suite>-<number>`."""
        return f"{self.suite}-{self.number}"

    def folder(self, results: Path) -> Path:
        """Its own folder of results."""
        return results / self.suite / FOLDER / str(self.number)


def released_suites(results: Path) -> list[str]:
    """Names of the suites of which a version was released, sorted."""
    return sorted(path.parent.name for path in results.glob(f"*/{FILE}"))


def read_versions(results: Path, suite: str) -> tuple[BoardVersion, ...]:
    """Every released version of a suite, oldest first; none if there is no file.

    Raises:
        UserError: if the file cannot be read, or its versions are not numbered 1, 2, 3, ...
    """
    path = results / suite / FILE
    if not path.exists():
        return ()
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{path} is not readable TOML ({first_line(error)}); repair it.") from error
    found = table.get("versions")
    if set(table) != {"versions"} or not isinstance(found, list):
        raise UserError(
            f"{path} holds {', '.join(sorted(table)) or 'nothing'}; allowed: a list of tables [[versions]]."
        )
    try:
        versions = tuple(build(BoardVersion, _plain(one) | {"suite": suite}, prefix="versions.") for one in found)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if [version.number for version in versions] != list(range(1, len(versions) + 1)):
        numbers = ", ".join(str(version.number) for version in versions)
        raise UserError(f"{path} numbers its versions {numbers}; allowed: 1, 2, 3, ... in this order.")
    return versions


def write_versions(results: Path, versions: Sequence[BoardVersion]) -> Path:
    """Write the file of a suite atomically; equal versions are equal files.

    Args:
        results: folder of all suites.
        versions: of one suite, oldest first; at least one.
    """
    path = results / versions[0].suite / FILE
    lines = [_HEAD]
    for version in versions:
        lines.append("[[versions]]\n")
        for name, value in asdict(version).items():
            if name != "suite" and value != "":
                shown = value if name == "released" else json.dumps(value, ensure_ascii=False)
                lines.append(f"{name} = {shown}\n")
    with atomic(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")
    return path


def version_files(folder: Path) -> Iterator[Path]:
    """The outcome files and receipts of a folder of results, sorted by their path."""
    found = (path for path in folder.glob("*/*/seed*") if path.is_file())
    yield from sorted(path for path in found if RECORD.fullmatch(path.relative_to(folder).as_posix()))


def content_sha256(folder: Path) -> str:
    """What a version is recognised by: the SHA-256 of the text that `sha256sum` prints of its files, sorted by path.

    Raises:
        UserError: if a file cannot be read.
    """
    try:
        lines = [f"{file_sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in version_files(folder)]
    except OSError as error:
        raise UserError(f"Cannot read {error.filename or folder}: {error.strerror or error}.") from error
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _plain(table: Any) -> dict[str, Any]:
    """A table as dataclasses are built from; TOML has dates of its own."""
    if not isinstance(table, dict):
        raise UserError(f"versions = {table!r} must be tables, written as [[versions]].")
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in table.items()}
