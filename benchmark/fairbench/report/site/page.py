"""Boards as a static site that needs no network and no server, and can be read without a script.

    write_site(build_boards(Path("results")), Path("site"))

`index.html` holds the boards of a suite, or lists them where there are several suites, each of which then has a page in
`suites/`; `methods/` has a page for every row, `downloads/` every board as data and `assets/` what the pages share.
Every released version of a board has all of this once more, below `versions/`. Equal boards give equal bytes: no
timestamps, no machine, everything in a fixed order. Every number stands in a table; scripts sort the tables and draw
pictures from them. A content security policy forbids every request and every script but those of the site.
Whatever comes from results is escaped by the templates.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
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
from fairbench.report.site.addresses import PAGE, SUITES, suite_pages
from fairbench.report.site.downloads import FORMATS, download, same_table
from fairbench.report.site.environment import environment
from fairbench.report.site.history import PAGE as HISTORY
from fairbench.report.site.history import history_page, version_files
from fairbench.report.site.method_page import each_method_page
from fairbench.report.site.overview import overview
from fairbench.report.site.shared_files import FOLDER, shared_files

OURS = ("methods", "downloads", SUITES, FOLDER, VERSIONS)
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

Content = Callable[[], bytes]
"""Makes a file."""


def write_site(
    boards: Boards,
    site: Path,
    *,
    literature: Sequence[Published] = (),
    history: History = NO_HISTORY,
    unchanged: Collection[str] = (),
) -> list[Path]:
    """Write every page, each complete or not at all, and remove those of rows and boards that are gone.

    Args:
        boards: to show.
        site: folder.
        literature: numbers of others.
        history: released versions.
        unchanged: beginnings of paths in the site; such a file is as it should be, if it is there.

    Returns:
        The files, the first page first.

    Raises:
        UserError: if the folder cannot be written or the disk is full.
    """
    written = []
    for name, content in site_files(boards, literature=literature, history=history):
        if not (name.startswith(tuple(unchanged)) and (site / name).is_file()):
            with atomic(site / name, lasting=False) as temporary:
                temporary.write_bytes(content())
        written.append(name)
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
    implied = []
    for name, content in site_files(boards, literature=literature, history=history):
        if not _holds(site / name, content()):
            return False
        implied.append(name)
    return not _left_over(site, implied)


def pages(boards: Boards, *, literature: Sequence[Published] = (), history: History = NO_HISTORY) -> dict[str, bytes]:
    """Every file of the site by its path in it."""
    return {name: content() for name, content in site_files(boards, literature=literature, history=history)}


def site_files(
    boards: Boards, *, literature: Sequence[Published] = (), history: History = NO_HISTORY
) -> Iterator[tuple[str, Content]]:
    """The same one after the other, and what makes each: those of large boards need not be in memory at once."""
    today = suite_pages(boards.boards)
    yield from _site(boards, literature, released=bool(history.releases))
    for one in history.releases:
        inside = _site(one.boards, (), version=one.version, today=today.get(one.version.suite, PAGE))
        yield from ((f"{site_of(one.version)}{name}", content) for name, content in inside)
    yield from _made(version_files(history.releases))
    yield from _made(history_page(history.releases, history.since, today=today))


def _site(
    boards: Boards,
    literature: Sequence[Published],
    *,
    version: BoardVersion | None = None,
    today: str = PAGE,
    released: bool = False,
) -> Iterator[tuple[str, Content]]:
    suites = suite_pages(boards.boards)
    shown = partial(render, boards, version=version, today=today, released=released)
    if len(suites) < 2:
        yield PAGE, partial(shown, literature=literature)
    else:
        listed = partial(_overview, boards, literature=literature)
        yield PAGE, partial(listed, version=version, today=today, released=released)
        for suite, page in suites.items():
            yield page, partial(shown, suite=suite, published=bool(literature))
    yield from each_method_page(boards, literature)
    yield from _made(shared_files())
    for board in boards.boards:
        yield from ((f"downloads/{anchor(board)}{ending}", partial(download, board, ending)) for ending in FORMATS)


def _made(files: Mapping[str, bytes]) -> Iterator[tuple[str, Content]]:
    return ((name, partial(bytes, content)) for name, content in files.items())


def render(
    boards: Boards,
    *,
    suite: str = "",
    literature: Sequence[Published] = (),
    published: bool = False,
    version: BoardVersion | None = None,
    today: str = PAGE,
    released: bool = False,
) -> bytes:
    """The page with all boards, or with those of a suite where each has a page of its own, as UTF-8.

    Args:
        boards: of the site.
        suite: whose boards are shown; "" for all.
        literature: numbers of others.
        published: whether the first page has them instead.
        version: which these boards are, if it is a released one.
        today: where the boards of that suite stand that are no version, below the root of the site.
        released: whether there is a page of released versions to point to.
    """
    titled = zip(boards.boards, headings(boards.boards), strict=True)
    return _filled(
        "page.html.j2",
        boards=[(board, heading) for board, heading in titled if suite in ("", board.suite)],
        problems=[one for one in boards.problems if not suite or one.file.startswith(f"{suite}/")],
        suite=suite,
        root="../" if suite else "",
        literature=literature,
        published=published,
        version=version,
        today=today,
        released=released,
    )


def _overview(
    boards: Boards, *, literature: Sequence[Published], version: BoardVersion | None, today: str, released: bool
) -> bytes:
    """The first page of a site with several suites."""
    return _filled(
        "overview.html.j2",
        lines=overview(boards.boards),
        problems=boards.problems,
        literature=literature,
        version=version,
        today=today,
        released=released,
    )


def _filled(template: str, **values: object) -> bytes:
    # A lone surrogate in a result cannot be encoded, and must not take the page down.
    return environment().get_template(template).render(**values).encode("utf-8", errors="replace")


def _holds(path: Path, content: bytes) -> bool:
    """Whether a file is as implied; parquet may have been written by another version of its library."""
    if not path.is_file():
        return False
    stored = path.read_bytes()
    return stored == content or (path.suffix == ".parquet" and same_table(stored, content))


def _left_over(site: Path, names: Iterable[str]) -> list[Path]:
    """Generated files that nothing implies; not those that are being written, maybe by somebody else."""
    implied = set(names)
    found = (path for folder in OURS for path in sorted((site / folder).rglob("*")) if path.is_file())
    single = (site / name for name in (INDEX, HISTORY) if (site / name).is_file())
    whole = (path for path in found if not (path.name.startswith(".") and path.suffix == ".tmp"))
    return [path for path in (*whole, *single) if path.relative_to(site).as_posix() not in implied]
