"""Results as a table in one call, from a folder or from the address at which a board is published.

    from fairbench import load_results

    load_results("results")                                                  # every run, class and attack
    load_results("https://fairbench.github.io/fairbench", version="cifar10-small-1", by="method")

Nothing here needs torch: a laptop reads a board in seconds.
"""

import os
from pathlib import Path
from typing import Literal, get_args

import pandas as pd

from fairbench.boards.board import Board
from fairbench.boards.building import build_boards
from fairbench.boards.tables import methods_table, runs_table
from fairbench.errors import UserError, not_allowed
from fairbench.outcomes.board_version import content_sha256, read_versions, released_suites
from fairbench.outcomes.published_version import published_version
from fairbench.outcomes.version_index import INDEX, VersionIndex

By = Literal["run", "method"]


def load_results(
    source: str | os.PathLike[str],
    *,
    by: By = "run",
    version: str = "",
    sha256: str = "",
    cache: str | os.PathLike[str] | None = None,
) -> pd.DataFrame:
    """Results as a table; accuracies are shares in [0, 1].

    Args:
        source: a folder of results, a site on the disk, or the address of a site (https, or whatever fsspec opens).
        by: `run` gives one line per run, class and attack: images, correct, accuracy. `method` gives one per row of a
            board: every key with its interval, the places that it may have, and its group.
        version: tag of a released version, such as "cifar10-small-1"; needed for a site, and for a folder "" means
            the results as they are today.
        sha256: digest of that version, as on its page. With it, what was fetched once is read without a network.
        cache: where fetched versions are kept; by default `$XDG_CACHE_HOME/fairbench`, or `~/.cache/fairbench`.

    Raises:
        UserError: if there is no such folder, site or version, or a file in it cannot be used.
    """
    if by not in get_args(By):
        raise not_allowed(f"by = {by!r}", ", ".join(get_args(By)))
    boards = _boards(_folder(os.fspath(source), version, sha256=sha256, cache=None if cache is None else Path(cache)))
    return runs_table(boards) if by == "run" else methods_table(boards)


def _folder(source: str, version: str, *, sha256: str, cache: Path | None) -> Path:
    """Where the outcome files lie on this disk."""
    folder = Path(source)
    if "://" in source or (folder / INDEX).is_file():
        return published_version(source, version, sha256=sha256, cache=cache)
    if not folder.is_dir():
        raise UserError(f"There is no folder {source}; give one of results, or the address of a site, as https://....")
    if not version:
        if sha256:
            raise UserError(f"sha256={sha256!r} is the digest of a released version; say which one by version=.")
        return folder
    known = VersionIndex(versions=tuple(v for suite in released_suites(folder) for v in read_versions(folder, suite)))
    found = known.find(version, origin=source)
    held = content_sha256(found.folder(folder))
    if held != found.sha256 or sha256 not in ("", held):
        wanted = sha256 or found.sha256
        raise UserError(
            f"{found.folder(folder)} has the digest {held}, not {wanted}; restore it from where it was released."
        )
    return found.folder(folder)


def _boards(folder: Path) -> tuple[Board, ...]:
    """All boards of a folder of results.

    Raises:
        UserError: if there is no result in it, or one cannot be used: a table with a run too few would mislead.
    """
    boards = build_boards(folder)
    if boards.problems:
        more = f" ({len(boards.problems) - 1} more)" if len(boards.problems) > 1 else ""
        raise UserError(f"{boards.problems[0].message}{more} Repair or remove it: a table without it would mislead.")
    if not boards.boards:
        raise UserError(f"{folder} holds no results; run `fairbench run-all` first.")
    return boards.boards
