"""The page as a document: what it says, what it refuses to say, and that nothing in results can write into it."""

import html
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fairbench.boards.building import build_boards
from fairbench.errors import UserError
from fairbench.outcomes.store import read_outcomes
from fairbench.report.site.page import pages, render, report_is_current, write_site
from fixture_types import WriteRun

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


def page_of(results: Path, *, expected: Sequence[str] = ()) -> str:
    return render(build_boards(results, expected=expected, draws=100)).decode()


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
    dots = re.findall(r'<svg class="dots".*?</svg>', page, flags=re.DOTALL)
    assert sum(dot.count("<circle") for dot in dots) == 6
    assert [attributes for _, attributes in Document(page).tags if attributes.get("aria-sort") == "ascending"]


def test_the_rank_picture_says_how_often_a_row_is_the_first(results: Path, write_run: WriteRun) -> None:
    """By every key that is not another one on so few classes."""
    write_row(write_run, "fair", autoattack=(4, 4, 4))
    write_row(write_run, "unfair", autoattack=(6, 5, 1))
    boards = build_boards(results, draws=100)
    text = words(render(boards).decode())
    standings = boards.boards[0].standings
    titles = {"worst": "worst class", "average": "average", "average+worst": "average + worst class"}
    assert f"Ranks by average{''.join(f'Best by {title}, %' for title in titles.values())}" in text, (
        "one column for each"
    )
    for row, name in enumerate(("FAIR", "UNFAIR")):
        assert f"{name}1–21–2{''.join(f'{100 * standings[key].best[row]:.1f}' for key in titles)}" in text
    assert "the share of 100 resamples of seeds and images that the row wins, a tie shared" in text
    assert "proves no order" in text


def test_heat_map_has_every_class_under_every_attack(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "x", counts=(10, 0, 10), clean=(9, 0, 8), pgd20=(6, 0, 5), autoattack=(5, 0, 3))
    page = page_of(results)
    for value in ("90.0", "80.0", "60.0", "50.0", "30.0"):
        assert f"%>{value}</td>" in page
    assert page.count('title="no test images"') == 3, "an absent class is no data under each of three attacks"
    assert page.count('class="lowest"') == 3
    assert "NaN" not in words(page)


def test_equal_results_give_equal_bytes(results: Path, write_run: WriteRun, tmp_path: Path) -> None:
    write_row(write_run, "b")
    write_row(write_run, "a")
    boards = build_boards(results)
    path = write_site(boards, tmp_path / "site")[0]
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


