"""Outcome files: what is written comes back, and what is not ours is refused by name."""

import json
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fairbench.errors import UserError
from fairbench.identity import content_key
from fairbench.outcomes.provenance import HISTORY_KEY, METADATA_KEY
from fairbench.outcomes.store import (
    NOT_RUN,
    SCHEMA,
    Outcomes,
    no_rows,
    read_outcomes,
    read_provenance,
    result_files,
    write_outcomes,
)
from fixture_types import WriteRun

READERS = [read_outcomes, read_provenance]


def rewrite(path: Path, *, metadata: dict[bytes, bytes] | None = None, **columns: pa.Array) -> None:
    """Change a file behind the back of `write_outcomes`."""
    table = pq.read_table(path, partitioning=None)
    kept = table.schema.metadata if metadata is None else metadata
    for name, values in columns.items():
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)
    pq.write_table(table.replace_schema_metadata(kept), path)


def changed(path: Path, change: Callable[[dict[str, Any]], object]) -> dict[bytes, bytes]:
    """The file's metadata after a change of its JSON."""
    values = json.loads(pq.read_schema(path).metadata[METADATA_KEY])
    change(values)
    return {METADATA_KEY: json.dumps(values).encode()}


def test_what_is_written_comes_back(write_run: WriteRun, tmp_path: Path) -> None:
    path = write_run(flags={"randomised": False, "gap": 1.5}, history=[{"loss": 0.5}], cost=1.25)
    outcomes = read_outcomes(path)
    copy = tmp_path / "copy.parquet"
    write_outcomes(copy, outcomes)
    again = read_outcomes(copy)
    pd.testing.assert_frame_equal(again.rows, outcomes.rows)
    assert again.provenance == outcomes.provenance
    assert again.provenance.history == [{"loss": 0.5}]
    assert read_provenance(copy) == replace(outcomes.provenance, history=[]), "which few want, and is long"
    assert again.provenance.flags == {"randomised": False, "gap": 1.5}
    assert copy.read_bytes() == path.read_bytes(), "equal outcomes are equal files"


def test_the_provenance_is_stored_once_where_every_reader_of_parquet_finds_it(write_run: WriteRun) -> None:
    """A board of thousands of runs is mostly provenance."""
    path = write_run(suite_title="a title that is nowhere else")
    assert path.read_bytes().count(b"a title that is nowhere else") == 1
    assert set(pq.read_metadata(path).metadata) == {METADATA_KEY}
    assert json.loads(pq.read_schema(path).metadata[METADATA_KEY])["suite_title"] == "a title that is nowhere else"


def test_a_history_from_before_it_was_an_object_of_its_own(write_run: WriteRun) -> None:
    path = write_run()
    rewrite(path, metadata=changed(path, lambda values: values.update(history=[{"loss": 0.5}])))
    assert read_outcomes(path).provenance.history == [{"loss": 0.5}]
    assert read_provenance(path).history == []


@pytest.mark.parametrize(
    ("history", "said"),
    [
        (b"{", "has unreadable 'fairbench-history' metadata"),
        (b'{"schema": 2, "history": [3]}', "has 'fairbench-history' metadata of a wrong type: history"),
        (b'{"schema": 2}', "has 'fairbench-history' metadata that schema 2 does not allow or misses: history"),
        (b'{"schema": 9, "history": []}', "has schema 9"),
    ],
)
def test_a_history_that_is_none_is_refused(history: bytes, said: str, write_run: WriteRun) -> None:
    path = write_run(history=[{"loss": 0.5}])
    rewrite(path, metadata={**pq.read_schema(path).metadata, HISTORY_KEY: history})
    with pytest.raises(UserError, match=said):
        read_outcomes(path)


def test_a_failed_run_keeps_its_reason(write_run: WriteRun) -> None:
    outcomes = read_outcomes(write_run(status="failed", reason="the loss became NaN", failed_epoch=3))
    assert outcomes.rows.empty
    assert list(outcomes.rows.columns) == SCHEMA.names
    assert (outcomes.provenance.reason, outcomes.provenance.failed_epoch) == ("the loss became NaN", 3)


