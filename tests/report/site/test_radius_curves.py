"""The curve over radii on a row's page: every number in a table, and a drawing that needs no script."""

import re
from pathlib import Path

import numpy as np
import pytest

from fairbench.boards.board import Boards
from fairbench.boards.building import build_boards
from fairbench.outcomes.store import read_outcomes, write_outcomes
from fairbench.report.site.downloads import downloads
from fairbench.report.site.method_page import method_pages
from fairbench.report.site.radius_curves import radius_pictures
from fixture_types import WriteRun

RADII = (4 / 255, 8 / 255, 16 / 255)
WITHSTOOD = [3] * 10 + [3, 3, 2, 2, 2, 1, 1, 1, 1, 0] + [1] * 8 + [0, 0]


@pytest.fixture
def boards(write_run: WriteRun, results: Path) -> Boards:
    """A row with a curve over three radii, seed 0, and without one, seed 1."""
    path = write_run(clean=(10, 10, 8), epsilon=8 / 255, class_names=["bird", "<b>cat", "deer"])
    outcomes = read_outcomes(path)
    protocol = outcomes.provenance.description["protocol"]
    protocol["evaluation"] = {**protocol["evaluation"], "curve": list(RADII)}
    outcomes.rows["curve"] = np.array(WITHSTOOD, dtype=np.int16)
    write_outcomes(path, outcomes)
    write_run(seed=1, clean=(10, 10, 8), epsilon=8 / 255, class_names=["bird", "<b>cat", "deer"])
    return build_boards(results, draws=50)


def test_both_seeds_stand_on_one_board(boards: Boards) -> None:
    """A curve adds verdicts and changes none, so it separates nobody."""
    (board,) = boards.boards
    assert [len(row.results) for row in board.rows] == [2]


def test_the_numbers_by_hand(boards: Boards) -> None:
    (row,) = boards.boards[0].rows
    (picture,) = radius_pictures(row)
    assert picture.seed == 0
    assert picture.radii == ("clean", "4/255", "8/255", "16/255")
    values = {drawn.line.name: drawn.line.values for drawn in picture.lines}
    assert values["<b>cat"] == (1.0, 0.9, 0.5, 0.2)
    assert values["deer"] == (0.8, 0.8, 0.0, 0.0)
    assert values["worst class"] == (0.8, 0.8, 0.0, 0.0)
    assert values["average"] == pytest.approx((28 / 30, 27 / 30, 15 / 30, 12 / 30))
    halves = {drawn.line.name: drawn.half for drawn in picture.lines}
    assert halves == {
        "average": "10.7/255",
        "worst class": "6/255",
        "bird": "above 16/255",
        "<b>cat": "8/255",
        "deer": "6/255",
    }


def test_curves_are_drawn_where_they_belong(boards: Boards) -> None:
    """From the left at 0 to the right at the largest radius, within the picture, and never rising."""
    (picture,) = radius_pictures(boards.boards[0].rows[0])
    for drawn in picture.lines:
        points = [tuple(map(float, point.split())) for point in drawn.path.removeprefix("M").split("L")]
        xs, ys = zip(*points, strict=True)
        assert list(xs) == sorted(xs)
        assert list(ys) == sorted(ys)  # down is up
        assert (xs[0], xs[-1]) == (48, 468)
        assert xs[2] == pytest.approx((xs[0] + xs[-1]) / 2)
        assert 12 <= min(ys) <= max(ys) <= 260
    assert {mark.text for mark in picture.names} == {"bird", "deer"}


def test_the_page_shows_it_escaped(boards: Boards) -> None:
    (page,) = method_pages(boards, ()).values()
    text = page.decode()
    section = text[text.index('<section id="radii">') : text.index("</section>", text.index('<section id="radii">'))]
    assert "the worst class has half of its clean accuracy at 6/255" in section
    assert "<b>cat" not in section
    assert section.count('<path class="class"') == 3
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', section)
    assert [name for name, _ in rows] == ["average", "worst class", "bird", "&lt;b&gt;cat", "deer"]
    assert "<td>100.0</td><td>90.0</td><td>50.0</td><td>20.0</td><td>8/255</td>" in rows[3][1]


def test_downloads_hold_its_counts(boards: Boards) -> None:
    text = downloads(boards.boards[0])[".json"].decode()
    assert '"curve":[{"radius":0.0156' in text
    assert '"correct":[10,9,8]' in text
    assert text.count('"curve"') == 1


def test_without_a_curve_there_is_no_section(write_run: WriteRun, results: Path) -> None:
    write_run()
    (page,) = method_pages(build_boards(results, draws=50), ()).values()
    assert b'id="radii"' not in page
