"""Released versions: frozen, listed, shown under an address of their own, and never mixed with what comes after."""

import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fairbench import load_results
from fairbench.boards.releases import read_releases, unreleased
from fairbench.cli import main
from fairbench.outcomes.board_version import read_versions
from fixture_types import Cli, WriteRun


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


def words(done: Result) -> str:
    return " ".join(done.output.split())


@pytest.fixture
def two_versions(cli: Cli, results: Path, write_run: WriteRun, write_receipt_of: WriteRun) -> Path:
    """A row is added, one is evaluated again by another engine, one is gone; a model from elsewhere stands beside."""
    for seed in range(3):
        write_receipt_of(write_run("pgd-at", seed=seed))
        write_run("old", seed=seed)
    write_run("external-zoo", role="external", suite="digits-data", folder="digits-data")
    done = cli("release", "digits", "--date", "2026-08-01", "--note", "The first <one>.")
    assert done.exit_code == 0, done.output
    for seed in range(3):
        write_run("pgd-at", seed=seed, autoattack=(6, 5, 4), versions={"engine": "5"})
        write_run("new", seed=seed, autoattack=(4, 4, 4), versions={"engine": "5"})
        (results / "digits" / "old" / f"seed{seed}.parquet").unlink()
    (results / "digits/pgd-at/seed0.verified.json").unlink()
    (results / "digits/pgd-at/seed1.verified.json").unlink()
    (results / "digits/pgd-at/seed2.verified.json").unlink()
    shutil.rmtree(results / "digits-data")
    done = cli("release", "digits", "--date", "2026-11-30")
    assert done.exit_code == 0, done.output
    assert "Released digits-2: fairbench-2, fairbench 5, digest " in words(done)
    return results


def test_what_changed_between_versions(two_versions: Path) -> None:
    (first, second), problems = read_releases(two_versions, draws=2)
    assert problems == ()
    assert first.change.added == ("external-zoo", "old", "pgd-at")
    assert second.change.added == ("new",)
    assert second.change.changed == ("pgd-at",)
    assert second.change.removed == ("external-zoo", "old")
    assert (second.change.protocol, second.change.engine) == (None, ("fairbench 4", "fairbench 5"))
    assert [row.label for row in first.boards.boards[0].ranked] == ["old", "pgd-at"]
    assert first.boards.boards[0].ranked[1].verified
    assert [row.label for row in first.boards.boards[0].external] == ["external-zoo"]
    assert [row.label for row in second.boards.boards[0].ranked] == ["pgd-at", "new"]
    assert unreleased(two_versions, second.version).nothing


def test_today_is_compared_with_the_last_version(two_versions: Path, write_run: WriteRun) -> None:
    write_run("begun")
    assert unreleased(two_versions, read_versions(two_versions, "digits")[-1]).added == ("begun",)


def test_the_site_holds_every_version(two_versions: Path, cli: Cli, tmp_path: Path) -> None:
    """Twice the same bytes; each version complete under its own address, and readable by `load_results`."""
    done = cli("report")
    assert done.exit_code == 0, done.output
    site = tmp_path / "site"
    first = {path.relative_to(site): path.read_bytes() for path in site.rglob("*") if path.is_file()}
    assert cli("report", "--site", "again").exit_code == 0
    again = {path.relative_to("again"): path.read_bytes() for path in Path("again").rglob("*") if path.is_file()}
    assert first == again
    assert cli("report", "--check").exit_code == 0
    old = (site / "versions/digits-1/index.html").read_text(encoding="utf-8")
    assert "This is version 1 of the board digits, released on 2026-08-01" in " ".join(old.split())
    assert "OLD" in old
    assert (site / "versions/digits-1/assets/page.css").is_file()
    today = (site / "index.html").read_text(encoding="utf-8")
    assert '<a href="history.html">Released versions</a>' in today
    assert "OLD" not in today
    history = " ".join((site / "history.html").read_text(encoding="utf-8").split())
    assert "<li>Added: new.</li>" in history
    assert "<li>Other outcomes: pgd-at.</li>" in history
    assert "<li>Engine of AutoAttack: fairbench 4 before, fairbench 5 now.</li>" in history
    assert "The first &lt;one&gt;." in history
    assert "Since the last version" not in history
    links = re.findall(r'href="([^"#:]+)', history)
    assert all((site / link).is_file() for link in links if link != "data")
    table = load_results(site, version="digits-1", cache=tmp_path / "cache")
    assert table.equals(load_results(two_versions, version="digits-1"))
    assert set(table["label"]) == {"old", "pgd-at", "external-zoo"}