def test_result_files_are_sorted_and_nothing_else(results: Path, write_run: WriteRun) -> None:
    paths = [write_run(label, seed=seed) for label in ("b", "a") for seed in (1, 0)]
    for stray in ("README.md", "digits/a/.seed2.parquet.x.tmp", "digits/a/notes.txt", "digits/seed3.parquet"):
        (results / stray).touch()
    assert list(result_files(results)) == sorted(paths)
    assert list(result_files(results / "nowhere")) == []


def test_a_file_from_before_methods_explained_themselves_is_read(write_run: WriteRun) -> None:
    """Fields with a default may be missing, so that they need no new schema."""
    path = write_run(hyperparameters={"beta": {"description": "weight", "default": 6.0}})
    assert read_outcomes(path).provenance.hyperparameters == {"beta": {"description": "weight", "default": 6.0}}

    def forget(values: dict[str, Any]) -> None:
        del values["hyperparameters"], values["card"]["idea"]

    rewrite(path, metadata=changed(path, forget))
    provenance = read_outcomes(path).provenance
    assert provenance.hyperparameters == {}
    assert "idea" not in provenance.card


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("length", [0, 3, 100, -1])
def test_a_truncated_file_is_named_and_left_alone(
    write_run: WriteRun, read: Callable[[Path], object], length: int
) -> None:
    path = write_run()
    content = path.read_bytes()[:length]
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"seed0\.parquet is not a readable parquet file"):
        read(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("read", READERS)
def test_a_missing_file_is_named(tmp_path: Path, read: Callable[[Path], object]) -> None:
    with pytest.raises(UserError, match=r"nothing\.parquet is not a readable parquet file"):
        read(tmp_path / "nothing.parquet")


@pytest.mark.parametrize("read", READERS)
def test_a_foreign_parquet_file_is_refused(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = tmp_path / "foreign.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(UserError, match="not one of fairbench"):
        read(path)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values.update(schema=3), "has schema 3; this fairbench reads 2. Update fairbench"),
        (lambda values: values.update(schema=1), "has schema 1; this fairbench reads 2. Compute it again, or read it"),
        (lambda values: values.pop("schema"), "unreadable 'fairbench' metadata"),
        (lambda values: values.pop("seed"), "does not allow or misses: seed"),
        (lambda values: values.update(surprise=1), "does not allow or misses: surprise"),
        (lambda values: values.update(status="diverged"), "metadata of a wrong type: status"),
        (lambda values: values.update(tier="quick"), "metadata of a wrong type: tier"),
        (lambda values: values.update(role="guest"), "metadata of a wrong type: role"),
        (lambda values: values.update(audit=[3], promotion=None), "metadata of a wrong type: audit, promotion"),
        (lambda values: values.update(class_names=[1, 2, 3]), "metadata of a wrong type: class_names"),
        (lambda values: values.update(warnings=[["nested"]]), "metadata of a wrong type: warnings"),
        (lambda values: values.update(card=[], seed="0"), "metadata of a wrong type: card, seed"),
        (lambda values: values.update(hyperparameters={"beta": 6.0}), "metadata of a wrong type: hyperparameters"),
        (lambda values: values.update(cost=float("nan")), "metadata of a wrong type: cost"),
    ],
)
def test_other_metadata_is_refused(
    write_run: WriteRun, read: Callable[[Path], object], change: Callable[[dict[str, Any]], object], message: str
) -> None:
    path = write_run()
    rewrite(path, metadata=changed(path, change))
    with pytest.raises(UserError, match=message):
        read(path)


@pytest.mark.parametrize("metadata", [b"{", b"\xff", b"null", b"[]", b"[" * 100_000])
def test_metadata_that_is_no_json_object_is_refused(write_run: WriteRun, metadata: bytes) -> None:
    path = write_run()
    rewrite(path, metadata={METADATA_KEY: metadata})
    with pytest.raises(UserError, match="unreadable 'fairbench' metadata"):
        read_outcomes(path)


