"""A board in a real browser, opened from a file: nothing is served, and nothing may be asked for."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from browsing import opened
from playwright.sync_api import Browser, Page, sync_playwright

from fairbench.boards.building import build_boards
from fairbench.outcomes.store import read_outcomes, write_outcomes
from fairbench.report.site.page import write_site

CHROMIUM = shutil.which("chromium")
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
NAMES = ["airplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test that needs the site leaves it for all others, which only read."""
    return tmp_path_factory.mktemp("site")


@pytest.fixture
def address(site: Path, results: Path, write_run: Callable[..., Path]) -> str:
    """A board of three ranked rows, an incomplete one, a teacher and a model that was trained elsewhere."""
    page = site / "index.html"
    if not page.exists():
        write_board(write_run)
        write_site(build_boards(results), site)
    return page.as_uri()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The opened page; whatever it logs or asks for beyond itself fails the test."""
    with opened(browser, address) as page:
        yield page


def write_board(write_run: Callable[..., Path]) -> None:
    ten = {"counts": [20] * 10, "clean": [19] * 10, "class_names": NAMES}
    for seed in range(3):
        write_run("alpha", seed=seed, **ten, pgd20=[12] * 10, autoattack=[8] * 9 + [3], cost=2.0)
        write_run("bravo", seed=seed, **ten, pgd20=[10] * 10, autoattack=[6] * 10, cost=10.0)
        distil(write_run("charlie", seed=seed, **ten, pgd20=[11] * 10, autoattack=[10] * 9 + [5 - seed], cost=1.0))
    write_run("delta", seed=0, **ten, pgd20=[9] * 10, autoattack=[9] * 10)
    write_run("delta", seed=1, status="failed", reason="the loss became NaN", failed_epoch=3, class_names=NAMES)
    write_run("teacher", role="teacher", **ten, pgd20=[9] * 10, autoattack=[9] * 10)
    write_run("external-zoo", role="external", **ten, pgd20=[19] * 10, autoattack=[18] * 10, warnings=["Look here."])


def distil(path: Path) -> None:
    """Rewrite a run as one of a method that needs a teacher."""
    outcomes = read_outcomes(path)
    found = outcomes.provenance
    description = found.description | {"prerequisites": {"teacher": "0123456789abcdef"}}
    provenance = replace(found, description=description, card=found.card | {"family": "distillation", "year": 2021})
    write_outcomes(path, replace(outcomes, provenance=provenance))
