"""Receipts: what is written comes back, and the bound is that of an audit."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fairbench.errors import UserError
from fairbench.outcomes.audit import Audit
from fairbench.outcomes.receipt import outcomes_sha256, read_receipt, receipt_file, receipt_files, write_receipt
from fairbench.outcomes.store import result_files
from fixture_types import WriteRun


def test_what_is_written_comes_back(write_run: WriteRun, write_receipt_of: WriteRun, tmp_path: Path) -> None:
    outcomes = write_run()
    path = write_receipt_of(outcomes, disagreements=3, overstated=2)
    receipt = read_receipt(path)
    assert receipt.outcomes == outcomes_sha256(outcomes)
    assert (receipt.attacked, receipt.disagreements, receipt.overstated) == ([2, 2, 2], 3, 2)
    write_receipt(tmp_path / "copy.json", receipt)
    assert read_receipt(tmp_path / "copy.json") == receipt
    assert (tmp_path / "copy.json").read_bytes() == path.read_bytes(), "equal receipts are equal files"


def test_it_lies_beside_its_outcomes_and_is_taken_for_nothing_else(
    results: Path, write_run: WriteRun, write_receipt_of: WriteRun
) -> None:
    outcomes = write_run(seed=12)
    path = write_receipt_of(outcomes)
    assert path == receipt_file(outcomes) == outcomes.parent / "seed12.verified.json"
    assert list(receipt_files(results)) == [path]
    assert list(result_files(results)) == [outcomes]


def test_others_are_bounded_by_the_smallest_share_of_a_class(write_run: WriteRun, write_receipt_of: WriteRun) -> None:
    receipt = read_receipt(write_receipt_of(write_run()))
    audit = Audit(survivors=(10, 10, 10), audited=(2, 2, 2), breaks=0)
    assert receipt.others_at_most([10, 10, 10]) == audit.missed_at_most_in_all == 13
    assert receipt.others_at_most([2, 2, 2]) == 0


@pytest.mark.parametrize("reader", [read_receipt, outcomes_sha256])
def test_a_missing_file_is_named(tmp_path: Path, reader: Callable[[Path], object]) -> None:
    with pytest.raises(UserError, match=r"nothing\.json.*No such file"):
        reader(tmp_path / "nothing.json")
