"""Released versions of boards: reading them, and what changed from one to the next.

    found, problems = read_releases(Path("results"))
    found[1].boards                     # as they were then
    found[1].change.added               # ("smooth-at",)

    release(Path("results"), "cifar10-small", day="2026-11-30", note="The first.")

A version is a folder of results by itself, which nobody writes into again; so results of another protocol or engine are
kept, and never mixed with those of today.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairbench.atomic import check_writable
from fairbench.boards.board import Board, Boards, Problem
from fairbench.boards.building import build_boards
from fairbench.boards.seed_result import SeedResult
from fairbench.errors import UserError, unknown
from fairbench.identity import content_key, file_sha256
from fairbench.outcomes.board_version import (
    BoardVersion,
    content_sha256,
    read_versions,
    released_suites,
    version_files,
    write_versions,
)
from fairbench.outcomes.comparability import engine_of
from fairbench.outcomes.receipt import receipt_file
from fairbench.statistics.bootstrap import DRAWS


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What is different from the version before; everything was added to the first one.

    Attributes:
        added: labels of rows, sorted.
        removed: of rows that are gone.
        changed: of rows with other outcomes.
        protocol: before and after; None if it is the same.
        engine: before and after; None if it is the same.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    protocol: tuple[str, str] | None = None
    engine: tuple[str, str] | None = None

    @property
    def nothing(self) -> bool:
        """Whether all is as it was."""
        return self == Change()


@dataclass(frozen=True, kw_only=True, eq=False)
class Release:
    """One released version.

    Attributes:
        version: what its suite's file says.
        folder: of its results.
        boards: made of them.
        change: since the version before.
    """

    version: BoardVersion
    folder: Path
    boards: Boards
    change: Change


def read_releases(results: Path, *, draws: int = DRAWS) -> tuple[tuple[Release, ...], tuple[Problem, ...]]:
    """Every released version below a folder of results, oldest first by suite, and those that cannot be used.

    Args:
        results: of all suites; it need not exist.
        draws: resamples behind the standings.
    """
    found: list[Release] = []
    problems: list[Problem] = []
    for suite in released_suites(results):
        try:
            versions = read_versions(results, suite)
        except UserError as error:
            problems.append(_problem(f"{suite}/board.toml", str(error), results))
            continue
        before: BoardVersion | None = None
        for version in versions:
            folder = version.folder(results)
            held = content_sha256(folder)
            if held != version.sha256:
                message = (
                    f"{folder} is not version {version.number} of {suite} as it was released: its digest is "
                    f"{held[:16]}..., not {version.sha256[:16]}...; restore its files."
                )
                problems.append(_problem(f"{suite}/versions/{version.number}", message, results))
                continue
            boards = build_boards(folder, draws=draws)
            problems += [
                _problem(f"{version.tag}/{one.file}", f"{version.tag}: {one.message}", results)
                for one in boards.problems
            ]
            change = _change(before, version, results)
            found.append(Release(version=version, folder=folder, boards=boards, change=change))
            before = version
    return tuple(found), tuple(problems)


def unreleased(results: Path, version: BoardVersion) -> Change:
    """What changed since a suite's last version: rows of today against its own."""
    return _rows_changed(_rows(version.folder(results)), _rows(results, only=_folders(version, results)))


