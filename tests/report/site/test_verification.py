"""What a row's marks and pages say about a second look at it."""

import csv
import io
import json
from pathlib import Path

import pytest

from fairbench.boards.board import Board
from fairbench.boards.building import build_boards
from fairbench.report.site.downloads import downloads
from fairbench.report.site.method_page import method_pages
from fairbench.report.site.page import render
from fairbench.report.site.verification import contradicted, verification, verification_mark
from fixture_types import WriteRun

HOSTILE = "</td><script>alert(1)</script>"


def board_of(results: Path) -> Board:
    return build_boards(results, draws=50).boards[0]


def page_of(results: Path) -> str:
    ((_, page),) = method_pages(build_boards(results, draws=50), ()).items()
    return page.decode()


@pytest.fixture
def paths(write_run: WriteRun) -> list[Path]:
    """A ranked row."""
    return [write_run("a", seed=seed, checkpoints={"selected": "f00d" * 16}) for seed in range(3)]


def test_nobody_looked(results: Path, paths: list[Path]) -> None:
    del paths
    (row,) = board_of(results).ranked
    assert verification_mark(row) == ""
    assert verification(row) == []
    assert "Not verified: nobody has attacked" in page_of(results)


def test_some_seeds_are_verified(results: Path, paths: list[Path], write_receipt_of: WriteRun) -> None:
    write_receipt_of(paths[1])
    (row,) = board_of(results).ranked
    assert (row.verified, verification_mark(row)) == (False, "1 of 3 seeds verified")
    found = {fact.name: fact.texts for fact in verification(row)}
    assert found == {
        "Images attacked again": ("–", "6 of 30", "–"),
        "Verdicts that differ": ("–", "0 of 18", "–"),
        "Other images that could differ": ("–", "at most 13 of 24 (95 %)", "–"),
        "Drawn by": ("–", "--seed 7", "–"),
        "Weights": ("–", "the evaluated file", "–"),
        "Version: fairbench": ("–", "0.1.0", "–"),
        "Version: torch": ("–", "2.15.0", "–"),
        "Hardware": ("–", "A fast machine", "–"),
        "Device": ("–", "cpu", "–"),
        "SHA-256: weights": ("–", "f00d" * 16, "–"),
    }
    page = page_of(results)
    assert "1 of 3 seeds verified: a random sample" in page
    assert "at most 13 of 24 (95 %)" in page


def test_all_seeds_are_verified(results: Path, paths: list[Path], write_receipt_of: WriteRun) -> None:
    for path in paths:
        write_receipt_of(path)
    boards = build_boards(results, draws=50)
    (row,) = boards.boards[0].ranked
    assert (row.verified, verification_mark(row)) == (True, "verified")
    page = render(boards).decode()
    assert 'data-verified="yes"' in page
    assert '#verification">verified</a>' in page


def test_one_verdict_that_differs_is_enough(results: Path, paths: list[Path], write_receipt_of: WriteRun) -> None:
    write_receipt_of(paths[0])
    write_receipt_of(paths[1], disagreements=4, overstated=3)
    boards = build_boards(results, draws=50)
    (row,) = boards.boards[0].ranked
    assert contradicted(row)
    assert (row.verified, verification_mark(row)) == (False, "4 of 36 verdicts differ")
    found = {fact.name: fact.texts for fact in verification(row)}
    assert found["Verdicts that differ"] == ("0 of 18", "4 of 18; 3 of them overstate the run", "–")
    assert found["Other images that could differ"] == ("at most 13 of 24 (95 %)", "–", "–")
    assert 'class="mark alert"' in render(boards).decode()


@pytest.mark.parametrize(
    ("given", "evaluated", "said"),
    [
        ("aa", {"selected": "aa"}, "the evaluated file"),
        ("bb", {"selected": "aa"}, "another file than the evaluated one"),
        ("bb", {}, "a file; the run names none"),
        ("", {"selected": "aa"}, "given without a file"),
    ],
)
def test_which_weights(
    results: Path,
    write_run: WriteRun,
    write_receipt_of: WriteRun,
    given: str,
    evaluated: dict[str, str],
    said: str,
) -> None:
    write_receipt_of(write_run("external-a", role="external", checkpoints=evaluated), weights=given)
    (row,) = board_of(results).external
    assert {fact.name: fact.texts for fact in verification(row)}["Weights"] == (said,)


def test_all_images_leave_none_to_bound(results: Path, write_run: WriteRun, write_receipt_of: WriteRun) -> None:
    write_receipt_of(write_run("a", autoattack=None), attacked=[10, 10, 10])
    (row,) = board_of(results).unranked
    found = {fact.name: fact.texts for fact in verification(row)}
    assert found["Verdicts that differ"] == ("0 of 60",), "clean and PGD-20 alone"
    assert "Other images that could differ" not in found


def test_it_is_in_the_data(results: Path, paths: list[Path], write_receipt_of: WriteRun) -> None:
    write_receipt_of(paths[1], disagreements=4, overstated=3)
    write_receipt_of(paths[2])
    files = downloads(board_of(results))
    (row,) = json.loads(files[".json"])["rows"]
    assert row["verified"] is False
    assert [run["verification"] and run["verification"]["disagreements"] for run in row["runs"]] == [None, 4, 0]
    (line,) = csv.DictReader(io.StringIO(files[".csv"].decode()))
    assert (line["seeds"], line["verified_seeds"]) == ("3", "1")


def test_nothing_in_a_receipt_can_write_into_a_page(
    results: Path, paths: list[Path], write_receipt_of: WriteRun
) -> None:
    for path in paths:
        write_receipt_of(
            path, weights=HOSTILE, hardware=HOSTILE, device=HOSTILE, versions={"torch": HOSTILE}, seed=10**400
        )
    pages = [page_of(results), render(build_boards(results, draws=50)).decode()]
    assert "&lt;script&gt;alert(1)" in pages[0]
    assert not any("<script>alert" in page for page in pages)
