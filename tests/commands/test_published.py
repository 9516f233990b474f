"""`fairbench report` shows `published.csv` of its results folder, and says what is wrong with it."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fairbench.cli import main
from fairbench.outcomes.literature import COLUMNS, FILE
from fixture_types import Cli, WriteRun

LINE = "trades,beta6,digits,resnet18,8/255,last,84.2,63.7,,,,,,A paper,paper"


@pytest.fixture
def report(results: Path, write_run: WriteRun, tmp_path: Path) -> Cli:
    """Runs the command on a board with one method, beside which `published.csv` has the given lines."""
    for seed in range(3):
        write_run("trades", seed=seed)

    def run(*lines: str, check: bool = False) -> Result:
        (results / FILE).write_text("\n".join([",".join(COLUMNS), *lines]) + "\n")
        options = ["--results", str(results), "--site", str(tmp_path / "site"), *(["--check"] if check else [])]
        return CliRunner().invoke(main, ["report", *options])

    return run


def test_published_numbers_reach_the_site(report: Cli, tmp_path: Path) -> None:
    assert report(LINE).exit_code == 0
    assert "A paper" in (tmp_path / "site" / "index.html").read_text()
    (page,) = (tmp_path / "site" / "methods").rglob("trades.html")
    assert "A paper" in page.read_text()


def test_a_malformed_file_is_named_and_left_out(report: Cli, tmp_path: Path) -> None:
    found = report(LINE.replace("84.2", "184"))
    assert found.exit_code == 1
    assert "Left out: published.csv, line 2 has clean_avg = '184'" in " ".join(found.output.split())
    page = (tmp_path / "site" / "index.html").read_text()
    assert "1 file could not be used" in page
    assert str(tmp_path) not in page
    assert "A paper" not in page


def test_a_change_of_the_file_makes_the_site_stale(report: Cli) -> None:
    assert report(LINE).exit_code == 0
    assert report(LINE, check=True).exit_code == 0
    assert report(LINE.replace("63.7", "60.0"), check=True).exit_code == 1
