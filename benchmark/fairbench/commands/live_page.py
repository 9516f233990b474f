"""The leaderboard while it is computed: written again as runs end, so that it can be looked at all the time."""

import time
from collections.abc import Sequence
from pathlib import Path

from fairbench.boards.board import Board, Problem
from fairbench.boards.building import boards_of
from fairbench.boards.ranking import Ranker
from fairbench.boards.reading import Reader
from fairbench.boards.releases import Release, read_releases
from fairbench.commands.report import with_history, with_literature
from fairbench.method import registry
from fairbench.outcomes.board_version import FOLDER as VERSIONS
from fairbench.report.headings import anchor, headings
from fairbench.report.site.addresses import suite_pages
from fairbench.report.site.page import write_site

SHARE = 20
"""A page is written again after this many times the seconds that writing it took."""


class LivePage:
    """The page of a results folder.

    Args:
        results: outcomes, of which more appear.
        site: where the page is written.
    """

    def __init__(self, results: Path, site: Path) -> None:
        self._results, self._site = results, site
        self._reader, self._ranker = Reader(results), Ranker(expected=registry.names())
        self._not_before = 0.0
        self._frame, self._shown = "", frozenset[Board]()
        self._released: tuple[tuple[Release, ...], tuple[Problem, ...]] | None = None

    def refreshed(self) -> tuple[Board, ...] | None:
        """The boards, if the page was due and is written; None if it was written a moment ago.

        Pages of boards that show what they showed a moment ago are left as they are.
        """
        return self._write(everything=False) if time.monotonic() >= self._not_before else None

    def written(self) -> tuple[Board, ...]:
        """The boards, once every page shows all outcomes that there are."""
        return self._write(everything=True)

    def _write(self, *, everything: bool) -> tuple[Board, ...]:
        began = time.monotonic()
        boards, published = with_literature(boards_of(self._reader, self._ranker), self._results)
        self._released = self._released or read_releases(self._results)
        boards, history = with_history(boards, self._results, self._released)
        frame = repr((headings(boards.boards), suite_pages(boards.boards), published))
        unchanged = self._unchanged(boards.boards) if frame == self._frame and not everything else []
        write_site(boards, self._site, literature=published, history=history, unchanged=unchanged)
        self._frame, self._shown = frame, frozenset(boards.boards)
        self._not_before = time.monotonic() + SHARE * (time.monotonic() - began)
        return boards.boards

    def _unchanged(self, boards: Sequence[Board]) -> list[str]:
        """Where the pages stand that show nothing new if what they say of others is the same: see `write_site`."""
        same = [anchor(board) for board in boards if board in self._shown]
        return [f"{VERSIONS}/", *(f"methods/{name}/" for name in same), *(f"downloads/{name}." for name in same)]
