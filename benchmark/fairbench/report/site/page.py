"""Boards as a static site that needs no network and no server, and can be read without a script.

    write_site(build_boards(Path("results")), Path("site"))

`index.html` holds the boards; `methods/` a page for every row, `downloads/` every board as data and `assets/` what the
pages share. Every released version of a board has all of this once more, below `versions/`. Equal boards give equal
bytes: no timestamps, no machine, everything in a fixed order. Every number stands in a table; scripts sort the tables
and draw pictures from them. A content security policy forbids every request and every script but those of the site.
Whatever comes from results is escaped by the templates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fairbench.atomic import atomic
from fairbench.boards.board import Boards
from fairbench.boards.releases import Change, Release
from fairbench.errors import UserError
from fairbench.outcomes.board_version import FOLDER as VERSIONS
from fairbench.outcomes.board_version import BoardVersion
from fairbench.outcomes.literature import Published
from fairbench.outcomes.version_index import INDEX, site_of
from fairbench.report.headings import anchor, headings
from fairbench.report.site.downloads import downloads, same_table
from fairbench.report.site.environment import environment
from fairbench.report.site.history import PAGE as HISTORY
from fairbench.report.site.history import history_page, version_files
from fairbench.report.site.method_page import method_pages
from fairbench.report.site.shared_files import FOLDER, shared_files

PAGE = "index.html"
OURS = ("methods", "downloads", FOLDER, VERSIONS)
"""Folders in which every file is generated, so that one which nothing implies any more is removed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class History:
    """Released versions of the boards of a site.

    Attributes:
        releases: oldest first by suite.
        since: what changed since its last version, by suite.
    """

    releases: tuple[Release, ...] = ()
    since: Mapping[str, Change] = field(default_factory=dict)


NO_HISTORY = History()


def write_site(
    boards: Boards, site: Path, *, literature: Sequence[Published] = (), history: History = NO_HISTORY
) -> list[Path]:
    """Write every page, each complete or not at all, and remove those of rows and boards that are gone.

    Raises:
        UserError: if the folder cannot be written or the disk is full.
    """
    written = pages(boards, literature=literature, history=history)
    for name, content in written.items():
        with atomic(site / name) as temporary:
            temporary.write_bytes(content)
    for path in _left_over(site, written):
        try:
            path.unlink(missing_ok=True)  # another command may write the same site
        except OSError as error:
            raise UserError(f"Cannot remove {path}: {error.strerror or error}.") from error
    return [site / name for name in written]


def report_is_current(
    boards: Boards, site: Path, *, literature: Sequence[Published] = (), history: History = NO_HISTORY
) -> bool:
    """Whether the site is what the boards imply, byte for byte, and without a page too many."""
    implied = pages(boards, literature=literature, history=history)
    return all(_holds(site / name, content) for name, content in implied.items()) and not _left_over(site, implied)


def pages(boards: Boards, *, literature: Sequence[Published] = (), history: History = NO_HISTORY) -> dict[str, bytes]:
    """Every file of the site by its path in it."""
    files = _site(boards, render(boards, literature=literature, released=bool(history.releases)), literature)
    for one in history.releases:
        inside = _site(one.boards, render(one.boards, version=one.version), ())
        files |= {f"{site_of(one.version)}{name}": content for name, content in inside.items()}
    return files | version_files(history.releases) | history_page(history.releases, history.since)


def _site(boards: Boards, index: bytes, literature: Sequence[Published]) -> dict[str, bytes]:
    files = {PAGE: index} | method_pages(boards, literature) | shared_files()
    for board in boards.boards:
        files |= {f"downloads/{anchor(board)}{ending}": data for ending, data in downloads(board).items()}
    return files


def render(
    boards: Boards,
    *,
    literature: Sequence[Published] = (),
    version: BoardVersion | None = None,
    released: bool = False,
) -> bytes:
    """The page with all boards, as UTF-8.

    Args:
        boards: to show.
        literature: numbers of others.
        version: which these boards are, if it is a released one.
        released: whether there is a page of released versions to point to.
    """
    text = (
        environment()
        .get_template("page.html.j2")
        .render(
            boards=list(zip(boards.boards, headings(boards.boards), strict=True)),
            problems=boards.problems,
            literature=literature,
            version=version,
            released=released,
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
    """Generated files that nothing implies; not those that are being written, maybe by somebody else."""
    found = (path for folder in OURS for path in sorted((site / folder).rglob("*")) if path.is_file())
    single = (site / name for name in (INDEX, HISTORY) if (site / name).is_file())
    whole = (path for path in found if not (path.name.startswith(".") and path.suffix == ".tmp"))
    return [path for path in (*whole, *single) if path.relative_to(site).as_posix() not in implied]
