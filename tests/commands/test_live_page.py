"""The page that is written while runs end: what has not changed is left alone, and at the end everything is there."""

from pathlib import Path

import pytest

from fairbench.boards.building import build_boards
from fairbench.commands import live_page
from fairbench.commands.live_page import LivePage
from fairbench.method import registry
from fairbench.report.site.page import pages
from fixture_types import WriteRun


def times(site: Path) -> dict[str, int]:
    return {path.relative_to(site).as_posix(): path.stat().st_mtime_ns for path in site.rglob("*") if path.is_file()}


def test_only_what_changed_is_written_again(
    results: Path, write_run: WriteRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_page, "SHARE", 0)
    site = tmp_path / "site"
    for suite in ("digits", "mnist"):
        for seed in range(2):
            write_run("trades", seed=seed, suite=suite)
    page = LivePage(results, site)
    assert page.refreshed() is not None
    first = times(site)
    write_run("trades", seed=2, suite="mnist")
    (lost,) = (site / "methods").glob("board-digits-*/trades.html")
    lost.unlink()
    boards = page.refreshed()
    assert boards is not None
    assert [len(board.ranked) for board in boards] == [0, 1]
    second = times(site)
    again = {name for name in second if second[name] != first[name]}
    assert {"index.html", "suites/mnist.html", lost.relative_to(site).as_posix()} <= again
    assert not {name for name in again if name.startswith("downloads/board-digits")}
    assert len([name for name in again if name.startswith("downloads/board-mnist")]) == 5
    implied = pages(build_boards(results, expected=registry.names()))
    assert {name: (site / name).read_bytes() for name in second} == implied
    (site / "index.html").write_text("of somebody else", encoding="utf-8")
    lost.write_text("of somebody else", encoding="utf-8")
    page.written()
    assert {name: (site / name).read_bytes() for name in second} == implied


def test_a_second_suite_changes_what_the_pages_of_the_first_say(
    results: Path, write_run: WriteRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_page, "SHARE", 0)
    write_run("trades")
    page = LivePage(results, tmp_path / "site")
    page.refreshed()
    write_run("trades", suite="mnist")
    page.refreshed()
    (own,) = (tmp_path / "site/methods").glob("board-digits-*/trades.html")
    assert "../../suites/digits.html#board-digits" in own.read_text(encoding="utf-8")
