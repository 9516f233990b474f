"""`fairbench report`: outcomes to a static page."""

from pathlib import Path

from rich.console import Console

from fairbench import methods
from fairbench.ranking import build_boards
from fairbench.report.page import report_is_current, write_site


def report(results: Path, site: Path, *, check: bool) -> int:
    """Write the page, or check it. Returns the exit code: not 0 if a file could not be used or the page is stale."""
    console = Console()
    boards = build_boards(results, expected=methods.names())
    for problem in boards.problems:
        console.print(f"Left out: {problem.message}", markup=False, highlight=False, soft_wrap=True)
    if check:
        current = report_is_current(boards, site)
        console.print(f"{site} {'shows' if current else 'does not show'} what {results} implies.", highlight=False)
        if not current:
            console.print("Run `fairbench report` to bring it up to date.", highlight=False)
        return 1 if boards.problems or not current else 0
    for path in write_site(boards, site):
        console.print(f"Wrote {path}.", highlight=False)
    return 1 if boards.problems else 0