def test_without_a_release_the_site_is_as_ever(results: Path, write_run: WriteRun, cli: Cli, tmp_path: Path) -> None:
    """Pages of versions that are gone are removed."""
    write_run("a")
    assert results.is_dir()
    for stray in ("versions.json", "history.html", "versions/digits-1/index.html"):
        (tmp_path / "site" / stray).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "site" / stray).write_text("old", encoding="utf-8")
    assert cli("report", "--check").exit_code == 1
    assert cli("report").exit_code == 0
    names = {path.name for path in (tmp_path / "site").rglob("*") if path.is_file()}
    assert not names & {"versions.json", "history.html"}
    assert "Released versions" not in (tmp_path / "site/index.html").read_text(encoding="utf-8")


def test_a_version_that_was_touched_is_a_problem(two_versions: Path, cli: Cli) -> None:
    (two_versions / "digits/versions/1/digits/old/seed0.parquet").unlink()
    done = cli("report")
    assert done.exit_code == 1
    assert "Left out: digits/versions/1 is not version 1 of digits as it was released: its digest is" in words(done)
    assert not Path("site/versions/digits-1").exists()
    assert Path("site/versions/digits-2/index.html").is_file()


def test_a_file_that_cannot_be_read_is_a_problem(two_versions: Path, cli: Cli) -> None:
    (two_versions / "digits/board.toml").write_text("[[versions]]\nnumber = 'one'", encoding="utf-8")
    done = cli("report")
    assert done.exit_code == 1
    assert "Left out: digits/board.toml: The field 'versions.released' is missing" in words(done)


def test_what_cannot_be_released(results: Path, write_run: WriteRun, cli: Cli) -> None:
    assert "There is no folder results" in words(cli("release", "digits"))
    write_run("a", versions={"engine": "4"})
    assert "Unknown board 'mnist'" in words(cli("release", "mnist"))
    assert "versions.released = 'today' is not allowed; allowed: a date" in words(
        cli("release", "digits", "--date", "today")
    )
    write_run("b", versions={"engine": "5"})
    said = words(cli("release", "digits"))
    assert "The rows of digits follow several engines (fairbench 4, fairbench 5), which no version mixes." in said
    write_run("b", epsilon=0.2, versions={"engine": "4"})
    assert "follow several protocols (differing in more than their version)" in words(cli("release", "digits"))
    write_run("b").write_bytes(b"junk")
    assert "A version cannot be released around it." in words(cli("release", "digits"))
    assert not (results / "digits" / "versions").exists()
    write_run("b")
    assert cli("release", "digits", "--date", "2026-11-30").exit_code == 0
    done = cli("release", "digits")
    assert done.exit_code == 2
    assert "Nothing changed since digits-1, released on 2026-11-30." in words(done)
    assert [path.name for path in (results / "digits" / "versions").iterdir()] == ["1"]


def test_a_release_that_was_killed_is_done_again(results: Path, write_run: WriteRun, cli: Cli) -> None:
    """Its folder is there, and no list knows it."""
    write_run("a")
    left = results / "digits/versions/1/digits/b/seed0.parquet"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"junk")
    (results / "digits/versions/.releasing-x/version").mkdir(parents=True)
    assert cli("release", "digits").exit_code == 0
    assert not left.exists()
    assert [path.name for path in (results / "digits/versions").iterdir()] == ["1"]
    assert cli("report").exit_code == 0
