"""axe-core finds nothing serious on the pages, whatever their colours and width."""

import shutil

import pytest
from browsing import findings
from playwright.sync_api import Page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not shutil.which("chromium"), reason="needs Debian's chromium on the path"),
]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 360)])
def test_nothing_serious(page: Page, scheme: str, width: int) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 800})
    assert page.locator("figure[data-drawing] svg").count() == 3
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
    assert not findings(page)


def test_an_open_citation_has_nothing_serious(page: Page) -> None:
    page.get_by_role("button", name="BibTeX").first.click()
    assert not findings(page)


def test_axe_finds_what_is_wrong(page: Page) -> None:
    """The check itself can fail."""
    page.evaluate("document.querySelector('.name').style.color = '#eee'; document.documentElement.lang = ''")
    assert [finding.split()[0] for finding in findings(page)] == ["color-contrast", "html-has-lang"]
