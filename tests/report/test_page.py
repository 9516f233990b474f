"""The page as a document: what it says, what it refuses to say, and that nothing in results can write into it."""

import html
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fairbench.errors import UserError
from fairbench.ranking import build_boards
from fairbench.report.page import render, report_is_current, write_site

WriteRun = Callable[..., Path]

VOID = {"meta", "link", "input", "br", "img"}


class Document(HTMLParser):
    """Tags in order, with their attributes; fails on a tag that is closed out of order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] not in ("script", "style"):
            self.text.append(data)

    def attributes(self, name: str) -> Iterator[str]:
        return (value for _, attributes in self.tags if (value := attributes.get(name)))


def page_of(results: Path, **options: list[str]) -> str:
    return render(build_boards(results, **options)).decode()


def words(page: str) -> str:
    """The visible text, with single spaces."""
    return " ".join("".join(Document(page).text).split())


def write_row(write_run: WriteRun, label: str, **values: object) -> None:
    for seed in range(3):
        write_run(label, seed=seed, **values)


def test_a_complete_board(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "fair", autoattack=(4, 4, 4), cost=1.7)
    write_row(write_run, "unfair", autoattack=(6, 5, 1))
    page = page_of(results)
    text = words(page)
    assert text.index("FAIR ") < text.index("UNFAIR ")
    assert "upper bounds" in text
    assert "Every method trains digits-cnn on digits" in text
    assert "1.70×" in text
    assert "Missing and failed" not in text
    assert "seed 2 40.0 %" in page, "every seed has its value in the text alternative"
    assert page.count('<circle cx="') == 6
    assert [attributes for _, attributes in Document(page).tags if attributes.get("aria-sort") == "ascending"]


def test_heat_map_has_every_class_under_every_attack(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "x", counts=(10, 0, 10), clean=(9, 0, 8), pgd20=(6, 0, 5), autoattack=(5, 0, 3))
    page = page_of(results)
    for value in ("90.0", "80.0", "60.0", "50.0", "30.0"):
        assert f'%">{value}</td>' in page
    assert page.count('title="no test images"') == 3, "an absent class is no data under each of three attacks"
    assert page.count("cell lowest") == 3
    assert "NaN" not in words(page)


def test_equal_results_give_equal_bytes(results: Path, write_run: WriteRun, tmp_path: Path) -> None:
    write_row(write_run, "b")
    write_row(write_run, "a")
    boards = build_boards(results)
    (path,) = write_site(boards, tmp_path / "site")
    first = path.read_bytes()
    moved = results.rename(tmp_path / "elsewhere")
    assert render(build_boards(moved)) == first
    assert str(tmp_path).encode() not in first


def test_check_notices_every_change(results: Path, write_run: WriteRun, tmp_path: Path) -> None:
    site = tmp_path / "site"
    write_row(write_run, "a")
    assert not report_is_current(build_boards(results), site)
    write_site(build_boards(results), site)
    assert report_is_current(build_boards(results), site)
    write_run("a", seed=1, autoattack=(5, 4, 2))
    assert not report_is_current(build_boards(results), site)


def test_no_results_say_what_to_run(results: Path) -> None:
    text = words(page_of(results))
    assert "No results yet" in text
    assert "fairbench run-all --suite digits" in text


def test_no_address_of_the_page_asks_for_anything(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "a")
    document = Document(page_of(results))
    assert not list(document.attributes("src"))
    for tag, attributes in document.tags:
        address = attributes.get("href")
        if address:
            assert address.startswith(("#", "data:,")) or tag == "a"
    assert "url(" not in page_of(results)
    assert "@import" not in page_of(results)


def test_internal_links_have_targets_and_ids_are_unique(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "a", warnings=["look here"])
    write_run("b", seed=0)
    write_run("t", role="teacher")
    write_row(write_run, "other", epsilon=0.1)
    document = Document(page_of(results, expected=["absld"]))
    ids = list(document.attributes("id"))
    assert len(ids) == len(set(ids))
    targets = {address[1:] for address in document.attributes("href") if address.startswith("#")}
    assert targets <= set(ids)
    assert set(document.attributes("aria-labelledby")) <= set(ids)


def test_incomplete_rows_are_shown_without_a_mean(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "good")
    write_run("two", seed=0, autoattack=(5, 4, 1))
    write_run("two", seed=1, autoattack=(5, 4, 2))
    write_run("bad", seed=0, status="failed", reason="the loss became NaN", failed_epoch=11)
    page = page_of(results, expected=["good", "absld"])
    text = words(page)
    assert "2 of the 3 seeds that a rank needs" in text
    assert "1 of 1 seeds failed" in text
    assert "failed in epoch 12: the loss became NaN" in text
    assert "Not run yet: absld" in text
    assert "TWO, seed 0" in text
    assert "TWO, seed 1" in text
    assert "15.0" not in text, "the mean of two seeds is never formed"


def test_only_incomplete_rows(results: Path, write_run: WriteRun) -> None:
    write_run()
    assert "No row is complete yet" in words(page_of(results))


def test_teachers_have_a_section(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "student")
    write_run("big-trades", role="teacher")
    text = words(page_of(results))
    assert "Teachers" in text
    assert "BIG-TRADES (teacher)" in text


def test_a_board_without_autoattack_says_so(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "screened", autoattack=None)
    text = words(page_of(results))
    assert "ranked by PGD-20" in text
    assert "AutoAttack worst class" not in text


def test_bad_files_are_named_and_the_rest_is_shown(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "good")
    cut = write_run("cut")
    cut.write_bytes(cut.read_bytes()[:100])
    newer = write_run("newer")
    table = pq.read_table(newer, partitioning=None)
    metadata = dict(table.schema.metadata)
    metadata[b"fairbench"] = metadata[b"fairbench"].replace(b'"schema": 1', b'"schema": 99')
    pq.write_table(table.replace_schema_metadata(metadata), newer)
    text = words(page_of(results))
    assert "2 files could not be used" in text
    assert "digits/cut/seed0.parquet is not a readable parquet file" in text
    assert "digits/newer/seed0.parquet has schema 99" in text
    assert "GOOD" in text


HOSTILE = """</script><script>alert(1)</script>"><img src=x onerror=alert(2)> ' & 🎈 {{ 7 * 7 }} a/b"""


