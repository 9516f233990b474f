"""A board as files."""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fairbench.boards.board import Board
from fairbench.boards.building import build_boards
from fairbench.report.site.downloads import FORMATS, downloads, same_table
from fixture_types import WriteRun


@pytest.fixture
def board(results: Path, write_run: WriteRun) -> Board:
    """Two ranked rows, one that failed, a teacher, and a model that was trained elsewhere."""
    for seed in range(3):
        write_run("good", seed=seed, autoattack=(5, 4, 4), cost=1.5)
        write_run("bad", seed=seed, autoattack=(5, 4, seed))
    write_run("failed", status="failed", reason="collapse", failed_epoch=1)
    write_run("teacher", role="teacher")
    write_run("external-zoo", role="external")
    return build_boards(results, draws=50).boards[0]


def test_every_format_is_written(board: Board) -> None:
    files = downloads(board)
    assert list(files) == list(FORMATS)
    assert files == downloads(board), "the same board gives the same bytes"
    assert b"good" in files[".csv"]
    assert rb"\toprule" in files[".tex"]


def test_json_holds_every_row_with_its_seeds_and_standings(board: Board) -> None:
    document = json.loads(downloads(board)[".json"])
    rows = {row["label"]: row for row in document["rows"]}
    assert {label: row["kind"] for label, row in rows.items()} == {
        "good": "ranked",
        "bad": "ranked",
        "failed": "unranked",
        "teacher": "teacher",
        "external-zoo": "external",
    }
    assert document["images_per_class"] == [10, 10, 10]
    assert [run["correct"]["autoattack"] for run in rows["bad"]["runs"]] == [[5, 4, 0], [5, 4, 1], [5, 4, 2]]
    assert rows["good"]["rank"] == 1
    standing = rows["good"]["standings"]["worst"]
    assert standing["value"] == pytest.approx(0.4)
    assert standing["ranks"] == [1, 2]
    assert standing["group"] == 1
    shares = [rows[label]["standings"]["worst"]["best_share"] for label in ("good", "bad")]
    assert shares[0] > 0.5
    assert sum(shares) == pytest.approx(1)
    assert rows["good"]["worst_candidates"] == [0, 1, 2]
    assert rows["failed"]["worst_candidates"] == []
    assert "standings" not in rows["failed"]
    assert rows["failed"]["runs"][0]["reason"] == "collapse"
    assert rows["external-zoo"]["runs"][0]["cost"] is None, "nobody counted it"


def test_parquet_has_one_line_for_every_seed(board: Board) -> None:
    table = pq.read_table(io.BytesIO(downloads(board)[".parquet"]))
    lines = table.to_pylist()
    assert len(lines) == 9
    assert lines[3] | {"label": "bad", "seed": 0, "autoattack": [5, 4, 0], "cost": 1.0} == lines[3]
    assert [line["clean"] for line in lines if line["status"] == "failed"] == [None]
    assert json.loads(table.schema.metadata[b"board"])["images_per_class"] == [10, 10, 10]


def test_parquet_is_compared_by_what_it_holds(board: Board) -> None:
    """Another version of the library writes other bytes."""
    implied = downloads(board)[".parquet"]
    table = pq.read_table(io.BytesIO(implied))
    rewritten = io.BytesIO()
    pq.write_table(table, rewritten, compression="none")
    assert rewritten.getvalue() != implied
    assert same_table(rewritten.getvalue(), implied)
    fewer = io.BytesIO()
    pq.write_table(table.slice(1), fewer)
    assert not same_table(fewer.getvalue(), implied)
    renamed = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"board": "another"}), renamed)
    assert not same_table(renamed.getvalue(), implied)
    assert not same_table(implied[:100], implied)


def test_what_utf_8_cannot_hold_stops_nothing(results: Path, write_run: WriteRun) -> None:
    write_run(status="failed", reason="\ud800", failed_epoch=0, card={"title": "x\udfff"})
    (board,) = build_boards(results, draws=50).boards
    files = downloads(board)
    assert pq.read_table(io.BytesIO(files[".parquet"]))["title"].to_pylist() == ["x?"]
    assert json.loads(files[".json"])["rows"][0]["title"] == "x\udfff"


def test_a_model_without_a_count_has_null_costs_and_the_schema_holds(board: Board) -> None:
    table = pq.read_table(io.BytesIO(downloads(board)[".parquet"]))
    assert table.schema.field("cost").type == pa.float64()
    assert table["cost"].null_count == 1
