"""A board as text: the numbers are those of the board, and nothing that results say becomes a command."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from fairbench.boards.board import Board
from fairbench.boards.building import build_boards
from fairbench.outcomes.metrics import average, worst
from fairbench.report.paper import FORMATS, latex, markdown, to_bibtex, to_csv, to_latex, to_markdown
from fixture_types import WriteRun

HOSTILE = '=cmd|" /c"!A1 | **bold** <script>alert(1)</script> \\input{x} $x$ 100% #1 & ~ ^ [a](http://b) 🙂\nnext'
SET_AS_TEXT = re.compile(r"(\\[a-z]+\{\}|\\[&%$#_{}]|\$\\[a-z]+\$|\$-\$|[^\\&%$#_{}~^<>|\"])*")


@pytest.fixture
def board(results: Path, write_run: WriteRun) -> Board:
    for seed in range(3):
        write_run(
            "pgd-at", seed=seed, counts=(10, 0, 30), clean=(9, 0, 27), pgd20=(7, 0, 9), autoattack=(5, 0, 3 + seed)
        )
        write_run("fair", seed=seed, counts=(10, 0, 30), clean=(9, 0, 27), pgd20=(7, 0, 15), autoattack=(5, 0, 14))
    write_run("late", counts=(10, 0, 30), clean=(9, 0, 27), pgd20=(7, 0, 15), autoattack=(5, 0, 14))
    write_run("cut", status="failed", reason="collapse", failed_epoch=1, class_names=["0", "1", "2"])
    external = {"role": "external", "counts": (10, 0, 30), "clean": (9, 0, 27), "pgd20": (7, 0, 9)}
    write_run("external-zoo", autoattack=(5, 0, 9), **external)
    boards = build_boards(results)
    assert not boards.problems
    return boards.boards[0]


def read_csv(board: Board) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(to_csv(board))).set_index("label")


def test_csv_has_every_row_with_its_kind(board: Board) -> None:
    found = read_csv(board)
    assert found["kind"].to_dict() == {
        "fair": "ranked",
        "pgd-at": "ranked",
        "cut": "incomplete",
        "late": "incomplete",
        "external-zoo": "external",
    }
    assert found.loc["cut", "reason"] == "1 of 1 seeds failed"


def test_csv_numbers_are_unrounded(board: Board) -> None:
    found = read_csv(board)
    for row in board.ranked:
        assert found.loc[row.label, "worst"] == pytest.approx(row.summary("autoattack", worst).mean, abs=0)
        assert found.loc[row.label, "clean_average"] == row.summary("clean", average).mean
        guaranteed = (found.loc[row.label, "worst_envelope_low"], found.loc[row.label, "worst_envelope_high"])
        assert guaranteed == row.envelope("autoattack")
    assert found.loc["pgd-at", "rho"] == 0
    for key, standing in board.standings.items():
        assert found.loc[[row.label for row in board.ranked], f"{key}_best_share"].tolist() == standing.best.tolist()
        lows = [found.loc[row.label, f"{key}_low"] for row in board.ranked]
        assert lows == standing.intervals[:, 0].tolist()
    assert found.loc["pgd-at", "average_minus_baseline"] == 0
    assert found.loc["fair", "average_against_baseline"] in {"better", "worse", "not known"}
    assert found["average_against_baseline"].isna().to_dict()["external-zoo"]


def test_csv_measures_per_seed_and_then_averages(board: Board) -> None:
    """The class of the largest error may be another one in each seed."""
    found = read_csv(board)
    for row in (*board.ranked, *board.external):
        errors = [result.boundary_error("autoattack") for result in row.finished]
        assert found.loc[row.label, "mean_boundary_error"] == pytest.approx(np.mean([average(seed) for seed in errors]))
        assert found.loc[row.label, "largest_boundary_error"] == pytest.approx(np.mean(np.nanmax(errors, axis=1)))
        gaps = [np.nanmax(result.attack_gap) for result in row.finished]
        assert found.loc[row.label, "largest_pgd20_gap"] == pytest.approx(np.mean(gaps))
    assert str(found.loc["pgd-at", "worst_candidates"]) in {"2", "2.0"}, "5 of 10 is certainly above 12 of 90"
    assert found["worst_candidates"].isna().to_dict()["late"]


def test_csv_counts_give_the_accuracies_back(board: Board) -> None:
    found = read_csv(board)
    assert found.loc["pgd-at", "worst_by_seed"] == "3/30 4/30 5/30"
    assert found.loc["late", "worst_by_seed"] == "14/30"
    assert (found.loc["pgd-at", "autoattack 2"], found.loc["pgd-at", "images 2"]) == (12, 90)
    assert found.loc["pgd-at", "images 1"] == 0, "an absent class has no image and no accuracy"


def test_rows_that_are_not_ranked_have_no_means(board: Board) -> None:
    found = read_csv(board)
    averaged = found[["worst", "average", "clean_average", "deviation"]].isna().all(axis=1)
    assert averaged.to_dict() == {label: label in ("cut", "late") for label in found.index} | {"external-zoo": False}
    assert found["worst_first_place"].isna().to_dict()["external-zoo"]
    assert found.loc["external-zoo", "autoattack_worst"] == 0.3


def test_the_first_rows_are_those_of_the_whole(board: Board) -> None:
    """With the places and intervals that they have among all rows; nothing that is not ranked."""
    lines, first = ([*map(str.strip, to_latex(board, top=top).splitlines())] for top in (None, 1))
    start = lines.index(r"\midrule")
    assert first[first.index(r"\midrule") :] == [*lines[start : start + 2], *lines[lines.index(r"\bottomrule") :]]
    lines, first = (to_markdown(board, top=top).splitlines() for top in (None, 1))
    assert first[:4] == [*lines[:3], ""]
    assert "The first 1 of 2 rows, by the worst class." in first[4]
    assert "Not ranked" not in first[4]
    assert to_csv(board, top=1).splitlines()[1] in to_csv(board).splitlines()
    assert len(to_csv(board, top=1).splitlines()) == 2
    assert to_bibtex(board, top=1) == ""


def test_latex_is_a_booktabs_table(board: Board) -> None:
    text = to_latex(board)
    lines = [line.strip() for line in text.splitlines()]
    assert [line for line in lines if line.endswith("rule")] == [r"\toprule", r"\midrule", r"\midrule", r"\bottomrule"]
    (fair,) = (line for line in lines if "FAIR" in line and line.endswith(r"\\"))
    assert r"46.67 [" in fair
    assert fair.count("&") == 9
    assert "Not ranked: CUT (1 of 1 seeds failed); LATE (1 of the 3 seeds that a rank needs)." in text


@pytest.mark.parametrize(("key", "column"), [("worst", 2), ("worst-20", 3), ("average", 4)])
def test_bold_are_the_rows_that_may_be_the_first(board: Board, key: str, column: int) -> None:
    lines = [line.split(" & ") for line in to_latex(board).splitlines() if line.endswith(r"$\times$ \\")]
    first = (board.standings[key].ranks[:, 0] == 1).tolist()
    assert [r"\textbf" in line[column] for line in lines[: len(first)]] == first


def test_markdown_is_a_table_with_the_same_cells(board: Board) -> None:
    page = MarkdownIt("commonmark").enable("table").render(to_markdown(board))
    assert page.count("<tr>") == 1 + 3
    assert "<td>FAIR</td>" in page


@given(st.text())
@example(HOSTILE)
def test_latex_sets_any_text_as_it_stands(text: str) -> None:
    assert SET_AS_TEXT.fullmatch(latex.escape(text))


@given(st.text())
@example(HOSTILE)
def test_markdown_shows_any_text_as_it_stands(text: str) -> None:
    """In a cell of a table: one row, two cells, no tag."""
    escaped = markdown.escape(text)
    page = MarkdownIt("commonmark").enable("table").render(f"| a | b |\n| --- | --- |\n| {escaped} | x |\n")
    assert re.findall(r"<(\w+)", page) == ["table", "thead", "tr", "th", "th", "tbody", "tr", "td", "td"]


@pytest.mark.parametrize("name", FORMATS)
def test_hostile_results_stay_text(results: Path, write_run: WriteRun, name: str) -> None:
    card = {"title": HOSTILE, "bibtex": "@preamble{\\immediate\\write18{x}}", "venue": HOSTILE, "link": "javascript:x"}
    for seed in range(3):
        write_run("-1+1", seed=seed, card=card, method=HOSTILE, class_names=["=1", HOSTILE, '"'])
    (board,) = build_boards(results).boards
    text = FORMATS[name](board)
    assert "write18" not in text
    if name == "csv":
        (line,) = pd.read_csv(io.StringIO(text)).to_dict("records")
        assert (line["label"], line["title"]) == ("'-1+1", f"'{HOSTILE}")
    if name == "markdown":
        page = MarkdownIt("commonmark").enable("table").render(text)
        assert set(re.findall(r"<(\w+)", page)) == {"table", "thead", "tbody", "tr", "th", "td", "strong", "p"}
    if name == "latex":
        assert r"\input" not in text
        assert "\\textbackslash{}input" in text


ENTRY = "@article{doe2020, title = {On {B}races}, author = {Jos\\'e \\v{S}koda}, year = {2020}}"


@pytest.mark.parametrize(
    ("bibtex", "kept"),
    [
        (ENTRY, True),
        (f"  {ENTRY}\n", True),
        ("", False),
        ("a book", False),
        ("@article{no key, title={x}}", False),
        (f"{ENTRY} @preamble{{x}}", False),
        (ENTRY[:-1], False),
        (f"{ENTRY}}}", False),
        ("@preamble{x, y}", False),
        ("@STRING{x, y}", False),
        ("@misc{x, title={\\input{/etc/passwd}}}", False),
        ("@misc{x, title={^^5cinput y}}", False),
    ],
)
def test_only_harmless_entries_are_printed(results: Path, write_run: WriteRun, bibtex: str, kept: bool) -> None:
    for seed in range(3):
        write_run(seed=seed, card={"title": "T", "bibtex": bibtex})
    (board,) = build_boards(results).boards
    assert to_bibtex(board) == (f"{ENTRY}\n" if kept else "")
    assert (r"T~\cite{doe2020}" in to_latex(board)) == kept


def test_an_entry_is_printed_once(results: Path, write_run: WriteRun) -> None:
    for label in ("a", "b"):
        for seed in range(3):
            write_run(label, seed=seed, card={"title": label, "bibtex": ENTRY})
    (board,) = build_boards(results).boards
    assert to_bibtex(board) == f"{ENTRY}\n"


def test_parameters_are_json(results: Path, write_run: WriteRun) -> None:
    for seed in range(3):
        write_run(seed=seed, parameters={"beta": 6.0, "mode": '",'})
    (board,) = build_boards(results).boards
    assert json.loads(read_csv(board)["parameters"].iloc[0]) == {"beta": 6.0, "mode": '",'}


@pytest.mark.parametrize("name", FORMATS)
def test_a_screen_board_is_exported_by_its_own_attack(results: Path, write_run: WriteRun, name: str) -> None:
    for seed in range(3):
        write_run(seed=seed, autoattack=None)
    (board,) = build_boards(results).boards
    text = FORMATS[name](board)
    assert "autoattack" not in text.lower()
    if name in ("latex", "markdown"):
        assert "40.00 " in text
