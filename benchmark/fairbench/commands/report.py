"""`fairbench report`: outcomes to a static site."""

from dataclasses import replace
from pathlib import Path

from fairbench.boards.board import Boards, Problem
from fairbench.boards.building import build_boards
from fairbench.boards.releases import Release, read_releases, unreleased
from fairbench.errors import UserError
from fairbench.method import registry
from fairbench.outcomes import literature
from fairbench.report.site.page import History, report_is_current, write_site
from fairbench.report.terminal.console import console


def report(results: Path, site: Path, *, check: bool) -> int:
    """Write the site, or check it. Returns the exit code: not 0 if a file could not be used or the site is stale."""
    out = console()
    if not results.is_dir():
        raise UserError(f"There is no folder {results}; run `fairbench run-all` first, or name it with --results.")
    boards, published = with_literature(build_boards(results, expected=registry.names()), results)
    boards, history = with_history(boards, results)
    for problem in boards.problems:
        out.print(f"Left out: {problem.message}", markup=False)
    if check:
        current = report_is_current(boards, site, literature=published, history=history)
        out.print(f"{site} {'shows' if current else 'does not show'} what {results} implies.")
        if not current:
            out.print("Run `fairbench report` to bring it up to date.")
        return 1 if boards.problems or not current else 0
    if not boards.boards and not boards.problems:
        out.print(f"{results} holds no outcomes: there is nothing like {results}/<suite>/<label>/seed0.parquet.")
    written = write_site(boards, site, literature=published, history=history)
    out.print(f"Wrote {written[0]} and {len(written) - 1} files around it.")
    return 1 if boards.problems else 0


def with_history(
    boards: Boards, results: Path, read: tuple[tuple[Release, ...], tuple[Problem, ...]] | None = None
) -> tuple[Boards, History]:
    """The released versions, and the boards with a problem more for each that cannot be used.

    Args:
        boards: of today.
        results: of all suites.
        read: the versions, if they are read already; they do not change.
    """
    releases, problems = read or read_releases(results)
    last = {one.version.suite: one.version for one in releases}
    since = {suite: unreleased(results, version) for suite, version in last.items()}
    return replace(boards, problems=(*boards.problems, *problems)), History(releases=releases, since=since)


def with_literature(boards: Boards, results: Path) -> tuple[Boards, tuple[literature.Published, ...]]:
    """What others published, and the boards with a problem more if that cannot be read."""
    path = results / literature.FILE
    try:
        return boards, literature.read_published(path)
    except UserError as error:
        problem = Problem(file=literature.FILE, message=str(error).replace(str(path), literature.FILE))
        return replace(boards, problems=(*boards.problems, problem)), ()
