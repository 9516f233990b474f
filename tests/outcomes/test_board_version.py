"""Released versions of a board: their file, their digest, and what is wrong with either."""

import re
import subprocess
from pathlib import Path

import pytest

from fairbench.errors import UserError
from fairbench.outcomes.board_version import (
    BoardVersion,
    content_sha256,
    read_versions,
    released_suites,
    version_files,
    write_versions,
)
from fixture_types import WriteRun

FIRST = BoardVersion(
    suite="digits",
    number=1,
    released="2026-08-01",
    protocol="fairbench-2",
    engine="fairbench 4",
    sha256="a" * 64,
    note='Says "yes" \\ and ü.',
)
SECOND = BoardVersion(
    suite="digits",
    number=2,
    released="2026-11-30",
    protocol="fairbench-2",
    engine="fairbench 5",
    sha256="b" * 64,
)


def test_what_is_written_is_read(results: Path) -> None:
    path = write_versions(results, [FIRST, SECOND])
    assert read_versions(results, "digits") == (FIRST, SECOND)
    assert released_suites(results) == ["digits"]
    assert "\nreleased = 2026-08-01\n" in path.read_text(encoding="utf-8"), "a date, which people can compare"
    assert (SECOND.tag, SECOND.folder(results)) == ("digits-2", results / "digits/versions/2")
    assert read_versions(results, "mnist") == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("versions = 1", "holds versions; allowed: a list of tables"),
        ("", "holds nothing; allowed: a list of tables"),
        ("[[versions]]\nnumber = 2", "The field 'versions.released' is missing"),
        ("[[versions]", "is not readable TOML"),
        ("VERSION\nnumber = 2", "numbers its versions 2; allowed: 1, 2, 3, ..."),
        (
            "VERSION\nnumber = 1\nreleased = 'yesterday'",
            "versions.released = 'yesterday' is not allowed; allowed: a date",
        ),
        ("VERSION\nnumber = 1\nsha256 = 'no'", "versions.sha256 = 'no' is not allowed"),
        ("VERSION\nnumber = 1\nrows = 3", "Unknown field 'versions.rows'"),
        ("versions = [1]", "versions = 1 must be tables"),
    ],
)
def test_a_file_that_cannot_be_used(results: Path, text: str, said: str) -> None:
    """It is named, and what is allowed is said."""
    values = {
        "released": "2026-08-01",
        "protocol": "'fairbench-2'",
        "engine": "'fairbench 4'",
        "sha256": f"'{'a' * 64}'",
    }
    given = [name for name in values if f"{name} =" in text]
    head = "\n".join(["[[versions]]", *(f"{name} = {value}" for name, value in values.items() if name not in given)])
    (results / "digits").mkdir(parents=True)
    (results / "digits" / "board.toml").write_text(text.replace("VERSION", head), encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(said)):
        read_versions(results, "digits")


def test_the_digest_is_what_sha256sum_prints(results: Path, write_run: WriteRun, write_receipt_of: WriteRun) -> None:
    write_receipt_of(write_run("b"))
    write_run("a", seed=1)
    for stray in ("digits/a/notes.txt", "digits/a/.seed2.parquet.x.tmp", "digits/versions/1/digits/a/seed0.parquet"):
        (results / stray).parent.mkdir(parents=True, exist_ok=True)
        (results / stray).write_bytes(b"x")
    names = [path.relative_to(results).as_posix() for path in version_files(results)]
    assert names == ["digits/a/seed1.parquet", "digits/b/seed0.parquet", "digits/b/seed0.verified.json"]
    command = f"sha256sum {' '.join(names)} | sha256sum"
    printed = subprocess.run(["/bin/sh", "-c", command], cwd=results, capture_output=True, encoding="utf-8", check=True)
    assert content_sha256(results) == printed.stdout.split()[0]