def test_other_columns_are_refused_by_name(write_run: WriteRun) -> None:
    path = write_run()
    table = pq.read_table(path, partitioning=None)
    pq.write_table(table.drop_columns(["pgd20"]), path)
    with pytest.raises(UserError, match=r"does not have the columns of schema 2; differing: pgd20 int16 not null\."):
        read_outcomes(path)


@pytest.mark.parametrize(
    "rewrite_table",
    [
        lambda table: table.select(table.column_names[::-1]),
        lambda table: table.cast(
            pa.schema([field.with_nullable(True) for field in table.schema], table.schema.metadata)
        ),
        lambda table: table.cast(
            pa.schema(
                [
                    field.with_type(pa.int64() if pa.types.is_integer(field.type) else field.type)
                    for field in table.schema
                ],
                table.schema.metadata,
            )
        ),
        lambda table: table.set_column(7, "broken_by", table["broken_by"].dictionary_encode()),
    ],
    ids=["order", "nullable", "wider", "dictionary"],
)
def test_a_table_that_was_written_again_is_read_all_the_same(
    write_run: WriteRun, rewrite_table: Callable[[Any], Any]
) -> None:
    """Other software keeps values, and neither the order of columns nor their types."""
    path = write_run()
    expected = read_outcomes(path)
    pq.write_table(rewrite_table(pq.read_table(path, partitioning=None)), path)
    found = read_outcomes(path)
    assert found.rows.equals(expected.rows)
    assert list(found.rows.dtypes) == list(expected.rows.dtypes)
    assert found.provenance == expected.provenance


@pytest.mark.parametrize(
    ("column", "values", "differing"),
    [
        ("pgd20", pa.array([None] * 30, pa.int16()), "pgd20 int16"),
        ("clean", pa.array([70_000] * 30, pa.int64()), "clean int16 not null, clean int64"),
        ("broken_by", pa.array([1] * 30, pa.int64()), ""),
        ("extra", pa.array([1] * 30), "extra int64"),
    ],
)
def test_values_that_would_be_lost_are_refused(write_run: WriteRun, column: str, values: Any, differing: str) -> None:
    path = write_run()
    table = pq.read_table(path, partitioning=None)
    if column in table.column_names:
        table = table.set_column(table.column_names.index(column), column, values)
    else:
        table = table.append_column(column, values)
    pq.write_table(table, path)
    with pytest.raises(UserError, match=rf"seed0\.parquet.*{differing}"):
        read_outcomes(path)


@pytest.mark.parametrize(
    ("column", "value", "allowed"),
    [
        ("label", 3, "0 to 2, one of 3 classes"),
        ("clean", -1, "0 to 2"),
        ("pgd20", 99, "0 to 2"),
        ("autoattack", NOT_RUN - 1, "-1 to 2"),
        ("last_clean", 3, "0 to 2"),
        ("last_pgd20", -1, "0 to 2"),
    ],
)
def test_a_prediction_that_is_no_class_is_refused(
    write_run: WriteRun, tmp_path: Path, column: str, value: int, allowed: str
) -> None:
    """On writing and on reading alike."""
    path = write_run()
    outcomes = read_outcomes(path)
    rows = outcomes.rows.copy()
    rows.loc[1, column] = value
    with pytest.raises(UserError, match=f"column '{column}' has values from .* allowed: {allowed}"):
        write_outcomes(tmp_path / "x.parquet", replace(outcomes, rows=rows))
    assert not (tmp_path / "x.parquet").exists()
    rewrite(path, **{column: pa.array(rows[column], type=pa.int16())})
    with pytest.raises(UserError, match=f"column '{column}'"):
        read_outcomes(path)


