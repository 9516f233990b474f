"""Pictures, literature and the pages of methods in a real browser: readable, quiet, and with nothing asked for."""

import shutil
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from fairbench.literature import Published, Reported
from fairbench.ranking import build_boards
from fairbench.report.page import write_site

AXE = (Path(__file__).parent / "assets" / "axe.min.js").read_text(encoding="utf-8")
ROWS = 24

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not shutil.which("chromium"), reason="needs Debian's chromium on the path"),
]


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test leaves the site of a board with many rows."""
    return tmp_path_factory.mktemp("crowded")


@pytest.fixture
def index(crowded: Path, results: Path, write_run: Callable[..., Path]) -> str:
    """Rows that are nearly alike in everything, and one line of literature about one of them."""
    if not (crowded / "index.html").exists():
        for row in range(ROWS):
            label = "pgd-at" if row == 0 else f"method-{row}-wide"
            for seed in range(3):
                robust = [20 + (row * 7 + k) % 5 for k in range(10)]
                history = [
                    {"validation_robust": [(epoch * (k + 3) % 29) / 29 for k in range(10)]} for epoch in range(40)
                ]
                write_run(
                    label,
                    seed=seed,
                    counts=[40] * 10,
                    clean=[38] * 10,
                    pgd20=[30] * 10,
                    autoattack=robust,
                    cost=1 + row / 100,
                    history=history,
                    selected_epoch=30,
                    parameters={"beta": 6.0},
                )
        numbers = Reported(0.842, 0.637)
        line = Published(
            method="pgd-at",
            base="at",
            dataset="digits",
            architecture="resnet18",
            epsilon="8/255",
            checkpoint="last",
            clean=numbers,
            pgd20=numbers,
            autoattack=numbers,
            note="",
            source="A paper",
            evidence="paper",
        )
        write_site(build_boards(results), crowded, literature=[line])
    return (crowded / "index.html").as_uri()


@pytest.fixture
def shown(browser: Browser, index: str) -> Iterator[Page]:
    """The opened index; whatever a page logs or asks for beyond pages of the site fails the test."""
    page = browser.new_page()
    page.set_default_timeout(5_000)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on("request", lambda request: complaints.append(request.url) if not request.url.endswith(".html") else None)
    page.goto(index)
    yield page
    page.close()
    assert not complaints


def open_method(page: Page) -> None:
    page.locator("table.ranking .name", has_text="PGD-AT").click()
    page.wait_for_url("**/methods/**/pgd-at.html")


def test_no_name_covers_another_one(shown: Page) -> None:
    """In the fonts of a real browser, of which the placement knows only an upper estimate."""
    for number in range(2):
        texts = shown.locator(".picture").nth(number).locator(".picture-mark text")
        assert texts.count() == ROWS
        boxes = texts.evaluate_all("found => found.map(text => text.getBBox()).map(b => [b.x, b.y, b.width, b.height])")
        for (x, y, width, height), (u, v, other, depth) in combinations(boxes, 2):
            across = min(x + width, u + other) - max(x, u)
            along = min(y + height, v + depth) - max(y, v)
            assert across <= 0 or along <= 4, "lines of text may touch, glyphs not"


def test_the_numbers_stand_behind_every_picture(shown: Page) -> None:
    for picture in shown.locator(".picture").all():
        table = picture.locator("table")
        assert not table.is_visible()
        picture.locator("summary").click()
        table.wait_for(state="visible")
        assert table.locator("tbody tr").count() == ROWS
    assert shown.locator(".picture").count() == 3


def test_the_difference_is_shown_on_demand(shown: Page) -> None:
    shown.locator(".switch").get_by_text("AutoAttack − PGD-AT").click()
    visible = shown.locator(".heat table:visible")
    assert visible.count() == 1
    assert "+0.0" in visible.inner_text()
    assert "−" in visible.inner_text()


def test_the_literature_is_folded_and_ranked_nowhere(shown: Page) -> None:
    literature = shown.locator("#literature")
    literature.locator("summary").click()
    literature.locator("table").wait_for(state="visible")
    assert "A paper" in literature.inner_text()
    assert "63.7" not in shown.locator("table.ranking").first.inner_text()


def test_a_name_leads_to_its_page_and_back(shown: Page) -> None:
    open_method(shown)
    assert shown.locator("h1").inner_text() == "PGD-AT"
    assert shown.locator(".curves svg").count() == 3
    assert "A paper" in shown.locator("main").inner_text()
    shown.get_by_role("link", name="Back to the board").click()
    shown.wait_for_url("**/index.html#board-*")


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_only_boxes_scroll_sideways(shown: Page, width: int) -> None:
    shown.set_viewport_size({"width": width, "height": 800})
    open_method(shown)
    shown.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360)])
def test_axe_finds_nothing_serious_on_a_method(shown: Page, scheme: str, width: int) -> None:
    shown.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    shown.set_viewport_size({"width": width, "height": 800})
    open_method(shown)
    shown.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
    violations = shown.evaluate(f"() => {{ {AXE}; return axe.run() }}")["violations"]
    serious = [one for one in violations if one["impact"] in {"serious", "critical"}]
    assert not [(one["id"], one["nodes"][0]["html"][:200]) for one in serious]


def test_twenty_four_rows_of_three_seeds_are_small(shown: Page, crowded: Path) -> None:
    """Two megabytes is the limit for twenty rows."""
    size = sum(path.stat().st_size for path in crowded.rglob("*") if path.is_file())
    assert size / ROWS * 20 < 2_000_000
    assert "picture" in shown.content()
