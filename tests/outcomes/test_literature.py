"""What others published: read whole or refused with a sentence."""

import math
from pathlib import Path

import pytest

from fairbench.errors import UserError
from fairbench.outcomes.literature import COLUMNS, EVIDENCE, FILE, read_published

SHIPPED = Path(__file__).parents[2] / "results" / FILE
LINE = 'trades,beta6,cifar10,resnet18,8/255,last,84.2,63.7,52.6,26.2,,,one run,"BAT, Table 1",paper'


def write(path: Path, *lines: str, header: str = ",".join(COLUMNS)) -> Path:
    file = path / FILE
    file.write_text("\n".join([header, *lines]) + "\n")
    return file


def test_a_line_becomes_shares(tmp_path: Path) -> None:
    (row,) = read_published(write(tmp_path, LINE))
    assert (row.method, row.base, row.source, row.note) == ("trades", "beta6", "BAT, Table 1", "one run")
    assert row.clean == pytest.approx((0.842, 0.637))
    assert row.pgd20.worst == pytest.approx(0.262)
    assert math.isnan(row.autoattack.average)


def test_without_a_file_there_is_nothing(tmp_path: Path) -> None:
    assert read_published(tmp_path / FILE) == ()


def test_blank_lines_and_a_byte_order_mark_are_no_error(tmp_path: Path) -> None:
    file = write(tmp_path, LINE, "", LINE)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert len(read_published(file)) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("trades,beta6", "line 2 has 2 cells instead of 15; quote texts"),
        (LINE + ",more", "line 2 has 16 cells"),
        (LINE.replace("84.2", "184"), "clean_avg = '184'; allowed: a percentage from 0 to 100"),
        (LINE.replace("84.2", "nan"), "clean_avg = 'nan'"),
        (LINE.replace("84.2", "high"), "clean_avg = 'high'"),
        (LINE.replace("63.7", "90"), "worst class above the average under clean"),
        (LINE.replace('"BAT, Table 1"', ""), "says nothing under source"),
        (LINE.replace("paper", "hearsay"), "evidence 'hearsay'; allowed: paper, third-party, code-log"),
        (LINE.replace('Table 1"', 'Table 1"x'), "is not a readable CSV file"),
    ],
)
def test_a_malformed_line_is_refused(tmp_path: Path, line: str, message: str) -> None:
    file = write(tmp_path, line)
    with pytest.raises(UserError) as caught:
        read_published(file)
    assert message in str(caught.value)
    assert str(file) in str(caught.value)


def test_other_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"needs the columns method, base, .* found: method, score"):
        read_published(write(tmp_path, header="method,score"))


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / FILE
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is not a readable CSV file"):
        read_published(file)


def test_the_shipped_file_is_sound() -> None:
    """Every row has a number, and every kind of evidence occurs."""
    rows = read_published(SHIPPED)
    assert len(rows) == 140
    assert {row.evidence for row in rows} == set(EVIDENCE)
    for row in rows:
        assert not all(math.isnan(value) for found in (row.clean, row.pgd20, row.autoattack) for value in found)
