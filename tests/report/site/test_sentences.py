"""Sentences that only the site has."""

from collections.abc import Callable
from pathlib import Path

from fairbench.boards.building import build_boards
from fairbench.report.site.sentences import precision_sentence, statistics_sentence

WriteRun = Callable[..., Path]


def test_a_board_where_nothing_finished_has_no_precision(results: Path, write_run: WriteRun) -> None:
    write_run(status="failed", reason="collapse", failed_epoch=0)
    (board,) = build_boards(results).boards
    assert not precision_sentence(board)


def test_precision_is_that_of_the_smallest_class_with_images(results: Path, write_run: WriteRun) -> None:
    """Wilson at 50 of 100: 40.4 to 59.6 %."""
    for seed in range(3):
        write_run(seed=seed, counts=(100, 0, 400), clean=(9, 0, 9), pgd20=(5, 0, 5), autoattack=(4, 0, 4))
    sentence = precision_sentence(build_boards(results).boards[0])
    assert "smallest class has 100 test images" in sentence
    assert "±10 points" in sentence
    assert "the mean of the worst classes says more" in sentence


def test_many_images_per_class_carry_a_minimum(results: Path, write_run: WriteRun) -> None:
    write_run(counts=(200, 300), clean=(9, 9), pgd20=(5, 5), autoattack=(4, 4))
    assert precision_sentence(build_boards(results, draws=50).boards[0]).endswith(
        "Smaller differences are no evidence."
    )


def test_the_bootstrap_is_named_so_that_it_can_be_repeated(results: Path, write_run: WriteRun) -> None:
    write_run()
    board = build_boards(results, draws=50).boards[0]
    assert "50 draws, seed 0" in statistics_sentence(board)
