"""Flags as figures."""

from pathlib import Path
from typing import Any

import pytest

from fairbench.boards.building import build_boards
from fairbench.boards.seed_result import SeedResult
from fairbench.report.site.flags import COLUMNS, cells
from fixture_types import WriteRun


def run_with(results: Path, write_run: WriteRun, flags: dict[str, Any]) -> SeedResult:
    write_run(flags=flags)
    (board,) = build_boards(results).boards
    return board.unranked[0].results[0]


def test_every_flag_has_its_column(results: Path, write_run: WriteRun) -> None:
    flags = {
        "randomised": True,
        "batch_dependent": False,
        "probability_outputs": False,
        "grad_at_inference": False,
        "train_mode_modules": ["dropout", "norm"],
        "zero_gradient_share": 0.0123,
        "nonfinite": 1234,
        "square_gain_pp": 0.249,
        "pgd_aa_gap_pp": 11.25,
        "order_violations": [3, 5],
        "unverified_breaks": 0,
        "audit_breaks": 2,
    }
    shown = cells(run_with(results, write_run, flags))
    assert dict(zip(COLUMNS, shown, strict=True)) == {
        "randomised": "yes",
        "batch_dependent": "no",
        "probability_outputs": "no",
        "grad_at_inference": "no",
        "train_mode_modules": "dropout, norm",
        "zero_gradient_share": "1.2",
        "nonfinite": "1,234",
        "square_gain_pp": "0.25",
        "pgd_aa_gap_pp": "11.25",
        "order_violations": "3, 5",
        "unverified_breaks": "0",
        "audit_breaks": "2",
    }


@pytest.mark.parametrize("value", [None, "<b>", {"a": 1}, float("1e400"), float("nan"), 10**400, True])
def test_what_is_no_figure_is_left_out(results: Path, write_run: WriteRun, value: object) -> None:
    names = ["zero_gradient_share", "square_gain_pp", "pgd_aa_gap_pp"]
    if isinstance(value, float):  # a file cannot hold it, and its reader would not refuse it
        result = run_with(results, write_run, {})
        result.provenance.flags.update(dict.fromkeys(names, value))
    else:
        result = run_with(results, write_run, dict.fromkeys(names, value))
    assert set(cells(result)) == {"–"}
