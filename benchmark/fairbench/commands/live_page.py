"""The leaderboard while it is computed: written again as runs end, so that it can be looked at all the time."""

import time
from pathlib import Path

from fairbench.boards.board import Board, Problem
from fairbench.boards.building import boards_of
from fairbench.boards.ranking import Ranker
from fairbench.boards.reading import Reader
from fairbench.boards.releases import Release, read_releases
from fairbench.commands.report import with_history, with_literature
from fairbench.method import registry
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
        self._released: tuple[tuple[Release, ...], tuple[Problem, ...]] | None = None

    def refreshed(self) -> tuple[Board, ...] | None:
        """The boards, if the page was due and is written; None if it was written a moment ago."""
        return self.written() if time.monotonic() >= self._not_before else None

    def written(self) -> tuple[Board, ...]:
        """The boards, once the page shows all outcomes that there are."""
        began = time.monotonic()
        boards, published = with_literature(boards_of(self._reader, self._ranker), self._results)
        self._released = self._released or read_releases(self._results)
        boards, history = with_history(boards, self._results, self._released)
        write_site(boards, self._site, literature=published, history=history)
        self._not_before = time.monotonic() + SHARE * (time.monotonic() - began)
        return boards.boards