def test_pages_of_rows_that_are_gone_are_noticed_and_removed(
    results: Path, write_run: WriteRun, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    write_row(write_run, "stays")
    write_row(write_run, "goes")
    site.mkdir()
    (site / "README.md").write_text("ours", encoding="utf-8")
    assert all(path.is_file() for path in write_site(build_boards(results), site))
    shutil.rmtree(results / "digits" / "goes")
    (gone,) = site.glob("methods/*/goes.html")
    without = build_boards(results)
    for path in write_site(without, tmp_path / "fresh"):
        shutil.copy(path, site / path.relative_to(tmp_path / "fresh"))
    assert not report_is_current(without, site), "although all that should be there is"
    another = site / "downloads" / ".board.csv.k2j4.tmp"  # which another command writes
    another.touch()
    write_site(without, site)
    assert report_is_current(without, site)
    assert another.exists()
    assert not gone.exists()
    assert (site / "README.md").exists(), "what is not generated is left alone"


def test_no_results_say_what_to_run(results: Path) -> None:
    text = words(page_of(results))
    assert "No results yet" in text
    assert "fairbench run-all --suite digits" in text


def test_no_address_of_the_page_asks_for_anything(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "a")
    document = Document(page_of(results))
    assert all(address.startswith("assets/") for address in document.attributes("src"))
    for tag, attributes in document.tags:
        address = attributes.get("href")
        if address:
            assert address.startswith(("#", "data:,", "assets/")) or tag == "a"


def test_internal_links_have_targets_and_ids_are_unique(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "a", warnings=["look here"])
    write_run("b", seed=0)
    write_run("t", role="teacher")
    write_row(write_run, "other", epsilon=0.1)
    write_row(write_run, "a", evaluation=FAST)
    write_row(write_run, "f", evaluation=FAST)
    write_run("external-b", role="external")
    write_run("external-c", role="external", counts=(9, 9, 9))
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
    assert "BIG-TRADES" in text


FAST = {"tier": "fast"}


def test_a_fast_board_says_what_was_left_out_and_what_that_leaves_open(results: Path, write_run: WriteRun) -> None:
    """One audited image of every class is so few that all others could be broken."""
    for seed, survivors in enumerate([(5, 4, 3), (5, 4, 2), (5, 5, 5)]):
        write_run("a", seed=seed, evaluation=FAST, autoattack=survivors, clean=(9, 9, 9), pgd20=(8, 8, 8))
    page = page_of(results)
    text = words(page)
    assert "FAB and Square were left out but for an audit: a random 10 % of the survivors" in text
    assert "the first two attacks of standard AutoAttack, APGD-CE and targeted APGD, within" in text
    assert "not judged by all of AutoAttack" in text
    assert "seed 2, audit: 0 of 3 broken; at most 12 of 12 others could be (95 %)" in text, (
        "a row shows its weakest audit"
    )
    assert ">AutoAttack<" not in page, "the column is not called what it is not"
    (own,) = (content.decode() for name, content in pages(build_boards(results)).items() if name.endswith("/a.html"))
    assert "0 of 3 broken; at most 8 of 8 others could be (95 %)" in words(own), "the page of the row shows all of them"
    assert ">3 of 4<small>1 audited</small>" in own, "and the bound of every class"


def test_a_full_board_shows_no_audit(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "a")
    text = words(page_of(results))
    assert "audit:" not in text
    assert "audited" not in text


def test_promotions_are_shown_with_their_reason(results: Path, write_run: WriteRun) -> None:
    reason = "1 of 3 audited images were broken by FAB or Square"
    write_row(write_run, "sound", evaluation=FAST)
    write_run("doubtful", seed=0, evaluation=FAST)
    write_run("doubtful", seed=1, evaluation=FAST, tier="full", promotion=reason)
    write_run("gone", seed=0, evaluation=FAST, tier="full", promotion=reason)
    full, fast = words(page_of(results, expected=["gone"])).split("tier fast Every method")
    assert f"seed 1 was promoted to full: {reason}; run the others with --tier full" in fast
    assert "All runs of gone were promoted to a higher tier" in fast
    assert reason in full
    assert "DOUBTFUL" in full
    assert "Not run yet" not in fast


def test_a_command_to_copy_fills_the_board_that_it_stands_on(results: Path, write_run: WriteRun) -> None:
    write_run("a", evaluation={"tier": "fast", "engine": "reference"})
    text = words(page_of(results, expected=["absld"]))
    assert "fairbench run-all --suite digits --tier fast --engine reference" in text
    assert "standard AutoAttack (by pyautoattack)" in text


def test_a_search_in_bf16_is_named(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "a", evaluation={"search": "bf16"})
    assert "searched for in bf16, which can miss some, and verified in fp32" in words(page_of(results))


def test_models_trained_elsewhere_stand_beside_the_methods(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "ours")
    remark = "The prefix 'module.' was removed."
    for seed in range(2):
        write_run("external-theirs", seed=seed, role="external", autoattack=(7, 7, seed), warnings=[remark])
    page = page_of(results)
    text = words(page)
    assert "Trained elsewhere" in text
    assert remark in text
    assert any(
        b"model = robustbench:Carmon2019Unlabeled" in content for content in pages(build_boards(results)).values()
    )
    assert "theirs (trained elsewhere), seed 1" in text, "classes and flags are shown seed by seed"
    assert not re.search(r"\b5\.0\b", text), "the mean of its worst classes is never formed"
    assert "epoch 0 selected" not in text.partition("external-theirs Model")[2].partition("Flags")[0]


def test_models_trained_elsewhere_alone(results: Path, write_run: WriteRun) -> None:
    write_run("external-theirs", role="external")
    text = words(page_of(results, expected=["absld"]))
    assert "Models that were trained elsewhere are attacked on 30 test images of digits (3 classes) by PGD-20" in text
    assert "Suite" not in text
    assert "No row is complete yet" not in text
    assert "absld" not in text, "a board that nobody can fill misses nothing"


def test_flags_are_a_table_that_is_folded(results: Path, write_run: WriteRun) -> None:
    flags = {"randomised": False, "zero_gradient_share": 0.0123, "pgd_aa_gap_pp": 11.25, "train_mode_modules": ["<b>"]}
    write_row(write_run, "a", flags=flags)
    write_run("b", evaluation=FAST, tier="full", promotion="APGD is 11.2 points below PGD-20", flags=flags)
    write_run("teacher", role="teacher", flags=flags)
    write_run("external-c", role="external", flags=flags)
    page = page_of(results)
    (details,) = re.findall(r'<details class="flags">.*?</details>', page, flags=re.DOTALL)
    assert re.findall(r'<th scope="row">([^<]*)</th>', details) == [
        *(f"A, seed {seed}" for seed in range(3)),
        "B, seed 0",
        "TEACHER, seed 0",
        "c (trained elsewhere), seed 0",
    ]
    for value in ("no", "1.2", "11.25", "&lt;b&gt;", "–"):
        assert details.count(f"<td>{value}</td>") >= 6
    assert details.count('<td class="long">APGD is 11.2 points below PGD-20</td>') == 1


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
    metadata[b"fairbench"] = metadata[b"fairbench"].replace(b'"schema": 2', b'"schema": 99')
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
    path = write_run("external-x", role="external")
    description = read_outcomes(path).provenance.description
    description["external"] = {"name": HOSTILE, "model": HOSTILE, HOSTILE: [HOSTILE]}
    flags = {"randomised": HOSTILE, "train_mode_modules": [HOSTILE], "order_violations": [HOSTILE], "nonfinite": {}}
    promoted = {"evaluation": {"tier": "fast"}, "tier": "full", "promotion": HOSTILE, "flags": flags}
    write_row(write_run, "promoted", **values | promoted)
    path.unlink()
    write_run("external-x", **values | {"role": "external", "description": description, "card": {}, "flags": flags})
    write_run("external-y", **values | {"role": "external", "description": description, "counts": (9, 9, 9)})
    site = pages(build_boards(results, expected=[HOSTILE + "not run"]))
    assert len(site) > 7
    for page in (content.decode() for name, content in site.items() if name.endswith(".html")):
        document = Document(page)
        scripts = [attributes for tag, attributes in document.tags if tag == "script"]
        assert all((one["src"] or "").removeprefix("../../").startswith("assets/") for one in scripts)
        assert page.count("></script>") == len(scripts), "none has a text"
        assert "img" not in {tag for tag, _ in document.tags}
        assert not any(name.startswith("on") for _, attributes in document.tags for name in attributes)
        assert "javascript:" not in page
        assert HOSTILE in html.unescape(page), "and yet it is shown as it is"
    page = site["index.html"].decode()
    assert page.count(">promoted</span>") == 1
    assert "fairbench run-all --suite &#39;&lt;/script" in page, "a command to copy is quoted for the shell"


def test_only_files_of_the_site_may_run(results: Path) -> None:
    page = html.unescape(page_of(results))
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert "default-src 'none'; script-src 'self' file:; " in policy
    assert "unsafe-eval" not in policy


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


@pytest.mark.parametrize(("rows", "classes"), [(25, 10), (20, 100)])
def test_a_site_is_small(results: Path, write_run: WriteRun, rows: int, classes: int) -> None:
    """With libraries, downloads, and the history of a long training."""
    counts = [100] * classes
    robust = [20 + k % 50 for k in range(classes)]
    history = [{"validation_robust": [(epoch * (k + 3) % 97) / 97 for k in range(classes)]} for epoch in range(110)]
    names = [f"class {k}" for k in range(classes)]
    for number in range(rows):
        write_row(
            write_run,
            f"method-{number}",
            counts=counts,
            clean=[90] * classes,
            pgd20=robust,
            autoattack=robust,
            class_names=names,
            history=history,
        )
    assert sum(map(len, pages(build_boards(results, draws=100)).values())) < 2_000_000


def test_a_board_needs_no_torch() -> None:
    program = (
        "import sys, fairbench.boards.building, fairbench.report.site.page, fairbench.report.terminal.table\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
