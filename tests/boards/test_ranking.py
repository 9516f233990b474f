"""Boards from real parquet files: what is compared, what is ranked, what stays visible."""

import io
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from fairbench import load_suite
from fairbench.boards.board import Board
from fairbench.boards.building import build_boards
from fairbench.boards.ranking import rank
from fairbench.boards.reading import read_results
from fairbench.boards.row import Summary
from fairbench.outcomes.metrics import average, worst
from fairbench.outcomes.store import Outcomes, read_outcomes, write_outcomes
from fairbench.protocol.suite import protocol_description
from fairbench.report.terminal.table import terminal_table
from fixture_types import WriteReceipt, WriteRun


def only_board(results: Path) -> Board:
    boards = build_boards(results)
    assert not boards.problems
    (board,) = boards.boards
    return board


def write_row(write_run: WriteRun, label: str, **values: object) -> None:
    for seed in range(3):
        write_run(label, seed=seed, **values)


def test_no_folder_gives_no_boards(results: Path) -> None:
    boards = build_boards(results)
    assert (boards.boards, boards.problems) == ((), ())


def test_order_is_worst_class_then_average_then_label(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "unfair", autoattack=(6, 5, 1))
    write_row(write_run, "b-tied", autoattack=(4, 4, 2))
    write_row(write_run, "a-tied", autoattack=(4, 4, 2))
    write_row(write_run, "average", autoattack=(5, 4, 2))
    write_row(write_run, "fair", autoattack=(3, 3, 3))
    board = only_board(results)
    assert [row.label for row in board.ranked] == ["fair", "average", "a-tied", "b-tied", "unfair"]
    assert board.attack == "autoattack"


def test_the_minimum_is_taken_per_seed_before_the_mean(results: Path, write_run: WriteRun) -> None:
    """The averaged class vector would have the minimum 4; each seed has another worst class, at 3."""
    for seed, correct in enumerate([(3, 6, 6), (6, 3, 6), (6, 6, 3)]):
        write_run(seed=seed, clean=(9, 9, 9), pgd20=(7, 7, 7), autoattack=correct)
    (row,) = only_board(results).ranked
    assert row.summary("autoattack", worst) == Summary(values=(0.3, 0.3, 0.3))
    assert row.summary("autoattack", average).mean == pytest.approx(0.5)
    assert [result.worst_class("autoattack") for result in row.results] == ["0", "1", "2"]


def test_mean_and_range_over_seeds(results: Path, write_run: WriteRun) -> None:
    for seed, lowest in enumerate([1, 3, 2]):
        write_run(seed=seed, autoattack=(5, 4, lowest))
    (row,) = only_board(results).ranked
    summary = row.summary("autoattack", worst)
    assert (summary.values, summary.low, summary.high) == ((0.1, 0.3, 0.2), 0.1, 0.3)
    assert summary.mean == pytest.approx(0.2)


def test_two_seeds_are_shown_and_not_ranked(results: Path, write_run: WriteRun) -> None:
    for seed in range(2):
        write_run(seed=seed)
    board = only_board(results)
    assert not board.ranked
    (row,) = board.unranked
    assert row.reason == "2 of the 3 seeds that a rank needs"
    assert len(row.finished) == 2


def test_a_failed_seed_takes_the_row_out(results: Path, write_run: WriteRun) -> None:
    """Three good seeds beside a failed one are a selection."""
    write_row(write_run, "fragile")
    write_run("fragile", seed=3, status="failed", reason="the loss became NaN", failed_epoch=11)
    write_row(write_run, "solid")
    board = only_board(results)
    assert [row.label for row in board.ranked] == ["solid"]
    (row,) = board.unranked
    assert row.reason == "1 of 4 seeds failed"
    assert row.results[3].provenance.reason == "the loss became NaN"


@pytest.mark.parametrize("flag", ["randomised", "grad_at_inference"])
def test_models_that_autoattack_does_not_fit_are_not_ranked(results: Path, write_run: WriteRun, flag: str) -> None:
    write_row(write_run, "honest", flags={flag: False})
    for seed in range(3):
        write_run("doubtful", seed=seed, flags={flag: seed == 1})
    board = only_board(results)
    assert [row.label for row in board.ranked] == ["honest"]
    assert board.unranked[0].reason == f"AutoAttack standard does not fit this model: {flag}"


def test_rows_where_all_seeds_failed(results: Path, write_run: WriteRun) -> None:
    write_run(status="failed", reason="collapse", failed_epoch=0)
    board = only_board(results)
    assert board.unranked[0].finished == ()
    assert board.attack == "autoattack"


