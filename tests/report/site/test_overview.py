"""Where there are several suites, the first page lists the boards, and each suite has a page of its own."""

import re
import shutil
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from browsing import findings, opened
from playwright.sync_api import Browser

from fairbench.boards.board import Board, Boards
from fairbench.boards.building import build_boards
from fairbench.boards.releases import read_releases, release, unreleased
from fairbench.outcomes.literature import Published, Reported
from fairbench.report.headings import anchor
from fairbench.report.site.addresses import suite_pages
from fairbench.report.site.overview import overview
from fairbench.report.site.page import History, pages, report_is_current, write_site
from fixture_types import WriteRun


class Links(HTMLParser):
    """What a page links to, and what can be linked to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del tag
        found = dict(attrs)
        self.ids |= {found["id"] or ""} if "id" in found else set()
        self.links += [value for name in ("href", "src") if (value := found.get(name))]


def write_suites(write_run: WriteRun) -> None:
    """Two suites with ranked rows, and one with nothing complete."""
    for suite, seed in product(("digits", "mnist"), range(3)):
        write_run(
            "pgd-at",
            seed=seed,
            suite=suite,
            counts=[300] * 3,
            clean=[290] * 3,
            pgd20=[200] * 3,
            autoattack=[190, 180, 60],
        )
        write_run(
            "fair", seed=seed, suite=suite, counts=[300] * 3, clean=[280] * 3, pgd20=[200] * 3, autoattack=[130] * 3
        )
    write_run("fat", suite="svhn")


def literature() -> list[Published]:
    nothing = Reported(average=0.5, worst=0.2)
    values: dict[str, Any] = dict.fromkeys(Published.__dataclass_fields__, "")
    return [
        Published(
            **values
            | {"method": "trades", "dataset": "cifar10", "evidence": "paper"}
            | dict.fromkeys(("clean", "pgd20", "autoattack"), nothing)
        )
    ]


def board_named(boards: Boards, suite: str) -> Board:
    return next(board for board in boards.boards if board.suite == suite)


def test_a_line_names_the_leaders_by_each_key(results: Path, write_run: WriteRun) -> None:
    write_suites(write_run)
    boards = build_boards(results, draws=200)
    digits, mnist, svhn = overview(boards.boards)
    assert digits.address == f"suites/digits.html#{anchor(board_named(boards, 'digits'))}"
    assert mnist.seeds == (3, 3)
    assert [one.name for one in digits.leading["worst"].leaders] == ["FAIR", "PGD-AT"]
    assert [one.name for one in digits.leading["average"].leaders] == ["PGD-AT", "FAIR"]
    assert digits.leading["worst"].leaders[0].value == pytest.approx(130 / 300)
    assert digits.leading["worst"].may_be_first == 1
    assert (svhn.seeds, svhn.leading) == (None, {})
    page = " ".join(pages(boards)["index.html"].decode().split())
    assert "the first beyond doubt" in page
    assert "no row is complete yet" in page
    assert '<section class="board"' not in page


def test_every_link_of_every_page_leads_somewhere(results: Path, write_run: WriteRun, tmp_path: Path) -> None:
    """On the pages of today and of released versions, the fragments included."""
    write_suites(write_run)
    release(results, "digits", day="2026-11-01", note="The first.")
    write_run("new", suite="digits")
    releases, problems = read_releases(results, draws=50)
    assert not problems
    history = History(releases=releases, since={"digits": unreleased(results, releases[-1].version)})
    boards, site = build_boards(results, draws=50), tmp_path / "site"
    written = write_site(boards, site, literature=literature(), history=history)
    assert written[0] == site / "index.html"
    found = {path: Links(path.read_text(encoding="utf-8")) for path in written if path.suffix == ".html"}
    assert {path.name for path in (site / "suites").iterdir()} == {"digits.html", "mnist.html", "svhn.html"}
    for path, page in found.items():
        for link in page.links:
            if re.match(r"https?:|data:", link):
                continue
            file, _, fragment = link.partition("#")
            target = (path.parent / file).resolve() if file else path
            assert target.is_file(), f"{path} links to {link}"
            assert not fragment or fragment in found[target].ids, f"{path} links to {link}"
    assert site / "suites/digits.html" in {
        (site / "history.html").parent / link for link in found[site / "history.html"].links
    }
    again = dict(pages(boards, literature=literature(), history=history))
    assert again == pages(boards, literature=literature(), history=history)
    assert report_is_current(boards, site, literature=literature(), history=history)


def test_a_link_to_a_board_outlives_a_second_suite(results: Path, write_run: WriteRun, tmp_path: Path) -> None:
    """And the pages of suites go with the second one."""
    write_run("trades")
    alone = build_boards(results)
    target = f'id="{anchor(alone.boards[0])}"'
    assert target in pages(alone)["index.html"].decode()
    assert suite_pages(alone.boards) == {"digits": "index.html"}
    second = write_run("trades", suite="mnist")
    write_site(build_boards(results), tmp_path)
    assert target in (tmp_path / "index.html").read_text(encoding="utf-8")
    assert target in (tmp_path / "suites/digits.html").read_text(encoding="utf-8")
    second.unlink()
    write_site(build_boards(results), tmp_path)
    assert not any((tmp_path / "suites").iterdir())


def test_the_page_of_a_suite_has_its_own_boards_and_problems(results: Path, write_run: WriteRun) -> None:
    write_suites(write_run)
    (results / "mnist/fat").mkdir()
    (results / "mnist/fat/seed0.parquet").write_bytes(b"nonsense")
    boards = build_boards(results, draws=50)
    site = pages(boards, literature=literature())
    digits, mnist = (" ".join(site[f"suites/{suite}.html"].decode().split()) for suite in ("digits", "mnist"))
    assert digits.count('<section class="board"') == mnist.count('<section class="board"') == 1
    assert 'href="../downloads/board-digits' in digits
    assert 'href="../index.html#literature"' in digits
    assert "could not be used" not in digits
    assert "1 file could not be used" in mnist
    assert "1 file could not be used" in " ".join(site["index.html"].decode().split())


def test_no_two_suites_share_a_page(results: Path, write_run: WriteRun) -> None:
    """Results are not trusted: a suite may be called anything."""
    names = ("digits", "Digits", "../../etc/passwd", "index", "x" * 300, "<b>", "&")
    for number, suite in enumerate(names):
        write_run("trades", suite=suite, folder=f"folder{number}")
    boards = build_boards(results)
    found = suite_pages(boards.boards)
    assert set(found) == set(names)
    assert len(set(found.values())) == len(names)
    assert all(re.fullmatch(r"suites/[a-z0-9][a-z0-9._-]{0,80}\.html", page) for page in found.values())
    assert found["digits"] == "suites/digits.html"
    site = pages(boards)
    assert set(found.values()) <= set(site)
    assert b"<b>" not in re.sub(rb"<b>\d+</b>|<b>failed</b>|<b>Best</b>", b"", site["index.html"])


@pytest.mark.browser
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Debian's chromium on the path")
def test_the_pages_are_sound_in_a_browser(browser: Browser, results: Path, write_run: WriteRun, tmp_path: Path) -> None:
    write_suites(write_run)
    boards = build_boards(results, draws=100)
    index = write_site(boards, tmp_path, literature=literature())[0]
    with opened(browser, index.as_uri()) as page:
        for scheme, width, name in product(("light", "dark"), (1280, 360), ("index.html", "suites/digits.html")):
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            page.set_viewport_size({"width": width, "height": 800})
            page.goto((tmp_path / name).as_uri())
            assert not findings(page), name
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        page.goto(index.as_uri())
        page.get_by_role("link", name=re.compile("suite = mnist")).click()
        page.wait_for_url("**/suites/mnist.html#board-mnist-*")
        page.get_by_role("link", name="All suites").click()
        page.get_by_role("link", name="FAIR").first.click()
        page.wait_for_url("**/methods/board-digits-*/fair.html")
        page.get_by_role("link", name="Back to the board").click()
        page.wait_for_url("**/suites/digits.html#board-digits-*")
        board = board_named(boards, "mnist")
        page.goto("about:blank")
        page.goto(f"{index.as_uri()}#{anchor(board)}?sort=average&order=desc")
        page.wait_for_url(f"**/suites/mnist.html#{anchor(board)}?sort=average*")
        assert page.locator("th[data-column=average]").get_attribute("aria-sort") == "descending"
