"""The receipt of a verification: what `fairbench verify` found when it attacked images of an outcome file again.

    results/<suite>/<label>/seed<k>.verified.json       beside seed<k>.parquet

    write_receipt(receipt_file(path), receipt)
    read_receipt(receipt_file(path)).disagreements

It speaks of the exact bytes of one outcome file, so that it is worth nothing once they change. It is not signed: its
word is that of whoever keeps the results. What its numbers mean for a result follows from both, in
`fairbench.boards.verified_results`.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from fairbench.atomic import atomic
from fairbench.errors import UserError, first_line
from fairbench.identity import file_sha256
from fairbench.outcomes.audit import Audit
from fairbench.typed_json import read_object

RECEIPT_SCHEMA = 1
ENDING = ".verified.json"

LARGEST = 2**20
"""Bytes; a receipt of a thousand classes has fewer than ten thousand."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """What a second look at one outcome file found; plain values only.

    Attributes:
        outcomes: SHA-256 of the outcome file.
        weights: SHA-256 of the checkpoint that was attacked; "" if the model came without a file, as from the zoo.
        seed: of the draw of the images.
        attacked: images that were attacked again, by class.
        claimed: of them, those that the outcome file counts as robust, if these were drawn by themselves; else empty.
        disagreements: their verdicts that differ, over all attacks.
        overstated: of these, verdicts that count as correct in the outcome file and are not.
        versions: of fairbench, Python and the libraries.
        hardware: processor or accelerator.
        device: `cpu` or `cuda`.
    """

    outcomes: str
    weights: str
    seed: int
    attacked: list[int]
    disagreements: int
    overstated: int
    versions: dict[str, str]
    hardware: str
    device: str
    claimed: list[int] = field(default_factory=list)

    def others_at_most(self, submitted: Sequence[int]) -> int:
        """If nothing disagrees: how many of the images that were not attacked could, at most (95 %).

        Args:
            submitted: images of the outcome file, by class.
        """
        return Audit(survivors=tuple(submitted), audited=tuple(self.attacked), breaks=0).missed_at_most_in_all

    def overstated_at_most(self, robust: Sequence[int]) -> int:
        """If nothing disagrees: how many of the other robust verdicts could be invented, at most (95 %).

        Args:
            robust: images that the outcome file counts as robust, by class.
        """
        return Audit(survivors=tuple(robust), audited=tuple(self.claimed), breaks=0).missed_at_most_in_all


def receipt_file(outcomes: Path) -> Path:
    """Where the receipt of an outcome file lies."""
    return outcomes.with_suffix(ENDING)


def receipt_files(results: Path) -> Iterator[Path]:
    """Every receipt below a results folder, sorted."""
    yield from sorted(results.glob(f"*/*/seed*{ENDING}"))


def outcomes_sha256(path: Path) -> str:
    """Of the bytes of an outcome file, in hexadecimal.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        return file_sha256(path)
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}.") from error


def write_receipt(path: Path, receipt: Receipt) -> None:
    """Write atomically; equal receipts are equal files.

    Raises:
        UserError: if the folder cannot be written or the disk is full.
    """
    content = json.dumps({"schema": RECEIPT_SCHEMA, **asdict(receipt)}, indent=1, sort_keys=True, allow_nan=False)
    with atomic(path) as temporary:
        temporary.write_text(content + "\n", encoding="utf-8")


def read_receipt(path: Path) -> Receipt:
    """Read and check one file.

    Raises:
        UserError: if it is truncated, too large, of another schema, or not what it claims to be.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise UserError(f"{path} is not a readable receipt ({first_line(error)}).") from error
    if len(content) > LARGEST:
        raise UserError(f"{path} is larger than any receipt of a verification.")
    return read_object(Receipt, content, origin=str(path), schema=RECEIPT_SCHEMA)
