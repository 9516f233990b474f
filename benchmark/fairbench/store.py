"""Outcomes of a run: one parquet file, one row per test image, the provenance as JSON in the schema metadata.

    results/<suite>/<method>[-<hash of non-default parameters>]/seed<k>.parquet

Numbers are numbers: no formatted text, no ranks, nothing that can be derived. A file is written under a temporary name
and renamed, so a half-written run is never a result. A run that failed in training is stored too, with its reason and
without rows, so that the board shows it. This module and everything above it on the way to the page import no torch.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fairbench.atomic import atomic
from fairbench.errors import UserError

SCHEMA_VERSION = 1
METADATA_KEY = b"fairbench"

ATTACKS = ("apgd-ce", "apgd-t", "fab-t", "square")
"""The attacks of AutoAttack standard, in order."""

BROKEN_BY = ("", "clean", *ATTACKS)
"""Values of `broken_by`: "" for a robust image, "clean" for one that is misclassified without an attack."""

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
class Provenance:
    """Everything about a run that is not a verdict; plain values only.

    Attributes:
        status: `done`, or `failed` in training.
        reason: why it failed, in one sentence; "" if done.
        failed_epoch: 0-based; -1 if done.
        key: the run's content key.
        description: what the key is the hash of: protocol, method, resolved hyper-parameters, seed, prerequisites.
        suite: name of the suite.
        suite_title: one line for people.
        method: registered name.
        label: directory name of the row, `method` or `method-<hash>`.
        role: `method`, or `teacher` for a run on the suite's teacher architecture.
        changed: hyper-parameters that differ from the method's defaults.
        card: the method's card, so that a board can be shown where the method is not installed.
        seed: training seed.
        class_names: by label.
        train_counts: training images per class.
        selected_epoch: 0-based epoch of the selected checkpoint.
        history: one entry per epoch: learning rate, loss, per-class validation accuracies, what the method reports.
        flags: raised by the evaluation, by name: numbers, booleans or text; see `fairbench.evaluation`.
        warnings: sentences for people, raised anywhere on the way.
        passes: image passes by network: forwards, input_backwards, weight_backwards, relative_cost of one pass.
        cost: training cost of this run as a multiple of PGD-10 adversarial training in the same suite.
        prerequisite_cost: the same for its hot start, which nobody can do without.
        seconds: wall time by stage: training, pgd20, autoattack.
        peak_memory: bytes.
        checkpoints: SHA-256 by rule, `selected` and `last`.
        versions: of fairbench, Python and the libraries.
        source: commit of the working tree and whether it was dirty; "" outside one.
        hardware: processor or accelerator.
        device: `cpu` or `cuda`.
        threads: of the CPU.
    """

    status: Literal["done", "failed"]
    reason: str = ""
    failed_epoch: int = -1
    key: str
    description: dict[str, Any]
    suite: str
    suite_title: str = ""
    method: str
    label: str
    role: Literal["method", "teacher"] = "method"
    changed: dict[str, Any] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)
    seed: int
    class_names: list[str]
    train_counts: list[int] = field(default_factory=list)
    selected_epoch: int = -1
    history: list[dict[str, Any]] = field(default_factory=list)
    flags: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    passes: dict[str, dict[str, float]] = field(default_factory=dict)
    cost: float = 0.0
    prerequisite_cost: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory: int = 0
    checkpoints: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    source: str = ""
    hardware: str = ""
    device: str = ""
    threads: int = 1


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
    metadata = json.dumps({"schema": SCHEMA_VERSION, **asdict(outcomes.provenance)}, sort_keys=True, allow_nan=False)
    table = pa.Table.from_pandas(outcomes.rows, schema=SCHEMA, preserve_index=False)
    table = table.replace_schema_metadata({METADATA_KEY: metadata.encode()})
    with atomic(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_outcomes(path: Path) -> Outcomes:
    """Read and check one file.

    Raises:
        UserError: if it is truncated, of a newer schema, or not what it claims to be; the file is left alone.
    """
    try:
        table = pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise UserError(
            f"{path} is not a readable parquet file ({_first_line(error)}); move it away and run again."
        ) from error
    provenance = _provenance(path, table.schema.metadata)
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
            f"{path} is not a readable parquet file ({_first_line(error)}); move it away and run again."
        ) from error
    return _provenance(path, metadata)


def result_files(results: Path) -> Iterator[Path]:
    """Every outcome file below a results folder, sorted."""
    yield from sorted(results.glob("*/*/seed*.parquet"))


def _provenance(path: Path, metadata: dict[bytes, bytes] | None) -> Provenance:
    if not metadata or METADATA_KEY not in metadata:
        raise UserError(
            f"{path} is a parquet file, but not one of fairbench: it has no {METADATA_KEY.decode()!r} metadata."
        )
    try:
        values = json.loads(metadata[METADATA_KEY])
        version = values.pop("schema")
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise UserError(f"{path} has unreadable {METADATA_KEY.decode()!r} metadata ({_first_line(error)}).") from error
    if version != SCHEMA_VERSION:
        raise UserError(
            f"{path} has schema {version!r}; this fairbench reads {SCHEMA_VERSION}. Update fairbench to read it."
        )
    known = {f.name for f in fields(Provenance)}
    required = {f.name for f in fields(Provenance) if f.default is MISSING and f.default_factory is MISSING}
    if unexpected := sorted(set(values) - known) + sorted(required - set(values)):
        raise UserError(
            f"{path} has metadata that schema {SCHEMA_VERSION} does not allow or misses: {', '.join(unexpected)}."
        )
    hints = get_type_hints(Provenance)
    if wrong := sorted(name for name, value in values.items() if not _has_type(value, hints[name])):
        raise UserError(f"{path} has metadata of a wrong type: {', '.join(wrong)}.")
    return Provenance(**values)


def _column_names(schema: Any) -> set[str]:
    return {f"{column.name} {column.type}{'' if column.nullable else ' not null'}" for column in schema}


def _has_type(value: Any, wanted: Any) -> bool:
    """Whether a JSON value is what a field holds, its elements included; numbers must be finite."""
    inner = get_args(wanted)
    if wanted is float:
        return type(value) in (int, float) and math.isfinite(value)
    if get_origin(wanted) is Literal:
        return value in inner
    if get_origin(wanted) is list:
        return isinstance(value, list) and all(_has_type(item, inner[0]) for item in value)
    if get_origin(wanted) is dict:
        return isinstance(value, dict) and all(_has_type(item, inner[1]) for item in value.values())
    return wanted is Any or type(value) is wanted


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
    if stray := sorted(set(rows["broken_by"]) - set(BROKEN_BY)):
        raise UserError(f"{origin}: column 'broken_by' has {stray[0]!r}; allowed: {', '.join(map(repr, BROKEN_BY))}.")


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
