"""`fairbench report`: outcomes to a static site."""

from dataclasses import replace
from pathlib import Path

from fairbench.boards.board import Boards, Problem
from fairbench.boards.building import build_boards
from fairbench.errors import UserError
from fairbench.method import registry
from fairbench.outcomes import literature
from fairbench.report.site.page import report_is_current, write_site
from fairbench.report.terminal.console import console


def report(results: Path, site: Path, *, check: bool) -> int:
    """Write the site, or check it. Returns the exit code: not 0 if a file could not be used or the site is stale."""
    out = console()
    if not results.is_dir():
        raise UserError(f"There is no folder {results}; run `fairbench run-all` first, or name it with --results.")
    boards, published = with_literature(build_boards(results, expected=registry.names()), results)
    for problem in boards.problems:
        out.print(f"Left out: {problem.message}", markup=False)
    if check:
        current = report_is_current(boards, site, literature=published)
        out.print(f"{site} {'shows' if current else 'does not show'} what {results} implies.")
        if not current:
            out.print("Run `fairbench report` to bring it up to date.")
        return 1 if boards.problems or not current else 0
    if not boards.boards and not boards.problems:
        out.print(f"{results} holds no outcomes: there is nothing like {results}/<suite>/<label>/seed0.parquet.")
    written = write_site(boards, site, literature=published)
    out.print(f"Wrote {written[0]} and {len(written) - 1} files around it.")
    return 1 if boards.problems else 0


def with_literature(boards: Boards, results: Path) -> tuple[Boards, tuple[literature.Published, ...]]:
    """What others published, and the boards with a problem more if that cannot be read."""
    path = results / literature.FILE
    try:
        return boards, literature.read_published(path)
    except UserError as error:
        problem = Problem(file=literature.FILE, message=str(error).replace(str(path), literature.FILE))
        return replace(boards, problems=(*boards.problems, problem)), ()
