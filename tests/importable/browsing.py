"""A page of a site in a real browser: what it complains of, and what axe-core finds on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

AXE = (Path(__file__).parents[1] / "report" / "site" / "assets" / "axe.min.js").read_text(encoding="utf-8")


@contextmanager
def opened(browser: Browser, index: str) -> Iterator[Page]:
    """The page at an address; whatever it or another page of the site logs, or asks for beyond the site, fails."""
    page = browser.new_page()
    page.set_default_timeout(30_000)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on("request", lambda request: complaints.append(request.url) if strange(request.url, index) else None)
    page.goto(index)
    yield page
    page.close()
    assert not complaints


def strange(url: str, index: str) -> bool:
    """Whether a request is for anything but a file of the site."""
    return not url.startswith(index.removesuffix("index.html"))


def findings(page: Page) -> list[str]:
    """Violations that axe calls serious or critical, with the first element of each."""
    found: list[dict[str, Any]] = page.evaluate(f"() => {{ {AXE}; return axe.run({{ preload: false }}) }}")[
        "violations"
    ]
    return [
        f"{one['id']} ({one['impact']}): {one['nodes'][0]['html'][:200]} {one['nodes'][0].get('failureSummary', '')}"
        for one in found
        if one["impact"] in {"serious", "critical"}
    ]
