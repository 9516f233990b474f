"""Files to seed results: what is read, and what becomes a problem with its reason."""

import gc
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fairbench.boards import reading
from fairbench.boards.board import Board
from fairbench.boards.building import boards_of, build_boards
from fairbench.boards.ranking import Ranker
from fairbench.boards.reading import Reader, read_results
from fairbench.outcomes.store import Outcomes, read_outcomes

WriteRun = Callable[..., Path]


def test_a_missing_folder_holds_nothing(tmp_path: Path) -> None:
    read = read_results(tmp_path / "missing")
    assert (read.results, read.problems) == ((), ())


def test_results_come_in_the_order_of_their_files_with_their_receipts(
    results: Path, write_run: WriteRun, write_receipt_of: Callable[..., Path]
) -> None:
    for label, seed in (("b", 1), ("b", 0), ("a", 0)):
        write_run(label, seed=seed)
    write_receipt_of(results / "digits" / "b" / "seed1.parquet")
    read = read_results(results)
    assert [result.file for result in read.results] == [
        "digits/a/seed0.parquet",
        "digits/b/seed0.parquet",
        "digits/b/seed1.parquet",
    ]
    assert [result.verified for result in read.results] == [False, False, True]
    assert read.problems == ()


def test_what_cannot_be_used_is_a_problem_and_the_rest_is_read(
    results: Path, write_run: WriteRun, write_receipt_of: Callable[..., Path]
) -> None:
    """Problems name files as people see them, below the results folder."""
    good, bad = (write_run("a", seed=seed) for seed in range(2))
    bad.write_bytes(b"PAR1 and then nothing")
    write_receipt_of(good).write_text("{}", encoding="utf-8")
    read = read_results(results)
    assert [result.file for result in read.results] == ["digits/a/seed0.parquet"]
    assert [problem.file for problem in read.problems] == ["digits/a/seed1.parquet", "digits/a/seed0.verified.json"]
    assert "not a readable parquet file" in read.problems[0].message
    assert not any(str(results) in problem.message for problem in read.problems)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("machine-a/digits/a/seed0.parquet", "it lies deeper. Read it with --results {results}/machine-a, or"),
        ("x/y/digits/a/seed0.parquet", "it lies deeper. Read it with --results {results}/x/y, or"),
        ("a/seed0.parquet", "it lies less deep. Read it with --results {above}, or"),
        ("seed0.parquet", "it lies less deep. Read it with --results {above2}, or"),
        ("digits/a/Seed0.parquet", "it is not named seed<k>.parquet. Give it the name"),
        ("digits/a/best.PARQUET", "it is not named seed<k>.parquet. Give it the name"),
    ],
)
def test_outcomes_that_nobody_reads_are_named(results: Path, write_run: WriteRun, place: str, said: str) -> None:
    """One level deeper, or under another name: they are not on the board, and somebody waits for them."""
    written = write_run("a")
    target = results / place
    target.parent.mkdir(parents=True, exist_ok=True)
    written.rename(target)
    for beside in (".hidden/seed0.parquet", "digits/a/.seed1.parquet.abc.tmp", "published.csv"):
        (results / beside).parent.mkdir(parents=True, exist_ok=True)
        (results / beside).touch()
    read = read_results(results)
    assert read.results == ()
    (problem,) = read.problems
    assert problem.file == place
    above = results.absolute().parents
    assert said.format(results=results, above=above[0], above2=above[1]) in problem.message


def test_a_file_is_read_again_only_if_it_has_changed(
    results: Path, write_run: WriteRun, write_receipt_of: Callable[..., Path]
) -> None:
    """And a suite alone, with the models trained elsewhere that may stand beside it."""
    first = write_run("trades", seed=0)
    write_run("trades", seed=0, suite="mnist")
    write_run("external-mine", seed=0, role="external")
    reader = Reader(results)
    before = reader.read().results
    again = reader.read().results
    assert [one is other for one, other in zip(before, again, strict=True)] == [True, True, True]
    write_run("trades", seed=0, cost=2.0)
    changed = reader.read().results
    assert [one is other for one, other in zip(before, changed, strict=True)] == [True, False, True]
    assert [one.provenance.cost for one in changed] == [1.0, 2.0, 1.0]
    write_receipt_of(first)
    verified = reader.read().results
    assert [one is other for one, other in zip(changed, verified, strict=True)] == [True, False, True]
    assert verified[1].verified
    assert reader.read().results[1] is verified[1]
    first.unlink()
    assert len(reader.read().results) == 2
    alone = Reader(results, suite="mnist").read().results
    assert [one.file for one in alone] == ["digits/external-mine/seed0.parquet", "mnist/trades/seed0.parquet"]


def test_nothing_holds_a_table_that_was_read(
    results: Path, write_run: WriteRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of runs fit into memory only without their tables and histories; labels are kept once."""
    accuracies = {"validation_clean": [0.9, 0.8, 0.7], "validation_robust": [0.5, None, 0.25]}
    history = [{"epoch": epoch, "loss": 1.0, "learning_rate": 0.1, **accuracies} for epoch in range(3)]
    for seed in range(3):
        write_run("trades", seed=seed, history=history, selected_epoch=1)
    write_run("fat", seed=0, counts=(10, 10, 11))
    tables: list[weakref.ref[pd.DataFrame]] = []

    def watched(path: Path) -> Outcomes:
        outcomes = read_outcomes(path)
        tables.append(weakref.ref(outcomes.rows))
        return outcomes

    monkeypatch.setattr(reading, "read_outcomes", watched)
    other, *found = Reader(results).read().results
    gc.collect()
    assert len(tables) == 4
    assert all(table() is None for table in tables)
    assert all(one.provenance.history == [] for one in found)
    assert all(one.labels is found[0].labels and one.labels.dtype == np.uint8 for one in found)
    assert other.labels is not found[0].labels
    assert np.array_equal(found[0].validation.robust, [[0.5, np.nan, 0.25]] * 3, equal_nan=True)
    assert found[0].validation.selected is None, "it has no accuracy of every class"


def test_a_board_is_ranked_again_only_if_a_result_has_changed(results: Path, write_run: WriteRun) -> None:
    for suite in ("digits", "mnist"):
        for seed in range(3):
            write_run("trades", seed=seed, suite=suite)
            write_run("fat", seed=seed, suite=suite, autoattack=(3, 3, 3))
    reader, ranker = Reader(results), Ranker(draws=20)
    first = boards_of(reader, ranker).boards
    assert all(one is other for one, other in zip(first, boards_of(reader, ranker).boards, strict=True))
    write_run("trades", seed=2, suite="mnist", autoattack=(1, 1, 1))
    second = boards_of(reader, ranker).boards
    assert [one is other for one, other in zip(first, second, strict=True)] == [True, False]
    assert [row.label for row in first[1].ranked] == ["trades", "fat"]
    assert [row.label for row in second[1].ranked] == ["fat", "trades"], "as a ranking from scratch says"
    assert second[1].standings["worst"].intervals.tolist() == fresh(results)[1].standings["worst"].intervals.tolist()
    write_run("third", seed=0, suite="digits")
    assert [row.label for row in boards_of(reader, ranker).boards[0].unranked] == ["third"]


def fresh(results: Path) -> tuple[Board, ...]:
    return build_boards(results, draws=20).boards
