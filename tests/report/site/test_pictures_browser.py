"""Pictures, literature and the pages of methods in a real browser: readable, quiet, and with nothing asked for."""

import re
import shutil
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from browsing import findings, opened, strange
from playwright.sync_api import Browser, Locator, Page, expect

from fairbench.boards.building import build_boards
from fairbench.outcomes.literature import Published, Reported
from fairbench.report.site.page import write_site

ROWS = 24
BOXES = "found => found.map(text => text.getBoundingClientRect()).map(b => [b.x, b.y, b.width, b.height])"
CENTRES = (
    """found => found.map(mark => mark.getBoundingClientRect()).map(b => [b.x + b.width / 2, b.y + b.height / 2])"""
)
FITS = """() => [...document.querySelectorAll("figure svg")].every((svg) => {
  const [own, place] = [svg.getBoundingClientRect(), svg.parentElement.getBoundingClientRect()];
  return own.left >= place.left && own.right <= place.right;
})"""

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
    with opened(browser, index) as page:
        yield page


def open_method(page: Page) -> None:
    page.locator("table.ranking .name", has_text="PGD-AT").click()
    page.wait_for_url("**/methods/**/pgd-at.html")


def picture(page: Page, drawing: str) -> Locator:
    return page.locator(f"figure[data-drawing={drawing}]").first


@pytest.mark.parametrize("width", [1280, 360])
def test_no_name_covers_another_one(shown: Page, width: int) -> None:
    """On a phone there is no room for all of them."""
    shown.set_viewport_size({"width": width, "height": 800})
    for drawing in ("averages", "costs"):
        texts = picture(shown, drawing).locator(".names text")
        assert ROWS // 4 <= texts.count() <= ROWS
        if width == 1280:
            assert texts.count() == ROWS
        found = texts.evaluate_all(BOXES)
        for (x, y, across, along), (u, v, other, depth) in combinations(found, 2):
            wide, high = min(x + across, u + other) - max(x, u), min(y + along, v + depth) - max(y, v)
            assert wide <= 0 or high <= 4, "lines of text may touch, glyphs not"


@pytest.mark.parametrize(
    ("drawing", "marks", "each"),
    [("averages", ".point > *", 1), ("costs", ".point > *", 1), ("ranks", ".bar > *", 2)],
)
def test_a_picture_has_a_mark_for_every_row_of_its_table(shown: Page, drawing: str, marks: str, each: int) -> None:
    figure = picture(shown, drawing)
    assert figure.locator("tbody tr").count() == ROWS
    assert figure.locator(f"svg[role=img] {marks}").count() == each * ROWS


def test_pictures_of_a_method_have_a_mark_for_every_number(shown: Page) -> None:
    open_method(shown)
    bars = picture(shown, "bars")
    assert bars.locator("tbody tr").count() == 10
    assert bars.locator("svg .bar rect").count() == 10 * 3
    assert shown.locator("figure[data-drawing=curves]").count() == 3
    for curve in shown.locator("figure[data-drawing=curves]").all():
        assert curve.locator("svg .class path").count() == 10
        assert curve.locator("svg :is(.average, .worst) path").count() == 2
        corners = curve.locator("svg .average path").get_attribute("d") or ""
        assert len(re.findall("[ML]", corners)) == 40, "a corner for every epoch"


