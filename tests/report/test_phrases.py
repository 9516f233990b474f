"""Sentences and figures that the site, papers and the terminal share."""

from pathlib import Path

import pytest

from fairbench.boards.building import build_boards
from fairbench.report.phrases import (
    axis_end,
    candidates,
    listed,
    multiple,
    percent,
    plural,
    protocol_sentence,
    radius,
    sortable,
    worst_classes,
)
from fixture_types import WriteRun


@pytest.mark.parametrize(
    ("epsilon", "expected"),
    [(8 / 255, "8/255"), (0.031, "0.031"), (0.15, "0.15"), (0.3, "0.3"), (128 / 255, "128/255"), (1.0, "1")],
)
def test_radius_is_a_fraction_where_it_is_one(epsilon: float, expected: str) -> None:
    assert radius(epsilon) == expected


def test_figures() -> None:
    assert percent(0.3114) == "31.1"
    assert percent(float("nan")) == "–"
    assert multiple(1.234) == "1.23×"
    assert multiple(float("nan")) == "–"
    assert listed([0, 1, 2]) == "0, 1 and 2"
    assert listed(["a"]) == "a"
    assert (plural(1, "class"), plural(2, "class"), plural(1000, "file")) == ("1 class", "2 classes", "1,000 files")


def test_protocol_sentence_names_data_model_threat_seeds_and_attacks(results: Path, write_run: WriteRun) -> None:
    for seed in range(3):
        write_run(seed=seed, epsilon=38 / 255)
    sentence = protocol_sentence(build_boards(results).boards[0])
    assert sentence == (
        "Every method trains digits-cnn on digits (3 classes) for 40 epochs with seeds 0, 1 and 2; the checkpoint "
        "selected on validation data is attacked on 30 test images by PGD-20 and standard AutoAttack within an L∞ "
        "ball of radius 38/255."
    )


def test_the_protocol_of_a_board_where_nothing_finished(results: Path, write_run: WriteRun) -> None:
    write_run(status="failed", reason="collapse", failed_epoch=0)
    (board,) = build_boards(results).boards
    assert "with seed 0; the checkpoint selected on validation data is attacked by PGD-20" in protocol_sentence(board)


def test_candidates_are_named(results: Path, write_run: WriteRun) -> None:
    names = ["cat", "deer", "bird"]
    for seed in range(3):
        write_run(
            seed=seed, counts=[300] * 3, clean=[290] * 3, pgd20=[200] * 3, autoattack=(90, 200, 91), class_names=names
        )
    board = build_boards(results, draws=50).boards[0]
    assert candidates(board, board.ranked[0]) == ["cat", "bird"]


def test_numbers_for_the_script_have_few_digits() -> None:
    assert sortable(0.1 + 0.2) == "0.300000"
    assert sortable(float("nan")) == "nan"


def test_worst_classes_over_seeds(results: Path, write_run: WriteRun) -> None:
    names = ["cat", "deer", "bird"]
    for seed, correct in enumerate([(5, 1, 2), (1, 5, 2), (5, 1, 2)]):
        write_run("mixed", seed=seed, autoattack=correct, class_names=names)
        write_run("stable", seed=seed, autoattack=(5, 4, 3), class_names=names)
    rows = {row.label: row for row in build_boards(results).boards[0].ranked}
    assert worst_classes(rows["mixed"], "autoattack") == "deer ×2, cat"
    assert worst_classes(rows["stable"], "autoattack") == "bird"
    assert axis_end([rows["mixed"]], "autoattack") == 0.2
    assert axis_end(list(rows.values()), "autoattack") == 0.4
