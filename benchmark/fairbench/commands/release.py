"""`fairbench release`: the board of a suite, as it is, becomes its next version, which never changes again."""

from datetime import UTC, datetime
from pathlib import Path

from fairbench.boards.releases import release as make
from fairbench.errors import UserError
from fairbench.report.terminal.console import console


def release(suite: str, results: Path, *, day: str, note: str) -> int:
    """Freeze the outcomes of a board and list them as a version. Returns the exit code."""
    if not results.is_dir():
        raise UserError(f"There is no folder {results}; name it with --results.")
    version = make(results, suite, day=day or datetime.now(UTC).date().isoformat(), note=note)
    out = console()
    out.print(f"Released {version.tag}: {version.protocol}, {version.engine}, digest {version.sha256}.", markup=False)
    out.print(
        f"Its outcome files are in {version.folder(results)}; keep them, and {results / suite / 'board.toml'}.",
        markup=False,
    )
    out.print("`fairbench report` gives it an address of its own.")
    return 0
