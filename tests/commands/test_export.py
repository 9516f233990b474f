"""`fairbench export` prints one board, and nothing else."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fairbench.boards.building import build_boards
from fairbench.cli import main
from fairbench.report.headings import anchor
from fairbench.report.paper import FORMATS
from fixture_types import WriteRun


def export(results: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["export", "--results", str(results), *arguments])


@pytest.mark.parametrize("form", FORMATS)
def test_the_output_is_that_of_the_board(results: Path, write_run: WriteRun, form: str) -> None:
    for seed in range(3):
        write_run(seed=seed)
    found = export(results, "--format", form)
    assert found.exit_code == 0, found.output
    (board,) = build_boards(results).boards
    assert found.stdout == FORMATS[form](board)


def test_csv_is_the_default(results: Path, write_run: WriteRun) -> None:
    write_run()
    assert export(results).stdout.startswith("suite,tier,kind,label")


def test_several_boards_are_named(results: Path, write_run: WriteRun) -> None:
    write_run("a")
    write_run("a", evaluation={"tier": "fast"}, folder="other")
    found = export(results)
    assert found.exit_code == 2
    for board in build_boards(results).boards:
        assert f"--board {anchor(board)}" in found.output
        assert export(results, "--board", anchor(board)).exit_code == 0


def test_suite_and_board_may_not_contradict(results: Path, write_run: WriteRun) -> None:
    write_run("a")
    write_run("a", suite="other", epsilon=0.1)
    board = next(board for board in build_boards(results).boards if board.suite == "other")
    assert export(results, "--suite", "other").exit_code == 0
    found = export(results, "--suite", "digits", "--board", anchor(board))
    assert found.exit_code == 2
    assert "contradict each other" in found.output


def test_a_lone_surrogate_stops_nothing(results: Path, write_run: WriteRun) -> None:
    write_run(card={"title": "broken \ud800 name"})
    found = export(results)
    assert found.exit_code == 0
    assert "broken ? name" in found.stdout


def test_a_broken_file_is_named_beside_the_table(results: Path, write_run: WriteRun) -> None:
    write_run("good")
    path = write_run("cut")
    path.write_bytes(path.read_bytes()[:100])
    found = export(results)
    assert found.exit_code == 1
    assert "Left out: digits/cut/seed0.parquet" in found.stderr
    assert "good" in found.stdout
