"""Boards as a static site that needs no network, no server and no script.

    write_site(build_boards(Path("results")), Path("site"))

`index.html` holds the boards; `methods/` a page for every row and `downloads/` every board as data. Equal boards give
equal bytes: no timestamps, no machine, everything in a fixed order. Styles and script are inlined, and a content
security policy forbids every request and every script but ours. Whatever comes from results is escaped by the
templates.
"""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from fairbench.atomic import atomic
from fairbench.board import Boards
from fairbench.errors import UserError
from fairbench.literature import Published
from fairbench.report.downloads import downloads, same_table
from fairbench.report.environment import asset, environment
from fairbench.report.headings import anchor, headings
from fairbench.report.method_page import method_pages

PAGE = "index.html"
OURS = ("methods", "downloads")
"""Folders in which every file is generated, so that one which nothing implies any more is removed."""


def write_site(boards: Boards, site: Path, *, literature: Sequence[Published] = ()) -> list[Path]:
    """Write every page, each complete or not at all, and remove those of rows and boards that are gone.

    Raises:
        UserError: if the folder cannot be written or the disk is full.
    """
    written = pages(boards, literature=literature)
    for name, content in written.items():
        with atomic(site / name) as temporary:
            temporary.write_bytes(content)
    for path in _left_over(site, written):
        try:
            path.unlink()
        except OSError as error:
            raise UserError(f"Cannot remove {path}: {error.strerror or error}.") from error
    return [site / name for name in written]


def report_is_current(boards: Boards, site: Path, *, literature: Sequence[Published] = ()) -> bool:
    """Whether the site is what the boards imply, byte for byte, and without a page too many."""
    implied = pages(boards, literature=literature)
    return all(_holds(site / name, content) for name, content in implied.items()) and not _left_over(site, implied)


def pages(boards: Boards, *, literature: Sequence[Published] = ()) -> dict[str, bytes]:
    """Every file of the site by its path in it."""
    files = {PAGE: render(boards, literature=literature)} | method_pages(boards, literature)
    for board in boards.boards:
        files |= {f"downloads/{anchor(board)}{ending}": data for ending, data in downloads(board).items()}
    return files


def render(boards: Boards, *, literature: Sequence[Published] = ()) -> bytes:
    """The page with all boards, as UTF-8."""
    script = asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = (
        environment()
        .get_template("page.html.j2")
        .render(
            boards=list(zip(boards.boards, headings(boards.boards), strict=True)),
            problems=boards.problems,
            literature=literature,
            style=Markup(asset("page.css") + asset("pictures.css")),  # noqa: S704  our own file
            script=Markup(script),  # noqa: S704  our own file
            script_digest=digest,
        )
    )
    # A lone surrogate in a result cannot be encoded, and must not take the page down.
    return text.encode("utf-8", errors="replace")


def _holds(path: Path, content: bytes) -> bool:
    """Whether a file is as implied; parquet may have been written by another version of its library."""
    if not path.is_file():
        return False
    stored = path.read_bytes()
    return stored == content or (path.suffix == ".parquet" and same_table(stored, content))


def _left_over(site: Path, implied: dict[str, bytes]) -> list[Path]:
    """Generated files that nothing implies."""
    found = (path for folder in OURS for path in sorted((site / folder).rglob("*")) if path.is_file())
    return [path for path in found if path.relative_to(site).as_posix() not in implied]
