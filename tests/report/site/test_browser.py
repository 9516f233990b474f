"""The page in a real browser, opened from a file."""

import shutil

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not shutil.which("chromium"), reason="needs Debian's chromium on the path"),
]


def header(page: Page, column: str) -> Locator:
    return page.locator(f"table.ranking thead [data-column={column}]")


def shows(page: Page, names: list[str]) -> None:
    """Waits for these rows: a table is sorted after the click has been answered."""
    expect(page.locator("table.ranking tbody tr:visible .name")).to_have_text(names)


def test_the_default_order_is_by_worst_class(page: Page) -> None:
    shows(page, ["BRAVO", "CHARLIE", "ALPHA"])
    expect(header(page, "rank")).to_have_attribute("aria-sort", "ascending")


def test_a_click_sorts_and_a_second_one_turns(page: Page) -> None:
    average = header(page, "average")
    average.get_by_role("button").click()
    shows(page, ["CHARLIE", "ALPHA", "BRAVO"])
    expect(average).to_have_attribute("aria-sort", "descending")
    assert page.locator("[aria-sort]").count() == 1
    average.get_by_role("button").click()
    shows(page, ["BRAVO", "ALPHA", "CHARLIE"])
    expect(average).to_have_attribute("aria-sort", "ascending")


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_the_keyboard_sorts(page: Page, key: str) -> None:
    """Numbers sort as numbers: 10 comes after 2."""
    header(page, "rank").get_by_role("button").focus()
    page.keyboard.press("Tab")
    page.keyboard.press(key)
    shows(page, ["ALPHA", "BRAVO", "CHARLIE"])
    header(page, "cost").get_by_role("button").focus()
    page.keyboard.press(key)
    shows(page, ["CHARLIE", "ALPHA", "BRAVO"])
    expect(header(page, "cost")).to_have_attribute("aria-sort", "ascending")


@pytest.mark.parametrize("key", ["", "Enter", "Space"])
def test_every_column_sorts_in_both_directions(page: Page, key: str) -> None:
    """By the mouse or by a key, and always by the values that stand in its cells."""
    headers = page.locator("table.ranking thead th")
    assert headers.count() == page.locator("table.ranking tbody tr").first.locator("> *").count() == 13
    header(page, "method").click()
    for column in range(headers.count()):
        heading = headers.nth(column)
        first = heading.get_attribute("data-first") or "nothing"
        second = {"ascending": "descending", "descending": "ascending"}[first]
        for direction in (first, second):
            if key:
                heading.get_by_role("button").press(key)
            else:
                heading.click()
            expect(heading).to_have_attribute("aria-sort", direction)
            cells = page.locator(f"table.ranking tbody tr > :nth-child({column + 1})")
            values = [cell.get_attribute("data-order") or "nothing" for cell in cells.all()]
            numbers = [float(value) for value in values] if column != 1 else values
            assert numbers == sorted(numbers, reverse=direction == "descending")
    assert page.locator("[aria-sort]").count() == 1


def test_no_data_stands_last_in_both_directions(page: Page) -> None:
    for sign in (1, -1):
        found = page.evaluate(f"['nan', '0.5', 'nan', '10', '2'].sort((a, b) => compared(a, b, {sign}))")
        assert found == ["0.5", "2", "10", "nan", "nan"] if sign > 0 else ["10", "2", "0.5", "nan", "nan"]


def test_back_and_forward_return_to_the_view(page: Page, address: str) -> None:
    header(page, "average").click()
    page.get_by_role("searchbox").fill("a author")
    page.get_by_role("combobox", name="Family").select_option("fairness")
    shows(page, ["ALPHA", "BRAVO"])
    page.locator("table.ranking .name", has_text="BRAVO").click()
    page.wait_for_url("**/methods/*/bravo.html")
    page.go_back()
    page.wait_for_url(f"{address}#*")
    shows(page, ["ALPHA", "BRAVO"])
    assert page.get_by_role("searchbox").input_value() == "a author"
    expect(header(page, "average")).to_have_attribute("aria-sort", "descending")
    page.go_forward()
    page.wait_for_url("**/methods/*/bravo.html")


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
    shows(page, ["BRAVO", "CHARLIE", "ALPHA"])


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
    shows(page, ["BRAVO", "CHARLIE", "ALPHA"])
    page.locator(".switch").get_by_text("PGD-20").click()
    assert "60.0" in page.locator(".heat table:visible").inner_text()
    context.close()