@pytest.mark.parametrize("index", [[0, 0], [1, 0]])
def test_the_index_must_rise(write_run: WriteRun, tmp_path: Path, index: list[int]) -> None:
    outcomes = read_outcomes(write_run())
    rows = outcomes.rows.head(2).assign(index=index)
    with pytest.raises(UserError, match="column 'index' must rise"):
        write_outcomes(tmp_path / "x.parquet", replace(outcomes, rows=rows))


def test_an_unknown_attack_is_refused(write_run: WriteRun, tmp_path: Path) -> None:
    outcomes = read_outcomes(write_run())
    rows = outcomes.rows.assign(broken_by="magic")
    with pytest.raises(UserError, match="column 'broken_by' has 'magic'; allowed: '', 'clean', 'apgd-ce'"):
        write_outcomes(tmp_path / "x.parquet", replace(outcomes, rows=rows))


def test_status_and_rows_must_agree(write_run: WriteRun, tmp_path: Path) -> None:
    done = read_outcomes(write_run())
    failed = replace(done.provenance, status="failed")
    with pytest.raises(UserError, match="a failed run has no verdicts, found 30 rows"):
        write_outcomes(tmp_path / "x.parquet", Outcomes(rows=done.rows, provenance=failed))
    with pytest.raises(UserError, match="a finished run has one row per test image, found none"):
        write_outcomes(tmp_path / "x.parquet", Outcomes(rows=no_rows(), provenance=done.provenance))


def test_a_number_that_is_none_is_not_written(write_run: WriteRun, tmp_path: Path) -> None:
    outcomes = read_outcomes(write_run())
    provenance = replace(outcomes.provenance, cost=float("nan"))
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_outcomes(tmp_path / "x.parquet", replace(outcomes, provenance=provenance))


def test_a_full_disk_keeps_the_old_result(write_run: WriteRun) -> None:
    path = write_run()
    before, outcomes = path.read_bytes(), read_outcomes(path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        with pytest.raises(UserError, match="Cannot write"):
            write_outcomes(path, outcomes)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["seed0.parquet"]


def test_empty_words_may_be_nothing_and_pandas_may_add_its_index(write_run: WriteRun) -> None:
    path = write_run()
    expected = read_outcomes(path).rows
    table = pq.read_table(path, partitioning=None)
    words = [word or None for word in table.column("broken_by").to_pylist()]
    assert None in words
    table = table.set_column(table.column_names.index("broken_by"), "broken_by", pa.array(words, pa.string()))
    pq.write_table(table.append_column("__index_level_0__", pa.array(range(len(table)))), path)
    assert read_outcomes(path).rows.equals(expected)


@pytest.mark.parametrize("reader", READERS)
def test_a_folder_in_place_of_a_file_is_named(reader: Callable[[Path], object], tmp_path: Path) -> None:
    """Arrow would read what is in it."""
    with pytest.raises(UserError, match="is a folder, where a parquet file belongs; move it away"):
        reader(tmp_path)


def test_rows_that_were_lost_are_noticed(write_run: WriteRun) -> None:
    """A file of somebody's model says which images it was judged on."""
    path = write_run()
    outcomes = read_outcomes(path)
    images = content_key({"indices": outcomes.rows["index"].tolist()})
    described = {**outcomes.provenance.description, "external": {"images": images}}
    provenance = replace(outcomes.provenance, description=described)
    write_outcomes(path, Outcomes(rows=outcomes.rows, provenance=provenance))
    pq.write_table(pq.read_table(path, partitioning=None).slice(0, 20), path)
    with pytest.raises(UserError, match="the rows are not those of the images that were evaluated; some were lost"):
        read_outcomes(path)


@pytest.mark.parametrize("content", [b"[]", b'"text"', b"3"])
def test_metadata_that_are_no_object_are_named(content: bytes, write_run: WriteRun) -> None:
    path = write_run()
    rewrite(path, metadata={METADATA_KEY: content})
    with pytest.raises(UserError, match=r"unreadable 'fairbench' metadata \(it is \w+, and no object\)"):
        read_outcomes(path)
