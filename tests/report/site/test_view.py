"""What a reader can do with a ranking: search, filter, choose columns, link to all that, and take it along."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from fairbench.boards.building import build_boards
from fairbench.report.headings import anchor
from fairbench.report.site.page import write_site

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not shutil.which("chromium"), reason="needs Debian's chromium on the path"),
]


def names(page: Page) -> list[str]:
    return page.locator("table.ranking tbody tr:visible .name").all_text_contents()


def shows(page: Page, expected: list[str]) -> None:
    """Waits for these rows: a table is sorted after the click has been answered."""
    expect(page.locator("table.ranking tbody tr:visible .name")).to_have_text(expected)


def titles(page: Page) -> list[str]:
    return page.locator("table.ranking thead th:visible").all_inner_texts()


def fragment(page: Page) -> str:
    address: str = page.evaluate("location.hash")
    return address.removeprefix("#")


def search(page: Page) -> Locator:
    return page.get_by_role("searchbox", name="Search")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("brav", ["BRAVO"]),
        ("ICML 2021", ["CHARLIE"]),
        ("  AUTHOR  ", ["BRAVO", "CHARLIE", "ALPHA"]),
        ("distill", ["CHARLIE"]),
        ("zoo", []),
        ("<img>", []),
        ("", ["BRAVO", "CHARLIE", "ALPHA"]),
    ],
)
def test_search_finds_every_word_in_name_authors_venue_year_and_family(
    page: Page, typed: str, expected: list[str]
) -> None:
    search(page).fill(typed)
    shows(page, expected)
    shown = page.locator("form.view output").inner_text()
    assert shown == ("" if len(expected) == 3 else f"{len(expected)} of 3 ranked rows shown")


def test_search_reaches_rows_without_a_rank(page: Page) -> None:
    search(page).fill("delta")
    others = page.locator("table:not(.ranking) tbody[data-words]:visible .name")
    assert others.all_text_contents() == ["DELTA"]


@pytest.mark.parametrize(
    ("label", "value", "ranked", "others"),
    [
        ("Family", "distillation", ["CHARLIE"], []),
        ("Family", "fairness", ["BRAVO", "ALPHA"], ["DELTA", "TEACHER"]),
        ("Teacher", "yes", ["CHARLIE"], []),
        ("Teacher", "no", ["BRAVO", "ALPHA"], ["DELTA", "TEACHER", "zoo"]),
        ("Trained", "elsewhere", [], ["zoo"]),
        ("Trained", "here", ["BRAVO", "CHARLIE", "ALPHA"], ["DELTA", "TEACHER"]),
    ],
)
def test_filters(page: Page, label: str, value: str, ranked: list[str], others: list[str]) -> None:
    page.get_by_role("combobox", name=label).select_option(value)
    shows(page, ranked)
    assert page.locator("table:not(.ranking) tbody[data-words]:visible .name").all_text_contents() == others
    page.get_by_role("button", name="Reset").click()
    shows(page, ["BRAVO", "CHARLIE", "ALPHA"])
    assert "?" not in fragment(page)


def test_columns_are_chosen(page: Page) -> None:
    before = titles(page)
    page.locator("details.columns summary").click()
    for label in ("× PGD-AT Cost", "Clean Worst class"):
        page.get_by_label(label, exact=True).uncheck()
    after = titles(page)
    gone = [title for title in before if title not in after]
    assert [" ".join(title.split()) for title in gone] == ["Clean Worst class", "× PGD-AT Cost"]
    for row in page.locator("table.ranking tbody tr").all():
        assert row.locator("> :visible").count() == len(after)
    assert fragment(page).endswith("?hide=clean-worst%2Ccost")


def test_an_address_holds_the_whole_view(page: Page, browser: Browser) -> None:
    for order in ("ascending", "descending"):
        page.locator("[data-column=cost]").click()
        expect(page.locator("[data-column=cost]")).to_have_attribute("aria-sort", order)
    search(page).fill("a author")
    page.get_by_role("combobox", name="Family").select_option("fairness")
    page.locator("details.columns summary").click()
    page.get_by_label("Flags", exact=True).uncheck()
    board = page.locator("section.board").get_attribute("id")
    assert fragment(page) == f"{board}?sort=cost&order=descending&search=a+author&family=fairness&hide=flags"
    shows(page, ["BRAVO", "ALPHA"])

    other = browser.new_page(viewport={"width": 1280, "height": 400})
    other.goto(page.evaluate("location.href"))
    shows(other, ["BRAVO", "ALPHA"])
    assert titles(other) == titles(page)
    assert search(other).input_value() == "a author"
    assert other.locator("[aria-sort=descending]").get_attribute("data-column") == "cost"
    expect(other.locator("section.board h2").first).to_be_in_viewport()
    other.close()


@pytest.mark.parametrize(
    "query",
    [
        "?sort=nothing&order=sideways&family=%22%3E%3Cimg%3E&hide=,,x,rank,method&search=",
        "?sort=__proto__",
        "?%%%",
        "?sort=constructor&unknown=1&family=fairness%00",
        "?teacher=maybe#?",
    ],
)
def test_a_broken_address_shows_the_default_view(page: Page, address: str, query: str) -> None:
    board = page.locator("section.board").get_attribute("id")
    page.goto(f"{address}#{board}{query}")
    shows(page, ["BRAVO", "CHARLIE", "ALPHA"])
    assert page.locator("[data-column=rank]").get_attribute("aria-sort") == "ascending"
    assert page.locator("table.ranking thead th:visible").count() == 13


def test_a_changed_address_changes_the_view(page: Page, address: str) -> None:
    board = page.locator("section.board").get_attribute("id")
    page.goto(f"{address}#{board}?sort=average")
    shows(page, ["CHARLIE", "ALPHA", "BRAVO"])
    page.goto(f"{address}#{board}")
    shows(page, ["BRAVO", "CHARLIE", "ALPHA"])


def test_an_address_changes_no_other_board(
    browser: Browser, results: Path, write_run: Callable[..., Path], tmp_path: Path
) -> None:
    for tier in ("full", "fast"):
        for seed in range(3):
            for label, survivors in {"first": (5, 5, 5), "second": (9, 9, 4)}.items():
                write_run(label, seed=seed, folder=tier, evaluation={"tier": tier}, autoattack=survivors)
    boards = build_boards(results, draws=50)
    page = browser.new_page(viewport={"width": 1280, "height": 400})
    page.goto(f"{write_site(boards, tmp_path / 'two')[0].as_uri()}#{anchor(boards.boards[1])}?sort=average")
    expect(page.locator("section.board h2").nth(1)).to_be_in_viewport()
    shows(page, ["FIRST", "SECOND", "SECOND", "FIRST"])
    page.locator("section.board").first.get_by_role("searchbox").fill("second")
    shows(page, ["SECOND", "SECOND", "FIRST"])
    assert fragment(page) == f"{anchor(boards.boards[0])}?search=second", "an address shows one board"
    page.close()


def test_enter_in_the_search_goes_nowhere(page: Page) -> None:
    search(page).fill("alpha")
    before = page.evaluate("location.href")
    search(page).press("Enter")
    assert page.evaluate("location.href") == before
    shows(page, ["ALPHA"])


def test_the_keyboard_is_enough(page: Page) -> None:
    """From the search on by Tab alone: filter, open the columns, take one away, sort by the average."""
    page.keyboard.press("Tab")
    while not page.evaluate("document.activeElement.matches('[type=search]')"):
        page.keyboard.press("Tab")
    page.keyboard.type("author")
    page.keyboard.press("Tab")
    page.keyboard.type("f")  # selects "fairness"
    shows(page, ["BRAVO", "ALPHA"])
    while not page.evaluate("document.activeElement.matches('.columns summary')"):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert "hide=worst" in fragment(page)
    while not page.evaluate("document.activeElement.matches('[data-column=average] .dt-column-order')"):
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", "the focus is always visible"
    page.keyboard.press("Enter")
    shows(page, ["ALPHA", "BRAVO"])


def test_bibtex_is_shown_closed_and_copied(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    row = page.locator("table.ranking tbody tr", has_text="BRAVO")
    cite = row.locator(".cite")
    assert not cite.is_visible()
    row.get_by_role("button", name="BibTeX").click()
    cite.wait_for(state="visible")
    cite.get_by_role("button", name="Copy").click()
    expect(cite.get_by_role("status")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == cite.locator("pre").text_content() == "@a"
    page.keyboard.press("Escape")
    cite.wait_for(state="hidden")


@pytest.mark.parametrize(
    "clipboard",
    [
        "() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')) }",
        "() => { Object.defineProperty(navigator, 'clipboard', { value: undefined }) }",
    ],
)
def test_a_copy_that_is_not_allowed_selects_the_text(page: Page, clipboard: str) -> None:
    page.evaluate(clipboard)
    row = page.locator("table.ranking tbody tr", has_text="ALPHA")
    row.get_by_role("button", name="BibTeX").click()
    row.get_by_role("button", name="Copy").click()
    expect(row.get_by_role("status")).to_contain_text("Not allowed to copy")
    assert page.evaluate("getSelection().toString()") == "@a"


def test_every_download_is_there(page: Page, site: Path) -> None:
    links = page.locator(".downloads a")
    assert links.all_text_contents() == ["CSV", "JSON", "LaTeX", "BibTeX", "parquet"]
    for link in links.all():
        assert (site / (link.get_attribute("href") or "nothing")).is_file()
    links.nth(1).click()  # a browser may show what it was asked to store, if both come from the disk
    page.wait_for_url("**/downloads/*.json")
    board = json.loads(next(site.glob("downloads/*.json")).read_text(encoding="utf-8"))
    assert [row["label"] for row in board["rows"] if row["kind"] == "ranked"] == ["bravo", "charlie", "alpha"]


def test_without_script_there_is_nothing_that_needs_it(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert not page.locator("form.view").is_visible()
    assert page.locator("table.ranking thead [role=button]").count() == 0
    page.get_by_role("button", name="BibTeX").first.click()
    assert page.locator(".cite:visible pre").text_content() == "@a"
    assert not page.locator(".cite:visible .copy").is_visible()
    context.close()
