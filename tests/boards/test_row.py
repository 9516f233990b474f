"""What a row and a board say beyond order: intervals, candidates, confusion, gaps, and how sure the order is."""

from pathlib import Path

import numpy as np
import pytest

from fairbench.boards.board import Board
from fairbench.boards.building import build_boards
from fairbench.boards.row import Row, verdicts_of
from fairbench.outcomes.metrics import average, worst
from fairbench.outcomes.store import read_outcomes, write_outcomes
from fairbench.protocol.thresholds import BOOTSTRAP_SEED
from fairbench.statistics import KEYS, boundary_error, envelope, error_shares, standings
from fixture_types import WriteRun


def write_row(write_run: WriteRun, label: str, **values: object) -> None:
    for seed in range(3):
        write_run(label, seed=seed, **values)


def board_of(results: Path) -> Board:
    boards = build_boards(results)
    assert not boards.problems
    return boards.boards[0]


@pytest.fixture
def row(results: Path, write_run: WriteRun) -> Row:
    """Three seeds on 20, 0 and 30 images; the worst class is 2, once class 0."""
    for seed, correct in enumerate([(8, 0, 3), (8, 0, 6), (2, 0, 12)]):
        write_run(seed=seed, counts=(20, 0, 30), clean=(18, 0, 24), pgd20=(10, 0, 12), autoattack=correct)
    return board_of(results).ranked[0]


def test_the_envelope_is_that_of_the_statistics(row: Row) -> None:
    assert row.envelope("autoattack") == envelope([result.accuracies["autoattack"] for result in row.results])
    assert row.envelope("autoattack").low < row.summary("autoattack", worst).mean < row.envelope("autoattack").high


def test_worst_classes_over_seeds(row: Row) -> None:
    assert row.worst_class_counts("autoattack").tolist() == [1, 0, 2]
    assert row.candidates("autoattack") == {0, 2}, "an absent class is no candidate"


def test_class_means_leave_absent_classes_out(row: Row) -> None:
    assert row.class_means("autoattack") == pytest.approx([0.3, np.nan, 0.7 / 3], nan_ok=True)
    gap = boundary_error(row.class_means("clean"), row.class_means("autoattack"))
    assert gap == pytest.approx([0.6, np.nan, 0.8 - 0.7 / 3], nan_ok=True)


def test_confusion_has_the_correct_images_on_its_diagonal(row: Row) -> None:
    for result in row.results:
        for attack in ("clean", "pgd20", "autoattack"):
            found = result.confusion(attack)
            assert np.diag(found).tolist() == result.accuracies[attack].correct.tolist()
            assert found.sum(axis=1).tolist() == [20, 0, 30]
    first = row.results[0].confusion("autoattack")
    assert first.tolist() == [[8, 12, 0], [0, 0, 0], [27, 0, 3]]
    assert error_shares(first) == pytest.approx([27 / 39, 12 / 39, 0])


def test_an_image_that_is_wrong_without_an_attack_stays_wrong(results: Path, write_run: WriteRun) -> None:
    """PGD may end where the model is right by accident; that is no robustness."""
    path = write_run(counts=(3, 3), clean=(2, 3), pgd20=(1, 3), autoattack=(1, 3))
    outcomes = read_outcomes(path)
    outcomes.rows.loc[2, "pgd20"] = 0
    write_outcomes(path, outcomes)
    (result,) = board_of(results).unranked[0].results
    assert result.confusion("pgd20").tolist() == [[1, 2], [0, 3]]
    assert result.correct("pgd20").tolist() == [True, False, False, True, True, True]


def test_steps_survived_are_means_per_class(row: Row) -> None:
    """The synthetic files say 20 steps for a robust image and 3 for another."""
    steps = row.results[0].steps_survived
    assert steps == pytest.approx([(10 * 20 + 10 * 3) / 20, np.nan, (12 * 20 + 18 * 3) / 30], nan_ok=True)


