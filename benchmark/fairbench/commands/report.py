"""`fairbench report`: outcomes to a static page."""

from pathlib import Path

from fairbench import methods
from fairbench.console import console
from fairbench.errors import UserError
from fairbench.ranking import build_boards
from fairbench.report.page import report_is_current, write_site


def report(results: Path, site: Path, *, check: bool) -> int:
    """Write the page, or check it. Returns the exit code: not 0 if a file could not be used or the page is stale."""
    out = console()
    if not results.is_dir():
        raise UserError(f"There is no folder {results}; run `fairbench run-all` first, or name it with --results.")
    boards = build_boards(results, expected=methods.names())
    for problem in boards.problems:
        out.print(f"Left out: {problem.message}", markup=False)
    if check:
        current = report_is_current(boards, site)
        out.print(f"{site} {'shows' if current else 'does not show'} what {results} implies.")
        if not current:
            out.print("Run `fairbench report` to bring it up to date.")
        return 1 if boards.problems or not current else 0
    for path in write_site(boards, site):
        out.print(f"Wrote {path}.")
    return 1 if boards.problems else 0
