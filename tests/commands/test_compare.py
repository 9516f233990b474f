"""`fairbench compare` on real parquet files, and the numbers behind it."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fairbench.boards.board import Board
from fairbench.boards.building import build_boards
from fairbench.boards.head_to_head import head_to_head, reference_class
from fairbench.boards.row import Row
from fairbench.cli import main
from fairbench.report.headings import anchor
from fairbench.statistics import mcnemar, paired
from fixture_types import WriteRun

CLASSES = {"counts": (60, 60, 60), "clean": (60, 60, 60), "pgd20": (55, 55, 55)}


def compare(results: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["compare", "--results", str(results), *arguments])


def write_row(write_run: WriteRun, label: str, autoattack: tuple[int, ...], **values: object) -> None:
    """Three seeds that differ by one image."""
    for seed in range(3):
        broken = (*autoattack[:-1], autoattack[-1] + seed - 1)
        write_run(label, seed=seed, autoattack=broken, **{**CLASSES, **values})


@pytest.fixture
def results_of_three(results: Path, write_run: WriteRun) -> Path:
    history = [{"epoch": 0, "validation_robust": [0.9, 0.9, 0.9]}, {"epoch": 1, "validation_robust": [0.5, 0.1, 0.2]}]
    write_row(write_run, "pgd-at", (50, 40, 10), history=history, selected_epoch=1)
    write_row(write_run, "fair", (50, 42, 40))
    write_row(write_run, "alike", (50, 40, 11))
    return results


def board_of(results: Path) -> tuple[Board, dict[str, Row]]:
    (board,) = build_boards(results).boards
    return board, {row.label: row for row in board.rows}


def test_a_clear_gain_is_found_and_a_tie_is_one(results_of_three: Path) -> None:
    board, rows = board_of(results_of_three)
    clear = head_to_head(board, rows["fair"], rows["pgd-at"])
    assert set(clear.decisions(clear.standings).values()) == {1}
    assert clear.pairs == 3
    back = head_to_head(board, rows["pgd-at"], rows["fair"])
    assert set(back.decisions(back.standings).values()) == {-1}
    tie = head_to_head(board, rows["alike"], rows["pgd-at"])
    assert set(tie.decisions(tie.standings).values()) == set(tie.decisions(tie.alone).values()) == {0}


def test_the_paired_test_is_that_of_the_statistics(results_of_three: Path) -> None:
    """Survivors are nested in the synthetic files, so the counts are differences of survivors."""
    board, rows = board_of(results_of_three)
    contest = head_to_head(board, rows["fair"], rows["pgd-at"]).contests[0]
    assert contest.paired.first_only.tolist() == [32, 32, 32]
    assert contest.paired.second_only.tolist() == [0, 0, 0]
    expected = paired(rows["fair"].correct("autoattack"), rows["pgd-at"].correct("autoattack"))
    assert contest.paired.p_value == expected.p_value
    assert contest.paired.p_value <= contest.adjusted <= 3 * contest.paired.p_value
    assert (contest.images, contest.effect) == (180, 0.5)
    assert contest.discordant == pytest.approx(32 / 180)


def test_the_reference_class_is_chosen_on_validation_data(results_of_three: Path) -> None:
    """Class 2 is the worst on the test images; nobody may have looked there."""
    board, rows = board_of(results_of_three)
    assert reference_class(board) == 1
    contests = head_to_head(board, rows["fair"], rows["pgd-at"]).contests
    assert [(contest.name, contest.picked) for contest in contests] == [
        ("all 180 images", False),
        ("class 1: worst of pgd-at on validation data", False),
        ("class 2: worst of fair and pgd-at on these images", True),
    ]


@pytest.mark.parametrize(
    "history",
    [
        [],
        [{"epoch": 1}],
        [{"epoch": 1, "validation_robust": "worst"}],
        [{"epoch": 1, "validation_robust": [0.5, None, 0.2]}],
        [{"epoch": 1, "validation_robust": [0.5, 0.1]}],
        [{"epoch": 1, "validation_robust": [0.5, 10**400, 0.2]}],
        [{"epoch": 0, "validation_robust": [0.5, 0.1, 0.2]}],
    ],
)
def test_without_validation_accuracies_there_is_no_reference_class(
    results: Path, write_run: WriteRun, history: list[dict[str, object]]
) -> None:
    write_row(write_run, "pgd-at", (50, 40, 10), history=history, selected_epoch=1)
    board, _ = board_of(results)
    assert reference_class(board) is None


def test_the_output_says_what_was_tested(results_of_three: Path) -> None:
    found = compare(results_of_three, "fair", "pgd-at")
    assert found.exit_code == 0, found.output
    text = " ".join(found.output.replace("│", " ").split())
    p_value = f"{mcnemar(32, 0):.0e}"
    assert f"all 180 images 0 32 0 +17.8 {p_value}" in text
    assert "Holm over 3 pairs" in text
    assert "two checkpoints need" in text
    assert "seeds each on" in text
    assert "fair against pgd-at: 3 wins (worst, average, average+worst), 0 ties" in text
    assert "worst-10" not in text, "the worst 10 % of three classes are the worst one"


def test_a_model_trained_elsewhere_is_compared_alone(results_of_three: Path, write_run: WriteRun) -> None:
    write_run("external-zoo", role="external", autoattack=(20, 20, 20), **CLASSES)
    board, rows = board_of(results_of_three)
    found = head_to_head(board, rows["external-zoo"], rows["fair"])
    assert (found.pairs, len(found.rows)) == (1, 2)
    output = compare(results_of_three, "external-zoo", "fair").output
    assert "1 pair" in output
    assert "of 3 pairs" not in output


def test_labels_are_text(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "[red]<b>", (50, 40, 10))
    write_row(write_run, "plain", (50, 40, 10))
    found = compare(results, "[red]<b>", "plain")
    assert found.exit_code == 0, found.output
    assert "[red]<b> against plain" in found.output


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (("fiar", "pgd-at"), "Unknown row 'fiar'. Did you mean 'fair'?"),
        (("fair", "fair"), "'fair' is compared with itself"),
        (("late", "fair"), "'late' cannot be compared: 1 of the 3 seeds that a rank needs"),
        (("trades", "fair"), "'trades' cannot be compared: it teaches others"),
        (("fair", "pgd-at", "--suite", "digit"), "Unknown suite 'digit'. Did you mean 'digits'?"),
        (("fair", "pgd-at", "--board", "x"), "Unknown board 'x'"),
        (("fair", "elsewhere"), "No board has both 'fair' and 'elsewhere'"),
    ],
)
def test_what_cannot_be_compared_is_said(
    results_of_three: Path, write_run: WriteRun, arguments: tuple[str, ...], fragment: str
) -> None:
    write_run("late", autoattack=(50, 40, 10), **CLASSES)
    write_run("trades", role="teacher", autoattack=(50, 40, 10), **CLASSES)
    write_row(write_run, "elsewhere", (50, 40, 10), epsilon=0.1)
    found = compare(results_of_three, *arguments)
    assert found.exit_code == 2
    assert fragment in found.output


def test_one_label_for_two_rows_is_refused(results_of_three: Path, write_run: WriteRun) -> None:
    for seed in range(3):
        path = write_run("fair", seed=seed, file=f"seed{seed + 10}.parquet", parameters={"beta": 1.0}, **CLASSES)
        assert path.is_file()
    found = compare(results_of_three, "fair", "pgd-at")
    assert "Several rows are called 'fair'" in found.output


def test_a_board_is_chosen_where_several_fit(results_of_three: Path, write_run: WriteRun) -> None:
    for label in ("fair", "pgd-at"):
        write_row(write_run, label, (50, 40, 10), folder="digits-other", epsilon=0.1)
    found = compare(results_of_three, "fair", "pgd-at")
    assert found.exit_code == 2
    boards = build_boards(results_of_three).boards
    assert all(f"--board {anchor(board)}" in found.output for board in boards)
    small = next(board for board in boards if board.protocol["threat"]["epsilon"] == 0.1)
    chosen = compare(results_of_three, "fair", "pgd-at", "--board", anchor(small))
    assert chosen.exit_code == 0
    assert "radius 0.1." in chosen.output


def test_a_broken_file_is_named_and_the_code_is_not_zero(results_of_three: Path, write_run: WriteRun) -> None:
    path = write_run("cut", **CLASSES, autoattack=(1, 1, 1))
    path.write_bytes(path.read_bytes()[:100])
    found = compare(results_of_three, "fair", "pgd-at")
    assert found.exit_code == 1
    assert "Left out: digits/cut/seed0.parquet" in found.stderr
    assert "fair against pgd-at" in found.stdout


@pytest.mark.parametrize("exists", [False, True])
def test_no_results(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "nothing"
    if exists:
        folder.mkdir()
    found = compare(folder, "a", "b")
    assert found.exit_code == 2
    assert "run `fairbench run-all` first" in found.output
