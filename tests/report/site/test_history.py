"""A site of two released versions in a real browser: it logs nothing, asks nobody, and axe finds nothing serious."""

import shutil
from pathlib import Path

import pytest
from browsing import findings, opened
from playwright.sync_api import Browser

from fairbench.boards.building import build_boards
from fairbench.boards.releases import read_releases, release, unreleased
from fairbench.report.site.page import History, write_site
from fixture_types import WriteRun

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not shutil.which("chromium"), reason="needs Debian's chromium on the path"),
]


@pytest.fixture
def site(results: Path, write_run: WriteRun, tmp_path: Path) -> Path:
    """Today's board, and two versions of it that differ."""
    for number, label in enumerate(("alpha", "bravo")):
        for seed in range(3):
            write_run(label, seed=seed)
        release(results, "digits", day=f"2026-1{number}-01", note=f"With {label}.")
    write_run("charlie")
    releases, problems = read_releases(results, draws=100)
    assert not problems
    since = {"digits": unreleased(results, releases[-1].version)}
    write_site(build_boards(results, draws=100), tmp_path / "site", history=History(releases=releases, since=since))
    return tmp_path / "site"


def test_every_kind_of_page_is_sound(browser: Browser, site: Path) -> None:
    with opened(browser, (site / "index.html").as_uri()) as page:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            for name in ("history.html", "versions/digits-1/index.html"):
                page.goto((site / name).as_uri())
                assert not findings(page), name
        page.goto((site / "index.html").as_uri())
        page.get_by_role("link", name="Released versions").click()
        assert page.get_by_role("heading", name="Since the last version").is_visible()
        page.get_by_role("link", name="The board of version 1").click()
        assert page.get_by_text("This is version 1 of the board digits").is_visible()
        assert page.get_by_role("cell", name="BRAVO").count() == 0
        page.get_by_role("link", name="The board of today").click()
        assert page.url == (site / "index.html").as_uri()