def test_nothing_in_a_result_becomes_markup(results: Path, write_run: WriteRun) -> None:
    card = dict.fromkeys(("title", "authors", "venue", "year", "bibtex", "reason", "notes"), HOSTILE)
    values = {
        "method": HOSTILE,
        "card": card | {"link": "javascript:alert(1)", "reconstruction": True},
        "class_names": [HOSTILE, HOSTILE + "2", "ok"],
        "warnings": [HOSTILE],
        "hardware": HOSTILE,
        "changed": {HOSTILE: HOSTILE},
        "parameters": {HOSTILE: HOSTILE},
        "suite_title": HOSTILE,
        "suite": HOSTILE,
        "folder": "digits",
        "autoattack": (1, 4, 3),
    }
    write_row(write_run, "ranked", **values)
    failed = {"status": "failed", "reason": HOSTILE, "failed_epoch": 0}
    write_run("failed", **values | failed)
    page = page_of(results, expected=[HOSTILE + "not run"])
    document = Document(page)
    assert [tag for tag, _ in document.tags].count("script") == 1
    assert "img" not in {tag for tag, _ in document.tags}
    assert not any(name.startswith("on") for _, attributes in document.tags for name in attributes)
    assert "javascript:" not in page
    assert HOSTILE in html.unescape(page), "and yet it is shown as it is"
    assert "fairbench run-all --suite &#39;&lt;/script" in page, "a command to copy is quoted for the shell"


def test_only_our_script_may_run(results: Path) -> None:
    page = page_of(results)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert "default-src 'none'" in html.unescape(policy)
    assert "script-src 'sha256-" in html.unescape(policy)


def test_a_card_may_be_empty(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "nameless", card={})
    assert "nameless" in words(page_of(results))


def test_a_lone_surrogate_does_not_take_the_page_down(results: Path, write_run: WriteRun) -> None:
    write_run(status="failed", reason="\ud800", failed_epoch=0)
    assert b"failed" in render(build_boards(results))


@pytest.mark.parametrize("blocked", ["site", "site/index.html"])
def test_a_site_that_cannot_be_written_is_an_error(tmp_path: Path, results: Path, blocked: str) -> None:
    obstacle = tmp_path / blocked
    if blocked == "site":
        obstacle.write_text("a file where the folder should be", encoding="utf-8")
    else:
        obstacle.mkdir(parents=True)
    with pytest.raises(UserError, match="Cannot write"):
        write_site(build_boards(results), tmp_path / "site")


def test_a_large_board_stays_under_two_megabytes(results: Path, write_run: WriteRun) -> None:
    """Twenty methods, three seeds, a hundred classes."""
    hundred = [2] * 100
    for number in range(20):
        write_row(write_run, f"method-{number}", counts=hundred, clean=hundred, pgd20=hundred, autoattack=hundred)
    assert len(render(build_boards(results))) < 2_000_000


def test_a_board_needs_no_torch() -> None:
    program = (
        "import sys, fairbench.ranking, fairbench.report.page, fairbench.report.terminal\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
