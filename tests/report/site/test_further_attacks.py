"""What else was tried: a column beside AutoAttack's, with the names, and a section of the row's page."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fairbench.boards.board import Boards
from fairbench.boards.building import build_boards
from fairbench.outcomes.store import read_outcomes, write_outcomes
from fairbench.report.site.downloads import downloads
from fairbench.report.site.method_page import method_pages
from fairbench.report.site.page import render
from fairbench.report.site.ranking_table import columns
from fixture_types import WriteRun

TARGETED = "targeted:steps=9"


@pytest.fixture
def boards(write_run: WriteRun, results: Path) -> Boards:
    """Two rows of three seeds; on the first one everything of class 0 can be made into 1 and 2, and L1 breaks all."""
    for label in ("trades", "frl"):
        for seed in range(3):
            path = write_run(label, seed=seed)
            if label == "frl":
                continue
            found = read_outcomes(path)
            rows, labels = found.rows, found.rows["label"].to_numpy()
            protocol = found.provenance.description["protocol"]
            protocol["evaluation"] = {**protocol["evaluation"], "attacks": [TARGETED, "l1-apgd#abc"]}
            hit = (labels == 0) & (rows["clean"].to_numpy() == 0)
            rows[f"tried:{TARGETED}"] = np.where(hit, 1, rows["clean"]).astype(np.int16)
            rows[f"reached:{TARGETED}"] = pd.Series([np.array([1, 2] if one else [], np.int16) for one in hit])
            rows["tried:l1-apgd#abc"] = ((labels + 1) % 3).astype(np.int16)
            rows["reached:l1-apgd#abc"] = pd.Series([np.array([(one + 1) % 3], np.int16) for one in labels])
            facts: dict[str, Any] = {"forwards": 1234, "backwards": 99, "unverified": 2}
            tried = {TARGETED: facts, "l1-apgd#abc": {**facts, "norm": "L1", "radius": 12.0}}
            write_outcomes(path, replace(found, provenance=replace(found.provenance, tried=tried)))
    return build_boards(results, draws=50)


def test_the_board_has_a_column_of_its_own(boards: Boards) -> None:
    """AutoAttack's numbers and its order stay; a row on which nothing was tried says so."""
    (board,) = boards.boards
    assert [column.name for column in columns(board)].count("hardest") == 1
    text = render(boards).decode()
    table = text[text.index('<table class="ranking">') : text.index("</table>")]
    cells = re.findall(r'<td class="number" data-order="[\d.]+">([\d.]+)<small>([^<]*)</small></td>', table)
    assert sorted(cells) == [("0.0", TARGETED), ("30.0", "nothing else tried")]
    assert len(re.findall(r"<th scope=\"col\"", table)) == len(columns(board))
    assert len(re.findall(r"<t[hd] (?!scope=\"col\")", table)) == 2 * len(columns(board))


def test_without_any_there_is_no_column(write_run: WriteRun, results: Path) -> None:
    write_run()
    (board,) = build_boards(results, draws=50).boards
    assert "hardest" not in [column.name for column in columns(board)]
    assert b"what else was tried" not in render(build_boards(results, draws=50))


def test_the_page_of_a_row(boards: Boards) -> None:
    """A line for every attack and seed, then all of the ball together; what is made of a class; no digest of code."""
    (page,) = [page.decode() for name, page in method_pages(boards, ()).items() if "trades" in name]
    section = page[
        page.index('<section id="further">') : page.index("</section>", page.index('<section id="further">'))
    ]
    lines = re.findall(r'<tr><th scope="row">(.*?)</th><td>(\d)</td><td>(.*?)</td><td>(.*?)</td>', section)
    assert lines[:3] == [
        (TARGETED, "0", "of the threat", "0.0 (0)"),
        ("l1-apgd", "0", "L1 12", "0.0 (0)"),
        ("AutoAttack and these in its ball", "0", "of the threat", "0.0 (0)"),
    ]
    assert "1,234 + 99" in section
    assert (
        section.count("What targeted:steps=9 makes of each class") == 3 * 3
    )  # a heading, a region and a caption a seed
    assert '<tr><th scope="row">0</th><td class="number">–</td><td class="number">100.0</td>' in section
    assert "#abc" not in section


def test_nonsense_in_a_file_is_a_dash(write_run: WriteRun, results: Path) -> None:
    path = write_run()
    found = read_outcomes(path)
    evaluation = found.provenance.description["protocol"]["evaluation"]
    found.provenance.description["protocol"]["evaluation"] = {**evaluation, "attacks": ["x"]}
    found.rows["tried:x"], found.rows["reached:x"] = found.rows["clean"], pd.Series([np.array([], np.int16)] * 30)
    facts: dict[str, Any] = {"forwards": "many", "unverified": [1], "norm": "L1", "radius": "wide"}
    write_outcomes(path, replace(found, provenance=replace(found.provenance, tried={"x": facts})))
    (page,) = method_pages(build_boards(results, draws=50), ()).values()
    assert "<td>– + –</td><td>–</td>" in page.decode()


def test_downloads_hold_the_counts(boards: Boards) -> None:
    text = downloads(boards.boards[0])[".json"].decode()
    assert text.count('"hardest":[0,4,3]') == 3
    assert '{"attack":"l1-apgd#abc","counts":false,"correct":[0,0,0]}' in text