@pytest.mark.parametrize(("classes", "absent"), [(10, 1), (30, 1), (30, 0)])
def test_a_bar_is_as_long_as_its_class_is_robust(
    browser: Browser, results: Path, write_run: Callable[..., Path], tmp_path: Path, classes: int, absent: int
) -> None:
    """In a table with every attack and in the brief one of many classes; an absent class has no bar."""
    present = classes - absent
    counts = [20] * present + [0] * absent
    robust = [[2 + (k + seed) % 7 for k in range(present)] + [0] * absent for seed in range(3)]
    for seed in range(3):
        clean = [19 - seed] * present + [0] * absent
        write_run(
            "a", seed=seed, counts=counts, clean=clean, pgd20=[12] * present + [0] * absent, autoattack=robust[seed]
        )
    index = write_site(build_boards(results), tmp_path / "bars")[0]
    page = browser.new_page()
    page.goto(next(index.parent.glob("methods/*/a.html")).as_uri())
    bars = picture(page, "bars")
    widths = bars.locator("svg .bar rect").evaluate_all("found => found.map(bar => bar.getBBox().width)")
    shares = np.array(widths) / np.array([correct / 20 for seed in robust for correct in seed[:present]])
    assert np.ptp(shares) < 0.02 * shares.mean(), "all bars have one scale"
    first = bars.locator("svg .bar rect").first.evaluate("bar => bar.getBBox().x")
    across = bars.locator("svg [stroke-width='1.5'] line").evaluate_all(
        "found => found.map(tick => tick.getBBox().x + tick.getCTM().e - tick.ownerSVGElement.getCTM().e)"
    )
    ticks = np.unique(np.round((np.array(across) - first) / shares.mean(), 2))
    assert ticks == pytest.approx([0.85, 0.9, 0.95], abs=0.011), "the ticks are the clean accuracies"
    assert bars.locator("svg text", has_text="no test images").count() == absent
    page.close()


def test_a_dot_stands_where_its_row_says(shown: Page) -> None:
    """Costs differ and worst classes do not; equal ratios of costs are equal distances."""
    figure = picture(shown, "costs")
    costs = figure.locator("tbody td:nth-child(2)").evaluate_all("cells => cells.map((cell) => cell.dataset.value)")
    across, along = np.array(figure.locator(".point > *").evaluate_all(CENTRES)).T
    assert np.corrcoef(np.log(np.array(costs, dtype=float)), across)[0, 1] > 0.999
    assert np.ptp(across) > 500
    assert np.ptp(along) < 1


def test_what_is_pointed_at_says_its_numbers(shown: Page) -> None:
    figure = picture(shown, "costs")
    figure.locator(".point > *").last.hover()
    row = figure.locator("tbody tr").last
    tip = figure.locator("svg text", has_text="lowest and highest seed:")
    tip.wait_for(state="visible")
    for cell in row.locator("th, td:not(:last-child)").all():
        assert (cell.text_content() or "nothing") in (tip.text_content() or "")


def test_a_picture_can_be_saved(shown: Page) -> None:
    """As a file that needs neither the page nor its styles."""
    with shown.expect_download() as download:
        picture(shown, "costs").get_by_role("button", name="Save as SVG").click()
    assert download.value.suggested_filename == "worst-class-against-training-cost.svg"
    text = download.value.path().read_text(encoding="utf-8")
    found = ET.fromstring(text)  # noqa: S314  our own file
    assert found.tag.endswith("}svg")
    assert "METHOD-7-WIDE" in "".join(found.itertext())
    assert not re.findall(r"var\(--(?!plot)", text)


def test_a_picture_is_drawn_for_its_width(shown: Page) -> None:
    """Text keeps its size on a phone; nothing is cut."""
    for width in (360, 1280):
        shown.set_viewport_size({"width": width, "height": 800})
        svg = picture(shown, "ranks").locator("svg")
        expect(svg).to_have_attribute("width", re.compile(r"\d+"))
        shown.wait_for_function("() => document.documentElement.scrollWidth <= innerWidth")
        shown.wait_for_function(FITS)
        assert svg.locator("text").first.evaluate("text => parseFloat(getComputedStyle(text).fontSize)") >= 10


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_follow_the_colour_scheme(shown: Page, scheme: str) -> None:
    shown.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    expected = shown.locator("body").evaluate("body => getComputedStyle(body).color")
    name = picture(shown, "ranks").locator("svg text", has_text="METHOD").first
    assert name.evaluate("text => getComputedStyle(text).fill") == expected


