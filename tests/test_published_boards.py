"""The outcome files that this repository holds: whole, small, and under keys that today's code gives again."""

from pathlib import Path

import pytest

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
