"""Files that cannot be used, among good ones: each is named, none stops the board, and the exit code is not 0."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from fairbench.boards.building import build_boards
from fairbench.cli import main
from fixture_types import WriteRun


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def foreign(path: Path) -> None:
    pq.write_table(pa.table({"x": [1.0, float("nan")]}), path)


def with_metadata(path: Path, **changes: object) -> None:
    table = pq.read_table(path, partitioning=None)
    values = json.loads(table.schema.metadata[b"fairbench"]) | changes
    pq.write_table(table.replace_schema_metadata({b"fairbench": json.dumps(values).encode()}), path)


def newer(path: Path) -> None:
    with_metadata(path, schema=99)


def with_nan(path: Path) -> None:
    with_metadata(path, cost=float("nan"))


def with_nan_in_its_protocol(path: Path) -> None:
    with_metadata(path, description={"protocol": {"threat": {"epsilon": float("nan")}}, "parameters": {}})


def with_real_labels(path: Path) -> None:
    """Columns of another type could hold NaN."""
    table = pq.read_table(path, partitioning=None)
    labels = pa.array([float("nan")] * table.num_rows)
    pq.write_table(table.set_column(1, pa.field("label", pa.float64(), nullable=False), labels), path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "is not a readable parquet file"),
        (empty, "is not a readable parquet file"),
        (foreign, "not one of fairbench"),
        (newer, "has schema 99; this fairbench reads 2. Update fairbench."),
        (with_nan, "metadata of a wrong type: cost"),
        (with_nan_in_its_protocol, "does not say in full under which protocol"),
        (with_real_labels, "does not have the columns"),
    ],
)
def test_a_bad_file_is_named_and_left_out(
    results: Path, write_run: WriteRun, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    for seed in range(3):
        write_run("good", seed=seed)
    before = build_boards(results).boards[0]
    damage(write_run("bad"))
    found = CliRunner().invoke(main, ["report", "--results", str(results), "--site", str(tmp_path / "site")])
    assert found.exit_code == 1
    text = " ".join(found.output.split())
    assert "Left out: digits/bad/seed0.parquet" in text
    assert message in text
    (board,) = build_boards(results).boards
    assert [row.label for row in board.rows] == ["good"]
    assert board.ranked[0].envelope("autoattack") == before.ranked[0].envelope("autoattack")
    assert (tmp_path / "site" / "index.html").is_file()


def cut(receipt: Path) -> None:
    receipt.write_bytes(receipt.read_bytes()[:40])


def deep(receipt: Path) -> None:
    receipt.write_bytes(b"[" * 100_000)


def huge(receipt: Path) -> None:
    receipt.write_bytes(b" " * 2**21)


def no_file(receipt: Path) -> None:
    receipt.unlink()
    receipt.mkdir()


def stale(receipt: Path) -> None:
    with_metadata(receipt.with_name("seed0.parquet"), source="another tree")


def orphaned(receipt: Path) -> None:
    receipt.rename(receipt.with_name("seed9.verified.json"))


def saying(**changes: object) -> Callable[[Path], None]:
    def say(receipt: Path) -> None:
        receipt.write_text(json.dumps(json.loads(receipt.read_bytes()) | changes), encoding="utf-8")

    return say


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "seed0.verified.json has unreadable content"),
        (deep, "seed0.verified.json has unreadable content"),
        (huge, "seed0.verified.json is larger than any receipt"),
        (no_file, "seed0.verified.json is not a readable receipt"),
        (
            stale,
            "speaks of another seed0.parquet than the one that is there. The run is not verified: verify",
        ),
        (orphaned, "seed9.verified.json speaks of seed9.parquet, which is not there; remove it"),
        (saying(schema=2), "has schema 2; this fairbench reads 1. Update fairbench."),
        (saying(surprise=1), "does not allow or misses: surprise"),
        (saying(**{"\ud800": 1}), "does not allow or misses: \\ud800"),
        (saying(attacked=[True, 2, 2]), "content of a wrong type: attacked"),
        (saying(disagreements=0.0), "content of a wrong type: disagreements"),
        (saying(versions={"torch": ["2"]}), "content of a wrong type: versions"),
        (saying(attacked=[0, 0, 0]), "counts images or verdicts that seed0.parquet does not have"),
        (saying(attacked=[11, 2, 2]), "counts images or verdicts that seed0.parquet does not have"),
        (saying(attacked=[-1, 2, 2]), "counts images or verdicts that seed0.parquet does not have"),
        (saying(attacked=[2, 2]), "counts images or verdicts that seed0.parquet does not have"),
        (saying(disagreements=19), "counts images or verdicts that seed0.parquet does not have"),
        (saying(disagreements=-1, overstated=-1), "counts images or verdicts that seed0.parquet does not have"),
        (saying(disagreements=1, overstated=2), "counts images or verdicts that seed0.parquet does not have"),
    ],
)
def test_a_bad_receipt_verifies_nothing(
    results: Path,
    write_run: WriteRun,
    write_receipt_of: WriteRun,
    tmp_path: Path,
    damage: Callable[[Path], None],
    message: str,
) -> None:
    """It is named, its run stays on the board, and the exit code is not 0."""
    for seed in range(3):
        receipt = write_receipt_of(write_run("good", seed=seed))
    damage(receipt.with_name("seed0.verified.json"))
    found = CliRunner().invoke(main, ["report", "--results", str(results), "--site", str(tmp_path / "site")])
    assert found.exit_code == 1
    text = " ".join(found.output.split())
    assert "Left out: digits/good/seed" in text
    assert message in text
    (row,) = build_boards(results).boards[0].ranked
    assert [result.verified for result in row.results] == [False, True, True]
    assert not row.verified
    assert "2 of 3 seeds verified" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")


def test_a_receipt_of_an_unusable_file_is_not_named_twice(
    results: Path, write_run: WriteRun, write_receipt_of: WriteRun
) -> None:
    path = write_run("bad")
    write_receipt_of(path)
    truncate(path)
    (problem,) = build_boards(results).problems
    assert problem.file == "digits/bad/seed0.parquet"


def test_a_failed_run_cannot_be_verified(results: Path, write_run: WriteRun, write_receipt_of: WriteRun) -> None:
    write_receipt_of(write_run("bad", status="failed", reason="collapse"))
    boards = build_boards(results)
    assert "counts images or verdicts that seed0.parquet does not have" in boards.problems[0].message
    assert not boards.boards[0].rows[0].verified


def test_an_empty_folder_is_no_error_of_the_report(results: Path, tmp_path: Path) -> None:
    results.mkdir()
    found = CliRunner().invoke(main, ["report", "--results", str(results), "--site", str(tmp_path / "site")])
    assert found.exit_code == 0, found.output
    assert (tmp_path / "site" / "index.html").is_file()


def test_junk_in_free_fields_stops_nothing(results: Path, write_run: WriteRun, tmp_path: Path) -> None:
    """Cards, flags and histories hold whatever strangers write."""
    junk = {
        "history": [{"epoch": 0, "validation_robust": [float("1e308"), None, "x"], "method": {"<b>": [{}]}}, {}],
        "flags": {"randomised": "perhaps", "square_gain_pp": [1], "<script>": 10**400},
        "card": {"title": 7, "year": ["x"], "bibtex": {"a": 1}, "link": 5},
        "changed": {"<i>": "</td>"},
        "selected_epoch": 0,
    }
    for label in ("pgd-at", "a'b\"c<d>/🙂".replace("/", "_")):
        for seed in range(3):
            write_run(label, seed=seed, **junk)
    site = str(tmp_path / "site")
    for command in (["report", "--site", site], ["export"], ["export", "--format", "latex"]):
        found = CliRunner().invoke(main, [*command, "--results", str(results)])
        assert found.exit_code == 0, found.output
    found = CliRunner().invoke(main, ["compare", "pgd-at", "a'b\"c<d>_🙂", "--results", str(results)])
    assert found.exit_code == 0, found.output
