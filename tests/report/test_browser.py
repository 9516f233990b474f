"""The page in a real browser, opened from a file."""

import shutil

import pytest
from playwright.sync_api import Browser, Locator, Page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not shutil.which("chromium"), reason="needs Debian's chromium on the path"),
]


def header(page: Page, column: str) -> Locator:
    return page.locator(f"table.ranking thead [data-column={column}]")


def order(page: Page) -> list[str]:
    return page.locator("table.ranking tbody tr:visible .name").all_text_contents()


def test_the_default_order_is_by_worst_class(page: Page) -> None:
    assert order(page) == ["BRAVO", "CHARLIE", "ALPHA"]
    assert header(page, "rank").get_attribute("aria-sort") == "ascending"


def test_a_click_sorts_and_a_second_one_turns(page: Page) -> None:
    average = header(page, "average")
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
    header(page, "rank").get_by_role("button").focus()
    page.keyboard.press("Tab")
    page.keyboard.press(key)
    assert order(page) == ["ALPHA", "BRAVO", "CHARLIE"]
    header(page, "cost").get_by_role("button").focus()
    page.keyboard.press(key)
    assert order(page) == ["CHARLIE", "ALPHA", "BRAVO"]
    assert header(page, "cost").get_attribute("aria-sort") == "ascending"


def test_every_column_sorts(page: Page) -> None:
    buttons = page.locator("table.ranking thead [role=button]")
    assert buttons.count() == page.locator("table.ranking tbody tr").first.locator("> *").count() == 12
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


def test_a_name_leads_to_the_page_of_the_method_and_back(page: Page, address: str) -> None:
    page.locator("table.ranking .name", has_text="BRAVO").click()
    page.wait_for_url("**/methods/*/bravo.html")
    assert page.get_by_role("heading", level=1).inner_text() == "BRAVO"
    page.get_by_role("link", name="Back to the board").click()
    page.wait_for_url(f"{address}#*")
    assert order(page) == ["BRAVO", "CHARLIE", "ALPHA"]


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
    cells = page.locator(".heat td[style]")
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
    assert page.locator("details:not([open], .columns)").count() == 0


def test_the_page_is_complete_without_script(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert order(page) == ["BRAVO", "CHARLIE", "ALPHA"]
    page.locator(".switch").get_by_text("PGD-20").click()
    assert "60.0" in page.locator(".heat table:visible").inner_text()
    context.close()