def release(results: Path, suite: str, *, day: str, note: str) -> BoardVersion:
    """Make the board of a suite, as it is, its next version.

    Args:
        results: of all suites.
        suite: name.
        day: in ISO 8601.
        note: what it is about, in a sentence; "" for none.

    Raises:
        UserError: if there is no such board, a file cannot be used, its rows follow several protocols or engines, or
            nothing changed since the version before.
    """
    boards = build_boards(results, draws=2)
    own = [board for board in boards.boards if board.suite == suite and board.trains]
    if not own:
        raise unknown("board", suite, {board.suite for board in boards.boards if board.trains})
    if boards.problems:
        raise UserError(f"{boards.problems[0].message} A version cannot be released around it.")
    seeds = [result for board in own for row in board.rows for result in row.results]
    earlier = read_versions(results, suite)
    version = BoardVersion(
        suite=suite,
        number=len(earlier) + 1,
        released=day,
        protocol=_one("protocols", {str(board.protocol["protocol"]) for board in own}, own),
        engine=_one("engines", {engine_of(result.provenance) for result in seeds if result.finished}, own),
        sha256="0" * 64,
        note=note,
    )
    target = version.folder(results)
    check_writable(target.parent)
    for left in target.parent.glob(".releasing-*"):  # by a release that was killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".releasing-", dir=target.parent) as fresh:
        folder = Path(fresh, "version")
        _copy(seeds, results, folder)
        sha256 = content_sha256(folder)
        if earlier and earlier[-1].sha256 == sha256:
            raise UserError(f"Nothing changed since {earlier[-1].tag}, released on {earlier[-1].released}.")
        if target.exists():  # of a release that was killed before its last step
            shutil.rmtree(target)
        folder.rename(target)
    complete = BoardVersion(
        suite=suite,
        number=version.number,
        released=day,
        protocol=version.protocol,
        engine=version.engine,
        sha256=sha256,
        note=note,
    )
    write_versions(results, [*earlier, complete])
    return complete


def _one(what: str, found: set[str], boards: Sequence[Board]) -> str:
    """The one that all share."""
    kinds = {content_key({**board.protocol, "evaluation": None}) for board in boards}
    if len(found) > 1 or len(kinds) > 1:
        named = ", ".join(sorted(found)) if len(found) > 1 else "differing in more than their version"
        raise UserError(
            f"The rows of {boards[0].suite} follow several {what} ({named}), which no version mixes. Run the older "
            "ones again, or move them away; those of a released version stay with it."
        )
    return min(found, default="none")


def _copy(seeds: Sequence[SeedResult], results: Path, folder: Path) -> None:
    try:
        for result in seeds:
            for path in (results / result.file, receipt_file(results / result.file)):
                if path.exists():
                    copy = folder / path.relative_to(results)
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, copy)
    except OSError as error:
        raise UserError(f"Cannot copy {error.filename}: {error.strerror or error}.") from error


def _change(before: BoardVersion | None, version: BoardVersion, results: Path) -> Change:
    if before is None:
        return Change(added=tuple(sorted(_rows(version.folder(results)))))
    rows = _rows_changed(_rows(before.folder(results)), _rows(version.folder(results)))
    return Change(
        added=rows.added,
        removed=rows.removed,
        changed=rows.changed,
        protocol=_pair(before.protocol, version.protocol),
        engine=_pair(before.engine, version.engine),
    )


def _pair(before: str, after: str) -> tuple[str, str] | None:
    return None if before == after else (before, after)


def _rows_changed(before: Mapping[str, str], after: Mapping[str, str]) -> Change:
    return Change(
        added=tuple(sorted(set(after) - set(before))),
        removed=tuple(sorted(set(before) - set(after))),
        changed=tuple(sorted(label for label in set(before) & set(after) if before[label] != after[label])),
    )


def _rows(folder: Path, *, only: frozenset[str] = frozenset()) -> dict[str, str]:
    """Digest of the outcome files of every row, by label."""
    found: dict[str, list[str]] = {}
    for path in _outcome_files(folder):
        suite, label, name = path.relative_to(folder).parts
        if not only or suite in only:
            found.setdefault(label, []).append(f"{suite}/{name} {file_sha256(path)}")
    return {label: content_key({"files": files}) for label, files in found.items()}


def _outcome_files(folder: Path) -> Iterator[Path]:
    return (path for path in version_files(folder) if path.suffix == ".parquet")


def _folders(version: BoardVersion, results: Path) -> frozenset[str]:
    """Folders of results that a version is made of: that of its suite, and of models that were trained elsewhere."""
    folder = version.folder(results)
    return frozenset({version.suite} | {path.relative_to(folder).parts[0] for path in _outcome_files(folder)})


def _problem(file: str, message: str, results: Path) -> Problem:
    return Problem(file=file, message=message.replace(f"{results}/", ""))