def test_other_protocols_are_other_boards(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "ours")
    write_row(write_run, "other-epsilon", epsilon=0.1)
    boards = build_boards(results).boards
    assert sorted([row.label for row in board.ranked] for board in boards) == [["other-epsilon"], ["ours"]]
    assert {board.protocol["threat"]["epsilon"] for board in boards} == {0.15, 0.1}


def test_rows_without_autoattack_never_join_rows_with_it(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "judged")
    write_row(write_run, "screened", autoattack=None)
    boards = {board.attack: board for board in build_boards(results).boards}
    assert [row.label for row in boards["autoattack"].ranked] == ["judged"]
    assert [row.label for row in boards["pgd20"].ranked] == ["screened"]
    assert boards["pgd20"].attacks == ("clean", "pgd20")


def test_other_parameters_under_one_label_are_other_rows(results: Path, write_run: WriteRun) -> None:
    """A default that changed between two versions must not be averaged away."""
    write_run(seed=0, parameters={"beta": 6.0})
    write_run(seed=1, parameters={"beta": 6.0})
    write_run(seed=2, parameters={"beta": 3.0})
    assert [len(row.results) for row in only_board(results).unranked] in ([2, 1], [1, 2])


def test_teachers_are_listed_apart(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "student")
    write_run("trades", folder="digits", role="teacher", file="seed0.parquet")
    board = only_board(results)
    assert [row.label for row in board.ranked] == ["student"]
    assert [row.label for row in board.teachers] == ["trades"]


def test_a_lonely_teacher_is_visible(results: Path, write_run: WriteRun) -> None:
    write_run("trades", role="teacher", status="failed", reason="collapse", failed_epoch=3)
    (board,) = build_boards(results).boards
    assert (board.ranked, board.unranked) == ((), ())
    assert board.teachers[0].provenance.reason == "collapse"


def test_cost_includes_the_hot_start(results: Path, write_run: WriteRun) -> None:
    for seed, cost in enumerate([1.0, 2.0, 3.0]):
        write_run(seed=seed, cost=cost, prerequisite_cost=0.5)
    assert only_board(results).ranked[0].cost == pytest.approx(2.5)


def test_one_bad_file_is_named_and_the_rest_is_ranked(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "good")
    broken = write_run("cut", seed=0)
    broken.write_bytes(broken.read_bytes()[:200])
    boards = build_boards(results)
    assert [row.label for row in boards.boards[0].ranked] == ["good"]
    (problem,) = boards.problems
    assert problem.file == "digits/cut/seed0.parquet"
    assert "not a readable parquet file" in problem.message
    assert str(results) not in problem.message


def test_a_copied_run_is_refused(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "good")
    write_run("good", seed=0, folder="digits-copy")
    boards = build_boards(results)
    assert len(boards.boards[0].ranked[0].results) == 3
    (problem,) = boards.problems
    assert problem.file == "digits-copy/good/seed0.parquet"
    assert "holds the same run as digits/good/seed0.parquet" in problem.message


@pytest.mark.parametrize("copy", ["good/seed0 (1).parquet", "good/seed00.parquet", "a copy of good/seed0.parquet"])
def test_of_two_copies_the_one_in_its_place_stays(results: Path, write_run: WriteRun, copy: str) -> None:
    """Whatever the alphabet says of a name that a browser or a file manager gave."""
    write_row(write_run, "good")
    target = results / "digits" / copy
    target.parent.mkdir(exist_ok=True)
    target.write_bytes((results / "digits/good/seed0.parquet").read_bytes())
    (problem,) = build_boards(results).problems
    assert problem.file == f"digits/{copy}"
    assert "holds the same run as digits/good/seed0.parquet and is left out; remove one of them." in problem.message


def test_other_test_images_are_refused(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "full")
    write_run("subset", counts=(10, 10, 9))
    boards = build_boards(results)
    assert [row.label for row in boards.boards[0].ranked] == ["full"]
    assert "digits/subset/seed0.parquet was evaluated on other images" in boards.problems[0].message


PROTOCOL = protocol_description(load_suite("digits"), dataset_digest="")


@pytest.mark.parametrize(
    "description",
    [
        {},
        {"protocol": []},
        {"protocol": PROTOCOL},
        {"protocol": PROTOCOL | {"dataset": "digits"}, "parameters": {}},
        {"protocol": PROTOCOL | {"threat": {"epsilon": -1, "step": 1}}, "parameters": {}},
        {"protocol": PROTOCOL | {"threat": {"epsilon": "<b>", "step": 1}}, "parameters": {}},
        {"protocol": PROTOCOL | {"recipe": {}}, "parameters": {}},
        {"protocol": PROTOCOL, "parameters": []},
        {"protocol": {k: v for k, v in PROTOCOL.items() if k != "model"}, "parameters": {}},
    ],
)
def test_a_run_without_a_full_protocol_is_refused(
    results: Path, write_run: WriteRun, description: dict[str, object]
) -> None:
    write_run(description=description)
    boards = build_boards(results)
    assert not boards.boards
    assert "does not say in full under which protocol" in boards.problems[0].message


