"""Outcomes of a run: one parquet file, one row per test image, the provenance as JSON in the schema metadata.

    results/<suite>/<method>[-<hash of non-default parameters>]/seed<k>.parquet

Numbers are numbers: no formatted text, no ranks, nothing that can be derived. A file is written under a temporary name
and renamed, so a half-written run is never a result. A run that failed in training is stored too, with its reason and
without rows, so that the board shows it. This module and everything above it on the way to the page import no torch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fairbench.atomic import atomic
from fairbench.errors import UserError, first_line
from fairbench.outcomes.provenance import SCHEMA_VERSION, Provenance, from_metadata, to_metadata
from fairbench.protocol.attack_names import BROKEN_BY

NOT_RUN = -1
"""In place of a prediction where an attack was not part of the evaluation."""

SCHEMA = pa.schema(
    [
        pa.field("index", pa.int32(), nullable=False),  # position in the test set
        pa.field("label", pa.int16(), nullable=False),
        pa.field("clean", pa.int16(), nullable=False),  # predictions of the selected checkpoint
        pa.field("pgd20", pa.int16(), nullable=False),  # at the final iterate
        pa.field("pgd20_any", pa.bool_(), nullable=False),  # correct at the clean image and at every iterate
        pa.field("pgd20_survived", pa.int16(), nullable=False),  # iterates x_0 .. x_{K-1} classified correctly
        pa.field("autoattack", pa.int16(), nullable=False),  # under the attack that broke it, else the label; NOT_RUN
        pa.field("broken_by", pa.string(), nullable=False),
        pa.field("last_clean", pa.int16(), nullable=False),  # predictions of the last checkpoint
        pa.field("last_pgd20", pa.int16(), nullable=False),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """Verdicts of one run, with where they come from.

    Attributes:
        rows: the columns of `SCHEMA`, one row per test image; empty if the run failed.
        provenance: everything else.
    """

    rows: pd.DataFrame
    provenance: Provenance


def no_rows() -> pd.DataFrame:
    """An empty table of verdicts, for a failed run."""
    rows: pd.DataFrame = SCHEMA.empty_table().to_pandas()
    return rows


def write_outcomes(path: Path, outcomes: Outcomes) -> None:
    """Write atomically: the file appears complete or not at all.

    Raises:
        UserError: if the folder cannot be written or the disk is full.
    """
    _check_rows(outcomes, origin=str(path))
    table = pa.Table.from_pandas(outcomes.rows, schema=SCHEMA, preserve_index=False).replace_schema_metadata()
    # Arrow's own copy of the schema would hold the provenance once more, and says nothing that parquet does not.
    stored = {"compression": "zstd", "store_schema": False}
    with atomic(path) as temporary, pq.ParquetWriter(temporary, table.schema, **stored) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(to_metadata(outcomes.provenance))


def read_outcomes(path: Path) -> Outcomes:
    """Read and check one file.

    Raises:
        UserError: if it is truncated, of a newer schema, or not what it claims to be; the file is left alone.
    """
    try:
        table = pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise UserError(
            f"{path} is not a readable parquet file ({first_line(error)}); move it away and run again."
        ) from error
    provenance = from_metadata(table.schema.metadata, origin=str(path))
    if not table.schema.equals(SCHEMA, check_metadata=False):
        differing = sorted(_column_names(table.schema) ^ _column_names(SCHEMA))
        raise UserError(
            f"{path} does not have the columns of schema {SCHEMA_VERSION}; differing: {', '.join(differing)}."
        )
    outcomes = Outcomes(rows=table.to_pandas(), provenance=provenance)
    _check_rows(outcomes, origin=str(path))
    return outcomes


def read_provenance(path: Path) -> Provenance:
    """Read the metadata alone, which is quick.

    Raises:
        UserError: as `read_outcomes`, for what the metadata shows.
    """
    try:
        metadata = pq.read_schema(path).metadata
    except (OSError, pa.ArrowException) as error:
        raise UserError(
            f"{path} is not a readable parquet file ({first_line(error)}); move it away and run again."
        ) from error
    return from_metadata(metadata, origin=str(path))


def result_files(results: Path) -> Iterator[Path]:
    """Every outcome file below a results folder, sorted."""
    yield from sorted(results.glob("*/*/seed*.parquet"))


def _column_names(schema: Any) -> set[str]:
    return {f"{column.name} {column.type}{'' if column.nullable else ' not null'}" for column in schema}


def _check_rows(outcomes: Outcomes, *, origin: str) -> None:
    rows, classes = outcomes.rows, len(outcomes.provenance.class_names)
    if outcomes.provenance.status == "failed":
        if len(rows):
            raise UserError(f"{origin}: a failed run has no verdicts, found {len(rows)} rows.")
        return
    if not len(rows):
        raise UserError(f"{origin}: a finished run has one row per test image, found none.")
    if not np.all(np.diff(rows["index"].to_numpy()) > 0):
        raise UserError(f"{origin}: the column 'index' must rise, without repetition.")
    for column, low in (
        ("label", 0),
        ("clean", 0),
        ("pgd20", 0),
        ("autoattack", NOT_RUN),
        ("last_clean", 0),
        ("last_pgd20", 0),
    ):
        values = rows[column]
        if values.min() < low or values.max() >= classes:
            raise UserError(
                f"{origin}: column {column!r} has values from {values.min()} to {values.max()}; "
                f"allowed: {low} to {classes - 1}, one of {classes} classes."
            )
    if stray := sorted(set(rows["broken_by"].unique()) - set(BROKEN_BY)):
        raise UserError(f"{origin}: column 'broken_by' has {stray[0]!r}; allowed: {', '.join(map(repr, BROKEN_BY))}.")
