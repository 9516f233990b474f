"""Released versions as part of the site: a site of each under its own address, its outcome files, and what changed.

versions/cifar10-small-1/index.html     the board as it was, with all its pages
versions/cifar10-small-1/results.zip    its outcome files, as `load_results` reads them
versions.json                           which versions there are
history.html                            what changed from one to the next
"""

from collections.abc import Mapping, Sequence

from fairbench.boards.releases import Change, Release
from fairbench.outcomes.version_archive import pack
from fairbench.outcomes.version_index import INDEX, archive_of, index_json, site_of
from fairbench.report.site.environment import environment

PAGE = "history.html"


def version_files(releases: Sequence[Release]) -> dict[str, bytes]:
    """Outcome files of every version, and the list of them, by their path in the site; nothing without a release."""
    if not releases:
        return {}
    files = {archive_of(one.version): pack(one.folder) for one in releases}
    return files | {INDEX: index_json([one.version for one in releases]).encode()}


def history_page(
    releases: Sequence[Release], since: Mapping[str, Change], *, today: Mapping[str, str]
) -> dict[str, bytes]:
    """The page, by its path; none without a release.

    Args:
        releases: oldest first by suite.
        since: what changed since its last version, by suite.
        today: where the boards of today stand, by suite.
    """
    if not releases:
        return {}
    suites: dict[str, list[Release]] = {}
    for one in releases:
        suites.setdefault(one.version.suite, []).insert(0, one)
    text = (
        environment()
        .get_template("history.html.j2")
        .render(suites=suites, since=since, today=today, site_of=site_of, archive_of=archive_of)
    )
    return {PAGE: text.encode("utf-8", errors="replace")}