def test_pictures_are_printed_with_their_numbers(shown: Page) -> None:
    shown.emulate_media(media="print")
    shown.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    for figure in shown.locator("figure[data-drawing]").all():
        assert figure.locator("svg").is_visible()
        assert figure.locator("table").is_visible()


def test_the_numbers_stand_behind_every_picture(shown: Page) -> None:
    for figure in shown.locator(".picture").all():
        table = figure.locator("table")
        assert not table.is_visible()
        figure.locator("summary").click()
        table.wait_for(state="visible")
        assert table.locator("tbody tr").count() == ROWS
    assert shown.locator(".picture").count() == 3


def test_without_a_script_the_numbers_are_open(browser: Browser, index: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(index)
    for figure in page.locator(".picture").all():
        assert figure.locator("table").is_visible()
        assert not figure.locator("svg").count()
    open_method(page)
    assert page.locator(".picture table:visible").count() == 4
    context.close()


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
    assert shown.locator("figure[data-drawing] svg").count() == 4
    shown.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
    assert not findings(shown)


HOSTILE = """"'><script>alert(1)</script><img src=x onerror=alert(2)> 😀 a/b \\u202e & {{ 7 * 7 }}"""


def test_hostile_names_are_drawn_as_they_are(
    browser: Browser, results: Path, write_run: Callable[..., Path], tmp_path: Path
) -> None:
    history = [{"validation_robust": [0.1 * epoch, 0.2, 0.3]} for epoch in range(5)]
    for label in ("one", "two"):
        for seed in range(3):
            card = {"title": f"{HOSTILE} {label}", "bibtex": HOSTILE, "family": HOSTILE}
            names = [HOSTILE, f"{HOSTILE} 2", "ok"]
            write_run(label, seed=seed, card=card, class_names=names, history=history, changed={HOSTILE: HOSTILE})
    page = browser.new_page()
    heard: list[str] = []
    page.on("dialog", lambda dialog: heard.append(dialog.message))
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    index = write_site(build_boards(results), tmp_path / "hostile")[0].as_uri()
    page.on("request", lambda request: heard.append(request.url) if strange(request.url, index) else None)
    page.goto(index)
    page.get_by_role("combobox", name="Family")
    assert page.locator("figure[data-drawing] svg").count() == 3
    assert any(HOSTILE in text for text in page.locator("svg .names text, svg text").all_text_contents())
    page.locator("table.ranking .name").first.click()
    page.wait_for_url("**/methods/**")
    assert page.locator("figure[data-drawing] svg").count() == 4
    assert page.locator("svg :is(script, img, foreignObject)").count() == 0
    page.close()
    assert not heard


def test_one_row_whose_seeds_are_alike_is_drawn(
    browser: Browser, results: Path, write_run: Callable[..., Path], tmp_path: Path
) -> None:
    """An axis has some length even if there is a single value on it."""
    for seed in range(3):
        write_run("only", seed=seed, clean=(0, 0, 0), pgd20=(0, 0, 0), autoattack=(0, 0, 0), cost=2.0)
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text))
    page.goto(write_site(build_boards(results), tmp_path / "one")[0].as_uri())
    for drawing in ("averages", "costs"):
        assert picture(page, drawing).locator(".point > *").count() == 1
        assert "NaN" not in picture(page, drawing).inner_html()
        assert picture(page, drawing).locator("svg text", has_text="ONLY").count() == 1
    page.close()
    assert not errors


@pytest.mark.parametrize("rows", ["none", "incomplete", "external"])
def test_a_page_without_a_ranking_is_quiet(
    browser: Browser, results: Path, write_run: Callable[..., Path], tmp_path: Path, rows: str
) -> None:
    if rows == "incomplete":
        write_run("a")
    if rows == "external":
        write_run("external-a", role="external")
    page = browser.new_page()
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.goto(write_site(build_boards(results), tmp_path / "site")[0].as_uri())
    assert page.locator("table.ranking").count() == page.locator("figure[data-drawing]").count() == 0
    assert page.locator("h2").count() > 1
    page.close()
    assert not heard
