"""The page in a real browser, opened from a file."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from fairbench.ranking import build_boards
from fairbench.report.page import write_site

CHROMIUM = shutil.which("chromium")
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
NAMES = ["airplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium on the path"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def address(results: Path, write_run: Callable[..., Path], tmp_path: Path) -> str:
    """A board of three ranked rows, an incomplete one, a teacher and a model that was trained elsewhere."""
    ten = {"counts": [20] * 10, "clean": [19] * 10, "class_names": NAMES}
    for seed in range(3):
        write_run("alpha", seed=seed, **ten, pgd20=[12] * 10, autoattack=[8] * 9 + [3], cost=2.0)
        write_run("bravo", seed=seed, **ten, pgd20=[10] * 10, autoattack=[6] * 10, cost=10.0)
        write_run("charlie", seed=seed, **ten, pgd20=[11] * 10, autoattack=[10] * 9 + [5 - seed], cost=1.0)
    write_run("delta", seed=0, **ten, pgd20=[9] * 10, autoattack=[9] * 10)
    write_run("delta", seed=1, status="failed", reason="the loss became NaN", failed_epoch=3, class_names=NAMES)
    write_run("teacher", role="teacher", **ten, pgd20=[9] * 10, autoattack=[9] * 10)
    write_run("external-zoo", role="external", **ten, pgd20=[19] * 10, autoattack=[18] * 10, warnings=["Look here."])
    (path,) = write_site(build_boards(results), tmp_path / "site")
    return path.as_uri()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The opened page; whatever it logs or asks for fails the test."""
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on("request", lambda request: complaints.append(request.url) if request.url != address else None)
    page.goto(address)
    yield page
    page.close()
    assert not complaints


def header(page: Page, name: str, number: int = 0) -> Locator:
    """A column of the ranking; AutoAttack, PGD-20 and clean share some names, in this order."""
    return page.locator("table.sortable thead th", has_text=name).nth(number)


def order(page: Page) -> list[str]:
    return page.locator("table.sortable tbody .name").all_text_contents()


def test_the_default_order_is_by_worst_class(page: Page) -> None:
    assert order(page) == ["BRAVO", "CHARLIE", "ALPHA"]
    assert header(page, "Rank").get_attribute("aria-sort") == "ascending"


def test_a_click_sorts_and_a_second_one_turns(page: Page) -> None:
    average = header(page, "Average")
    average.get_by_role("button").click()
    assert order(page) == ["CHARLIE", "ALPHA", "BRAVO"]
    assert average.get_attribute("aria-sort") == "descending"
    assert page.locator("[aria-sort]").count() == 1
    average.get_by_role("button").click()
    assert order(page) == ["BRAVO", "ALPHA", "CHARLIE"]
    assert average.get_attribute("aria-sort") == "ascending"


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_the_keyboard_sorts(page: Page, key: str) -> None:
    """Numbers sort as numbers: 10 comes after 2."""
    header(page, "Rank").get_by_role("button").focus()
    page.keyboard.press("Tab")
    page.keyboard.press(key)
    assert order(page) == ["ALPHA", "BRAVO", "CHARLIE"]
    header(page, "Cost").get_by_role("button").focus()
    page.keyboard.press(key)
    assert order(page) == ["CHARLIE", "ALPHA", "BRAVO"]
    assert header(page, "Cost").get_attribute("aria-sort") == "ascending"


def test_every_column_sorts(page: Page) -> None:
    buttons = page.locator("table.sortable thead button")
    assert buttons.count() == page.locator("table.sortable tbody tr").first.locator("> *").count() == 11
    for number in range(buttons.count()):
        buttons.nth(number).click()
        assert sorted(order(page)) == ["ALPHA", "BRAVO", "CHARLIE"]


def test_the_heat_map_switches(page: Page) -> None:
    shown = page.locator(".heat table:visible")
    assert "30.0" in shown.inner_text()
    page.locator(".switch").get_by_text("Clean").click()
    assert shown.count() == 1
    assert "30.0" not in shown.inner_text()
    assert "95.0" in shown.inner_text()
    page.keyboard.press("ArrowRight")
    assert "60.0" in shown.inner_text()


def test_a_method_name_opens_its_details(page: Page) -> None:
    details = page.locator("details:not(.flags)", has_text="BRAVO")
    assert details.get_attribute("open") is None
    page.locator(".name", has_text="BRAVO").click()
    details.locator("dl").wait_for(state="visible")
    assert "95 % envelope" in details.inner_text()


def test_flags_are_folded_and_open(page: Page) -> None:
    flags = page.locator("details.flags")
    table = flags.locator("table")
    assert not table.is_visible()
    flags.locator("summary").click()
    table.wait_for(state="visible")
    assert table.locator("tbody tr").count() == 12, "every finished run, of whatever group"
    assert "zoo (trained elsewhere), seed 0" in table.inner_text()


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_only_tables_scroll_sideways(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if width < 700:
        assert page.locator(".scroll").first.evaluate("(box) => box.scrollWidth > box.clientWidth")


BRIGHTNESS = """(element, property) => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  canvas.fillStyle = getComputedStyle(element)[property];
  canvas.fillRect(0, 0, 1, 1);
  const linear = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((byte) => {
    const share = byte / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_colour_schemes_are_readable(page: Page, scheme: str) -> None:
    """Every cell of the heat map has the contrast of WCAG AA, 4.5 : 1, and the page follows the scheme."""
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    paper = page.locator("body").evaluate(BRIGHTNESS, "backgroundColor")
    assert paper < 0.05 if scheme == "dark" else paper > 0.8
    cells = page.locator(".heat .cell")
    assert cells.count() == 3 * 5 * 10
    for number in range(0, cells.count(), 5):
        text = cells.nth(number).evaluate(BRIGHTNESS, "color")
        ground = cells.nth(number).evaluate(BRIGHTNESS, "backgroundColor")
        low, high = sorted((text, ground))
        assert (high + 0.05) / (low + 0.05) >= 4.5


def test_print_shows_all_attacks_and_all_details(page: Page) -> None:
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".heat table:visible").count() == 3
    assert page.locator("details:not([open])").count() == 0


def test_the_page_is_complete_without_script(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert order(page) == ["BRAVO", "CHARLIE", "ALPHA"]
    page.locator(".switch").get_by_text("PGD-20").click()
    assert "60.0" in page.locator(".heat table:visible").inner_text()
    context.close()