def test_partial_autoattack_is_refused(results: Path, write_run: WriteRun) -> None:
    path = write_run()
    outcomes = read_outcomes(path)
    rows = outcomes.rows.copy()
    rows.loc[0, "autoattack"] = -1
    write_outcomes(path, Outcomes(rows=rows, provenance=outcomes.provenance))
    (problem,) = build_boards(results).problems
    assert "autoattack has not judged every image" in problem.message


def test_an_absent_class_is_no_data(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "x", counts=(4, 0, 10), clean=(4, 0, 9), pgd20=(3, 0, 5), autoattack=(2, 0, 3))
    board = only_board(results)
    assert board.counts == (4, 0, 10)
    (row,) = board.ranked
    assert row.summary("autoattack", worst).mean == pytest.approx(0.3)
    assert row.summary("autoattack", average).mean == pytest.approx(0.4)


def test_expected_methods_without_a_file_are_missing(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "trades")
    (board,) = build_boards(results, expected=["trades", "pgd-at", "absld"]).boards
    assert board.missing == ("absld", "pgd-at")


def test_the_order_of_files_does_not_matter(results: Path, write_run: WriteRun) -> None:
    for seed in (2, 0, 1):
        write_run("late", seed=seed)
    assert [result.provenance.seed for result in only_board(results).ranked[0].results] == [0, 1, 2]


def test_terminal_table_shows_ranked_means_and_single_seeds(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "good")
    write_run("[red]late", seed=0)
    write_run("[red]late", seed=1, status="failed", reason="collapse", failed_epoch=4)
    console = Console(width=140, file=io.StringIO(), record=True)
    console.print(terminal_table(only_board(results)))
    text = console.export_text()
    lines = [line.replace("│", " ").split() for line in text.splitlines()]
    assert ["1", "good", "30.0", "40.0", "40.0", "50.0", "80.0", "86.7", "1.00×", "3"] in lines
    assert "[red]late, seed 0" in text
    assert "[red]late, seed 1: failed" in text
    assert "1 of 2 seeds failed" in text


def test_terminal_table_of_a_fast_board_shows_bounds_and_strangers(results: Path, write_run: WriteRun) -> None:
    fast = {"evaluation": {"tier": "fast"}}
    write_row(write_run, "good", **fast)
    write_run("cut", status="failed", reason="collapse", failed_epoch=4, **fast)
    write_run("external-[b]zoo", role="external", warnings=["[i]mind this"], **fast)
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(terminal_table(only_board(results)))
    text = console.export_text()
    lines = [" ".join(line.replace("│", " ").split()) for line in text.splitlines()]
    assert "1 good 30.0 40.0 40.0 50.0 80.0 86.7 9 of 9 1.00× 3" in lines
    assert "– external-[b]zoo, seed 0 30.0 40.0 40.0 50.0 80.0 86.7 9 of 9 – 1" in lines
    assert "– cut, seed 0: failed – – – – – – – – –" in lines
    assert "· tier fast" in text
    assert "APGD" in text
    assert "AutoAttack" not in text
    assert "external-[b]zoo: [i]mind this" in text


def test_ranking_reads_no_file_and_does_not_depend_on_the_order(
    results: Path, write_run: WriteRun, write_receipt_of: WriteReceipt
) -> None:
    """It is a function of the seed results alone."""
    for label, correct in {"good": (4, 4, 4), "bad": (4, 4, 3)}.items():
        write_row(write_run, label, autoattack=correct)
    write_receipt_of(write_run("incomplete"))
    write_run("trades", folder="digits", role="teacher", file="seed0.parquet")
    expected = build_boards(results, draws=50)
    read = read_results(results)
    shutil.rmtree(results)
    for found in (read.results, read.results[::-1]):
        ranked = rank(found, draws=50)
        assert ranked.problems == ()
        for board, other in zip(ranked.boards, expected.boards, strict=True):
            for kind in ("ranked", "unranked", "teachers"):
                assert [row.label for row in getattr(board, kind)] == [row.label for row in getattr(other, kind)]
            assert board.standings["worst"].ranks.tolist() == other.standings["worst"].ranks.tolist()
            assert [row.results[0].verified for row in board.unranked] == [True]