def test_selected_to_last_is_taken_seed_by_seed(results: Path, write_run: WriteRun) -> None:
    for seed in range(3):
        path = write_run(seed=seed, counts=(10, 10), clean=(9, 9), pgd20=(6, 4), autoattack=(5, 3))
        outcomes = read_outcomes(path)
        outcomes.rows.loc[10 : 10 + seed, "last_pgd20"] = 0  # class 1 loses seed + 1 images
        write_outcomes(path, outcomes)
    (row,) = board_of(results).ranked
    assert row.last("pgd20", worst).values == pytest.approx((0.3, 0.2, 0.1))
    assert row.selected_to_last("pgd20", worst).values == pytest.approx((0.1, 0.2, 0.3))
    assert row.selected_to_last("clean", average).values == pytest.approx((0, 0, 0))


def test_rho_against_the_named_baseline(results: Path, write_run: WriteRun) -> None:
    """Worst 20 to 30 %, average 40 to 35 %: +50 % and -12.5 %."""
    write_row(write_run, "pgd-at", counts=(10, 10), pgd20=(9, 9), autoattack=(6, 2))
    write_row(write_run, "fair", counts=(10, 10), pgd20=(9, 9), autoattack=(4, 3))
    board = board_of(results)
    assert board.baseline is not None
    assert board.baseline.label == "pgd-at"
    assert board.ranked[0].rho(board.baseline, "autoattack") == pytest.approx(0.5 - 0.125)


def test_rho_of_a_hopeless_baseline_is_no_number(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "pgd-at", counts=(30, 30), pgd20=(9, 9), autoattack=(6, 1))
    board = board_of(results)
    assert board.baseline is not None
    assert np.isnan(board.ranked[0].rho(board.baseline, "autoattack"))


def test_changed_hyper_parameters_are_no_baseline(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "pgd-at-0a1b2c3d", method="pgd-at", changed={"steps": 7})
    assert board_of(results).baseline is None


def test_standings_are_those_of_the_verdicts_in_the_order_of_the_rows(results: Path, write_run: WriteRun) -> None:
    counts = {"counts": (200, 200), "clean": (200, 200), "pgd20": (190, 190)}
    write_row(write_run, "good", autoattack=(120, 100), **counts)
    write_row(write_run, "bad", autoattack=(120, 10), **counts)
    write_row(write_run, "alike", autoattack=(121, 99), **counts)
    board = board_of(results)
    assert [row.label for row in board.ranked] == ["good", "alike", "bad"]
    assert board.standings.keys() == KEYS.keys()
    expected = standings(verdicts_of(board.ranked, "autoattack"), seed=BOOTSTRAP_SEED, draws=board.draws)
    for key, found in board.standings.items():
        assert found.names == ("good", "alike", "bad")
        np.testing.assert_array_equal(found.ranks, expected[key].ranks)
        np.testing.assert_array_equal(found.intervals, expected[key].intervals)
    assert board.standings["worst"].ranks.tolist() == [[1, 2], [1, 2], [3, 3]]
    assert board.standings["worst"].groups == [[0, 1], [2]]
    assert (board.bootstrap_seed, board.draws) == (BOOTSTRAP_SEED, 2000)


def test_a_board_without_a_ranked_row_has_no_standings(results: Path, write_run: WriteRun) -> None:
    write_run()
    board = board_of(results)
    assert (board.standings, board.baseline) == ({}, None)


def test_rows_that_share_a_label_are_told_apart(results: Path, write_run: WriteRun) -> None:
    for beta in (1.0, 6.0):
        for seed in range(3):
            write_run(seed=seed, file=f"seed{seed}{beta}.parquet", parameters={"beta": beta})
    board = board_of(results)
    names = board.standings["worst"].names
    assert len(set(names)) == len(names) == 2
    assert all(name.startswith("trades ") for name in names)


def test_standings_do_not_depend_on_files_and_their_order(results: Path, write_run: WriteRun) -> None:
    """A pure function of the verdicts: an unranked row and a broken file change nothing."""
    write_row(write_run, "a", autoattack=(5, 4, 3))
    write_row(write_run, "b", autoattack=(6, 5, 2))
    before = board_of(results).standings
    write_run("0-late")
    cut = write_run("0-cut")
    cut.write_bytes(cut.read_bytes()[:50])
    boards = build_boards(results)
    assert len(boards.problems) == 1
    for key, found in boards.boards[0].standings.items():
        np.testing.assert_array_equal(found.intervals, before[key].intervals)
        np.testing.assert_array_equal(found.best, before[key].best)
