"""The table "In numbers" holds what `outcomes.metrics` says of the same verdicts, and no number that there is not."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from fairbench.boards.board import Board
from fairbench.boards.building import build_boards
from fairbench.boards.row import Row
from fairbench.outcomes import metrics
from fairbench.outcomes.metrics import Vector, average, class_accuracies, worst
from fairbench.outcomes.store import read_outcomes, write_outcomes
from fairbench.protocol.attack_names import Attack
from fairbench.report.site.measures import Measure, MeasureCell, measures, rho_remark
from fairbench.report.site.method_page import method_pages
from fairbench.statistics import attack_gap, boundary_error
from fairbench.statistics.comparison import rho_of
from fixture_types import WriteRun

NAMES = ["cat", "dog", "owl", "yak"]
UNEVEN = {"counts": (10, 20, 0, 40), "clean": (9, 18, 0, 30), "pgd20": (6, 8, 0, 20), "class_names": NAMES}
BY_SEED = ((5, 6, 0, 4), (4, 8, 0, 20), (2, 8, 0, 10))
"""Under AutoAttack, seeds whose worst classes differ: yak, then cat twice."""


def write_rows(write_run: WriteRun) -> None:
    for seed, robust in enumerate(BY_SEED):
        write_run("fair", seed=seed, **UNEVEN, autoattack=robust)
        write_run("pgd-at", seed=seed, **UNEVEN, autoattack=(5, 5, 0, 8 + seed))


def board_of(results: Path) -> Board:
    return build_boards(results, draws=50).boards[0]


def row_of(board: Board, label: str) -> Row:
    return next(row for row in board.rows if row.label == label)


def by_name(board: Board, row: Row) -> dict[str, Measure]:
    return {one.name: one for one in measures(board, row)}


def as_shown(values: list[float], show: Callable[[float], str]) -> MeasureCell:
    return MeasureCell(mean=show(sum(values) / len(values)), seeds=", ".join(map(show, values)))


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


def three(value: float) -> str:
    return f"{value:.3f}"


def points(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", "−")


@pytest.mark.parametrize(
    ("name", "metric", "show"),
    [
        ("Average, %", metrics.average, percent),
        ("Worst class, %", metrics.worst, percent),
        ("Worst 10 % of classes, %", partial(metrics.worst_share, percent=10), percent),
        ("Worst 20 % of classes, %", partial(metrics.worst_share, percent=20), percent),
        ("Worst 30 % of classes, %", partial(metrics.worst_share, percent=30), percent),
        ("SD, points", metrics.deviation, percent),
        ("Range, points", metrics.spread, percent),
        ("NSD", metrics.normalised_deviation, three),
        ("Gini", metrics.gini, three),
    ],
)
@pytest.mark.parametrize("attack", ["clean", "pgd20", "autoattack"])
def test_numbers_of_a_vector_are_those_of_metrics(
    results: Path,
    write_run: WriteRun,
    name: str,
    metric: Callable[[Vector], float],
    show: Callable[[float], str],
    attack: Attack,
) -> None:
    """From the files, and without the class that has no images."""
    write_rows(write_run)
    files = [read_outcomes(results / "digits" / "fair" / f"seed{seed}.parquet").rows for seed in range(3)]
    values = [metric(class_accuracies(rows, 4, attack).values) for rows in files]
    board = board_of(results)
    found = by_name(board, row_of(board, "fair"))[name].cells[attack]
    assert replace(found, note="") == as_shown(values, show)


def test_differences_are_those_of_statistics(results: Path, write_run: WriteRun) -> None:
    write_rows(write_run)
    board = board_of(results)
    row = row_of(board, "fair")
    found = by_name(board, row)
    clean, pgd20, robust = (
        [result.accuracies[attack].values for result in row.finished] for attack in ("clean", "pgd20", "autoattack")
    )
    errors = [boundary_error(before, after) for before, after in zip(clean, robust, strict=True)]
    gaps = [attack_gap(weaker, stronger) for weaker, stronger in zip(pgd20, robust, strict=True)]
    for name, classes in (("boundary error", errors), ("PGD-20 gap", gaps)):
        mean, largest = (found[f"{kind} {name}, points"].cells["autoattack"] for kind in ("Mean", "Largest"))
        assert mean == as_shown([metrics.average(one) for one in classes], percent)
        assert replace(largest, note="") == as_shown([max(one[k] for k in (0, 1, 3)) for one in classes], percent)
    assert found["Largest boundary error, points"].cells["autoattack"].note == "cat ×2, yak"
    assert found["Largest PGD-20 gap, points"].cells["autoattack"].note == "cat ×2, yak"
    assert list(found["Mean PGD-20 gap, points"].cells) == ["autoattack"]
    assert "clean" not in found["Mean boundary error, points"].cells


def test_images_of_uneven_classes_are_counted_as_well(results: Path, write_run: WriteRun) -> None:
    write_rows(write_run)
    board = board_of(results)
    cell = by_name(board, row_of(board, "fair"))["All images, %"].cells["autoattack"]
    assert cell == as_shown([15 / 70, 32 / 70, 20 / 70], percent)


def test_images_of_even_classes_are_the_average(results: Path, write_run: WriteRun) -> None:
    write_run()
    board = board_of(results)
    assert "All images, %" not in by_name(board, board.rows[0])


def test_the_worst_class_has_its_name_and_its_envelope(results: Path, write_run: WriteRun) -> None:
    write_rows(write_run)
    board = board_of(results)
    row = row_of(board, "fair")
    found = by_name(board, row)
    assert found["Worst class, %"].cells["autoattack"] == MeasureCell(
        mean="23.3", seeds="10.0, 40.0, 20.0", note="cat ×2, yak"
    )
    low, high = row.envelope("autoattack")
    assert found["Its envelope, %"].cells["autoattack"] == MeasureCell(mean=f"{percent(low)}–{percent(high)}")


def test_rho_is_measured_against_the_means_of_the_baseline(results: Path, write_run: WriteRun) -> None:
    for seed in range(3):
        write_run("fair", seed=seed, autoattack=(5, 5, 4))
        write_run("pgd-at", seed=seed, autoattack=(7, 5, 3))
    board = board_of(results)
    row, base = row_of(board, "fair"), row_of(board, "pgd-at")
    own, reference = (each.results[0].accuracies["autoattack"].values for each in (row, base))
    expected = rho_of(worst(own), average(own), (worst(reference), average(reference)))
    assert by_name(board, row)["ρ"].cells["autoattack"] == as_shown([expected] * 3, "{:+.2f}".format)
    assert by_name(board, base)["ρ"].cells["autoattack"] == MeasureCell(mean="+0.00", seeds="+0.00, +0.00, +0.00")
    assert not rho_remark(board, row)


def test_rho_is_hidden_where_the_baseline_is_too_weak(results: Path, write_run: WriteRun) -> None:
    for seed in range(3):
        write_run("fair", seed=seed)
        write_run("pgd-at", seed=seed, autoattack=(9, 8, 0))
    board = board_of(results)
    assert list(by_name(board, row_of(board, "fair"))["ρ"].cells) == ["pgd20"]
    remark = rho_remark(board, row_of(board, "fair"))
    assert remark == "There is no ρ under AutoAttack, because the worst class of pgd-at is below 5 %."
    assert all(remark.encode() in page for page in method_pages(build_boards(results), ()).values())


def test_without_a_baseline_there_is_no_rho(results: Path, write_run: WriteRun) -> None:
    write_run("fair")
    board = board_of(results)
    assert "ρ" not in by_name(board, board.rows[0])
    assert "pgd-at is not ranked here" in rho_remark(board, board.rows[0])


def test_what_selection_gained_is_selected_minus_last(results: Path, write_run: WriteRun) -> None:
    for seed in range(3):
        path = write_run("a", seed=seed)
        outcomes = read_outcomes(path)
        rows = outcomes.rows.copy()
        # The last checkpoint errs on two images more of the last class, and on one more under PGD-20.
        rows.loc[rows.index[20:22], "last_clean"] = 0
        rows.loc[rows.index[20:23], "last_pgd20"] = 0
        write_outcomes(path, replace(outcomes, rows=rows))
    board = board_of(results)
    found = by_name(board, board.ranked[0])
    worst, average = (found[f"Selected to last, {key}, points"].cells for key in ("worst class", "average"))
    assert worst == {"clean": as_shown([0.2] * 3, points), "pgd20": as_shown([0.3] * 3, points)}
    assert average["pgd20"] == as_shown([0.1] * 3, points)


def test_a_model_trained_elsewhere_has_no_last_checkpoint(results: Path, write_run: WriteRun) -> None:
    write_run("external-zoo", role="external")
    board = board_of(results)
    assert not any(name.startswith("Selected") for name in by_name(board, board.rows[0]))


def test_what_is_not_ranked_has_its_seeds_and_no_mean(results: Path, write_run: WriteRun) -> None:
    """Two seeds are not enough; a seed alone has the envelope of its own."""
    write_run("two", seed=0, autoattack=(5, 4, 1))
    write_run("two", seed=1, autoattack=(5, 4, 2))
    board = board_of(results)
    row = board.rows[0]
    found = by_name(board, row)
    assert not any(cell.mean for one in found.values() for cell in one.cells.values())
    envelopes = [metrics.minimum_envelope(result.accuracies["autoattack"]) for result in row.finished]
    shown = ", ".join(f"{percent(low)}–{percent(high)}" for low, high in envelopes)
    assert found["Its envelope, %"].cells["autoattack"].seeds == shown
    ((_, page),) = method_pages(build_boards(results), ()).items()
    assert "<strong>10.0 %</strong>, <strong>20.0 %</strong> (2); average" in " ".join(page.decode().split())
    assert "15.0" not in page.decode().partition("What the errors become")[0], "the mean of two seeds is never formed"
    assert "Standing by every key" not in page.decode()


def test_a_screen_has_no_gap(results: Path, write_run: WriteRun) -> None:
    for seed in range(3):
        write_run("a", seed=seed, autoattack=None)
    board = board_of(results)
    found = by_name(board, board.ranked[0])
    assert not any("gap" in name for name in found)
    assert list(found["Average, %"].cells) == ["clean", "pgd20"]


def test_an_accuracy_of_nothing_has_no_relative_spread(results: Path, write_run: WriteRun) -> None:
    for seed in range(3):
        write_run("a", seed=seed, autoattack=(0, 0, 0))
    board = board_of(results)
    assert list(by_name(board, board.ranked[0])["NSD"].cells) == ["clean", "pgd20"]


@pytest.mark.parametrize("classes", [3, 100])
def test_every_line_has_a_cell_for_every_column(results: Path, write_run: WriteRun, classes: int) -> None:
    """Hostile names of classes are text, and many classes have all the lines."""
    names = [f"<b>{k}</b> \"'" for k in range(classes)]
    values = [10] * classes
    for seed in range(3):
        for label in ("pgd-at", "b"):
            robust = [3 + k % 5 for k in range(classes)]
            write_run(label, seed=seed, counts=values, clean=values, pgd20=values, autoattack=robust, class_names=names)
    boards = build_boards(results, draws=50)
    for page in method_pages(boards, ()).values():
        table = page.decode().partition('<table class="numbers measures">')[2].partition("</table>")[0]
        lines = re.findall(r"<tr><th scope=\"row\">.*?</tr>", table)
        assert len(lines) == len(measures(boards.boards[0], boards.boards[0].ranked[0]))
        for line in lines:
            spans = [int(span or 1) for span in re.findall(r'<td(?: colspan="(\d)")?>', line)]
            assert sum(spans) == 3 * 2 + 1
        assert "&lt;b&gt;0&lt;/b&gt;" in table
        assert "<b>" not in table
