"""Outcomes of a run: one parquet file, one row per test image, the provenance as JSON in the schema metadata.

    results/<suite>/<method>[-<hash of non-default parameters>]/seed<k>.parquet

Numbers are numbers: no formatted text, no ranks, nothing that can be derived. A file is written under a temporary name
and renamed, so a half-written run is never a result. A run that failed in training is stored too, with its reason and
without rows, so that the board shows it. This module and everything above it on the way to the page import no torch.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fairbench.atomic import atomic
from fairbench.errors import UserError, first_line
from fairbench.identity import content_key
from fairbench.outcomes.provenance import SCHEMA_VERSION, Provenance, attacks_of, curve_of, from_metadata, to_metadata
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


_PANDAS_INDEX = "__index_level_0__"
"""A column that pandas adds to a table whose rows it has sorted."""

CURVE = "curve"
"""A column where the protocol has a curve: how many of its radii the image withstands, the smallest first."""

TRIED = "tried:"
"""Begins the column of a further attack: the prediction under it, the label if it did not break the image."""

REACHED = "reached:"
"""Begins its other column: the wrong classes that its points were taken for, sorted."""


def _optional(name: str) -> Any:
    """The field of a column that only some protocols ask for; None if it is none."""
    if name == CURVE or name.startswith(TRIED):
        return pa.field(name, pa.int16(), nullable=False)
    return pa.field(name, pa.list_(pa.int16()), nullable=False) if name.startswith(REACHED) else None


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """Verdicts of one run, with where they come from.

    Attributes:
        rows: the columns of `SCHEMA`, and those of what else was asked for, one row per test image; empty if the run
            failed.
        provenance: everything else.
    """

    rows: pd.DataFrame
    provenance: Provenance

    @cached_property
    def verdicts(self) -> Mapping[str, npt.NDArray[Any]]:
        """The columns of `SCHEMA` that are numbers, each (images,): thousands of files are taken apart once each."""
        return {field.name: self.rows[field.name].to_numpy() for field in SCHEMA if field.name != "broken_by"}


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
    table = pa.Table.from_pandas(outcomes.rows, schema=_schema(outcomes.rows.columns), preserve_index=False)
    table = table.replace_schema_metadata()
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
    _refuse_folder(path)
    try:
        with pq.ParquetFile(path) as file:
            table = file.read(use_threads=False)  # threads gain nothing on files this small
    except (OSError, pa.ArrowException) as error:
        raise UserError(
            f"{path} is not a readable parquet file ({first_line(error)}); move it away and run again."
        ) from error
    provenance = from_metadata(table.schema.metadata, origin=str(path))
    expected = _schema(table.column_names)
    if not table.schema.equals(expected, check_metadata=False):
        table = _rewritten(table, expected, path)
    outcomes = Outcomes(rows=table.to_pandas(use_threads=False), provenance=provenance)
    _check_rows(outcomes, origin=str(path))
    return outcomes


def read_provenance(path: Path) -> Provenance:
    """Read the metadata alone, and of them not the history, which is quick.

    Raises:
        UserError: as `read_outcomes`, for what the metadata shows.
    """
    _refuse_folder(path)
    try:
        with path.open("rb") as file:
            metadata = pq.read_metadata(file).metadata
    except (OSError, pa.ArrowException) as error:
        raise UserError(
            f"{path} is not a readable parquet file ({first_line(error)}); move it away and run again."
        ) from error
    return from_metadata(metadata, origin=str(path), history=False)


def _refuse_folder(path: Path) -> None:
    """Arrow would read whatever is in it as one table."""
    if path.is_dir():
        raise UserError(f"{path} is a folder, where a parquet file belongs; move it away.")


def result_files(results: Path) -> Iterator[Path]:
    """Every outcome file below a results folder, sorted."""
    yield from sorted(results.glob("*/*/seed*.parquet"))


def stray_files(results: Path) -> Iterator[Path]:
    """Every other parquet file below a results folder, which nobody reads; sorted, without those in hidden folders."""
    read = set(result_files(results))
    for path in sorted(results.rglob("*.[pP][aA][rR][qQ][uU][eE][tT]")):
        hidden = any(part.startswith(".") for part in path.relative_to(results).parts)
        if path not in read and not hidden and path.is_file():
            yield path


def _schema(columns: Iterable[str]) -> Any:
    """Of a table with these columns, as far as they are known; what is optional comes last, sorted."""
    optional = (_optional(name) for name in sorted(set(columns)))
    return pa.schema([*SCHEMA, *(field for field in optional if field is not None)])


def _rewritten(table: Any, expected: Any, path: Path) -> Any:
    """A table that other software wrote again, as we write it: the same columns, in any order and of types that fit.

    Raises:
        UserError: if a column is missing, is none of ours, or holds what its type does not.
    """
    try:
        if set(table.column_names) - {_PANDAS_INDEX} == set(expected.names):
            return _without_nulls(table).select(expected.names).cast(expected)
    except (pa.ArrowException, ValueError):  # a value that would be lost, or a null
        pass
    differing = sorted(_column_names(table.schema) ^ _column_names(expected))
    raise UserError(f"{path} does not have the columns of schema {SCHEMA_VERSION}; differing: {', '.join(differing)}.")


def _without_nulls(table: Any) -> Any:
    """Empty words as words: CSV knows no difference between them and nothing."""
    place = table.column_names.index("broken_by")
    words = table.column(place)
    if not words.null_count:
        return table
    return table.set_column(place, "broken_by", words.cast(pa.string()).fill_null(""))


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
    index = outcomes.verdicts["index"]
    if not np.all(index[1:] > index[:-1]):
        raise UserError(f"{origin}: the column 'index' must rise, without repetition.")
    for column, low in (
        ("label", 0),
        ("clean", 0),
        ("pgd20", 0),
        ("autoattack", NOT_RUN),
        ("last_clean", 0),
        ("last_pgd20", 0),
    ):
        values = outcomes.verdicts[column]
        if values.min() < low or values.max() >= classes:
            raise UserError(
                f"{origin}: column {column!r} has values from {values.min()} to {values.max()}; "
                f"allowed: {low} to {classes - 1}, one of {classes} classes."
            )
    external = outcomes.provenance.description.get("external")
    described = external.get("images") if isinstance(external, dict) else None
    if isinstance(described, str) and described != content_key({"indices": rows["index"].tolist()}):
        raise UserError(
            f"{origin}: the rows are not those of the images that were evaluated; some were lost, or added. Take the "
            "file as fairbench wrote it, or evaluate again."
        )
    _check_curve(outcomes, origin=origin)
    _check_tried(outcomes, origin=origin)
    if stray := sorted(set(rows["broken_by"].unique()) - set(BROKEN_BY)):
        raise UserError(f"{origin}: column 'broken_by' has {stray[0]!r}; allowed: {', '.join(map(repr, BROKEN_BY))}.")


def _check_curve(outcomes: Outcomes, *, origin: str) -> None:
    rows, asked = outcomes.rows, len(curve_of(outcomes.provenance))
    withstood = rows[CURVE].to_numpy() if CURVE in rows else np.zeros(0)
    if bool(asked) != (CURVE in rows) or (withstood < 0).any() or (withstood > asked).any():
        raise UserError(
            f"{origin}: column {CURVE!r} must be there where the protocol has a curve, and count its radii from 0 to "
            f"{asked}."
        )


def _check_tried(outcomes: Outcomes, *, origin: str) -> None:
    rows, asked, classes = outcomes.rows, set(attacks_of(outcomes.provenance)), len(outcomes.provenance.class_names)
    for begins in (TRIED, REACHED):
        found = {name.removeprefix(begins) for name in rows.columns if name.startswith(begins)}
        if differing := sorted(found ^ asked):
            raise UserError(
                f"{origin}: a column {begins + differing[0]!r} must be there where the protocol has that attack, and "
                "nowhere else."
            )
    if differing := sorted(set(outcomes.provenance.tried) ^ asked):
        raise UserError(
            f"{origin}: what is known of {differing[0]!r} must be there where the protocol has that attack."
        )
    for name in asked:
        values, labels = rows[TRIED + name].to_numpy(), rows["label"].to_numpy()
        reached = rows[REACHED + name]
        every = np.concatenate([np.zeros(0, dtype=int), *map(np.asarray, reached)])
        sound = ((values >= 0) & (values < classes)).all() and ((every >= 0) & (every < classes)).all()
        if not sound or any(label in others for label, others in zip(labels, reached, strict=True)):
            raise UserError(
                f"{origin}: the columns of the attack {name!r} must hold classes from 0 to {classes - 1}, and "
                "never its own among those that an image can be made into."
            )
