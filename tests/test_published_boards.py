"""What this repository holds of the board: whole files, small, under today's keys; and the README's table of them."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from fairbench.cli import main
from fairbench.outcomes.store import read_outcomes
from fairbench.protocol.suite_file import load_suite
from fairbench.submission import replanning

SUITE = "cifar10-small"
FILES = sorted(Path("results", SUITE).glob("*/seed*.parquet"))
MOST_BYTES = 150_000


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_committed_run_keeps_its_key(path: Path) -> None:
    """Planned anew from the suite, its tuned rates and the method, it is the very run; nobody computes it again."""
    outcomes = read_outcomes(path)
    assert replanning.problem(outcomes.provenance, load_suite(SUITE), dataset_digest="") == ""
    assert len(outcomes.rows) == 9_980
    assert path.stat().st_size < MOST_BYTES


def test_the_readme_shows_the_board() -> None:
    command = ["export", "--suite", SUITE, "--format", "markdown", "--top", "10"]
    exported = CliRunner().invoke(main, command)
    assert exported.exit_code == 0, exported.output
    table, _, _ = exported.output.partition("\n\n")  # its caption follows
    readme = Path("README.md").read_text(encoding="utf-8")
    shown = readme.split("<!-- board -->\n")[1].split("\n<!-- end of board -->")[0]
    assert shown == table, f"not what this says: fairbench {' '.join(command)}"
