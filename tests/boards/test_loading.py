"""`fairbench.load_results`: folders, released versions, sites on a server; what is wrong is one sentence."""

import io
import json
import os
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fairbench import load_results
from fairbench.boards.building import build_boards
from fairbench.errors import UserError
from fairbench.outcomes.board_version import BoardVersion, content_sha256, read_versions, write_versions
from fairbench.outcomes.version_archive import pack
from fairbench.outcomes.version_index import archive_of, index_json
from fixture_types import WriteRun

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def board(results: Path, write_run: WriteRun) -> Path:
    """Two ranked rows, an incomplete one, one from elsewhere."""
    for seed in range(3):
        write_run("good", seed=seed, autoattack=(6, 5, 4))
        write_run("pgd-at", seed=seed, autoattack=(5, 4, 3))
    write_run("begun")
    write_run("external-zoo", role="external")
    return results


@pytest.fixture
def released(board: Path, tmp_path: Path) -> Path:
    """A site on the disk that publishes version 1 of the board."""
    folder = board / "digits" / "versions" / "1"
    for path in sorted(board.glob("*/*/seed*.parquet")):
        copy = folder / path.relative_to(board)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    version = BoardVersion(
        suite="digits",
        number=1,
        released="2026-11-30",
        protocol="fairbench-2",
        engine="fairbench 4",
        sha256=content_sha256(folder),
        note='The "first".',
    )
    write_versions(board, [version])
    assert read_versions(board, "digits") == (version,)
    site = tmp_path / "site"
    (site / archive_of(version)).parent.mkdir(parents=True)
    (site / archive_of(version)).write_bytes(pack(folder))
    (site / "versions.json").write_text(index_json([version]), encoding="utf-8")
    return site


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and counts what is asked for."""

    asked: list[str]

    def log_message(self, *arguments: Any) -> None:
        del arguments
        if self.command == "GET":
            self.asked.append(self.path)


@pytest.fixture
def served(released: Path) -> Iterator[tuple[str, list[str]]]:
    """The site behind an address, and what was asked of it."""
    asked: list[str] = []
    handler = partial(type("Handler", (Quiet,), {"asked": asked}), directory=str(released))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()
    thread.join()


def test_one_line_per_run_class_and_attack(board: Path) -> None:
    table = load_results(board)
    assert len(table) == (3 + 3 + 1 + 1) * 3 * 3
    line = table.query("label == 'good' and seed == 2 and attack == 'autoattack'").set_index("class").loc["1"]
    assert (line["images"], line["correct"], line["accuracy"]) == (10, 5, 0.5)
    assert (line["suite"], line["protocol"], line["tier"], line["kind"]) == ("digits", "fairbench-2", "full", "ranked")
    assert not table.isna().any().any()


def test_one_line_per_method_says_what_the_board_says(board: Path) -> None:
    table = load_results(board, by="method").set_index("label")
    assert list(table.index) == ["good", "pgd-at", "begun", "external-zoo"]
    found = build_boards(board).boards[0].standings["worst"]
    assert table.loc["good", "worst"] == pytest.approx(0.4)
    assert [table.loc["good", f"worst{end}"] for end in ("_low", "_high")] == found.intervals[0].tolist()
    assert [table.loc["good", f"worst_{end}_place"] for end in ("first", "last")] == found.ranks[0].tolist()
    assert table.loc["pgd-at", "average"] == pytest.approx(0.4)
    assert table.loc["good", "average+worst"] == pytest.approx(0.9)
    assert [table.loc[label, "rank"] for label in ("good", "pgd-at")] == [1, 2]
    assert table.loc["pgd-at", "worst_against_baseline"] == 0
    assert table["worst"].isna().tolist() == [False, False, True, False], "an incomplete row has no mean"
    assert table.loc["begun", "reason"] == "1 of the 3 seeds that a rank needs"
    assert table.loc["external-zoo", "worst"] == pytest.approx(0.3)
    assert table.loc["external-zoo", ["rank", "worst_low", "worst_group"]].isna().all()


def test_a_failed_seed_has_no_lines(results: Path, write_run: WriteRun) -> None:
    write_run("a", seed=0)
    write_run("a", seed=1, status="failed", reason="collapse")
    assert set(load_results(results)["seed"]) == {0}
    assert load_results(results, by="method").loc[0, "reason"] == "1 of 2 seeds failed"


def test_a_version_by_tag_from_an_address(served: tuple[str, list[str]], tmp_path: Path, board: Path) -> None:
    """The same table as from its folder; fetched once, and with its digest not even the list is asked for."""
    address, asked = served
    cache = tmp_path / "cache"
    table = load_results(address, version="digits-1", cache=cache)
    assert table.equals(load_results(board, version="digits-1"))
    assert sum("results.zip" in path for path in asked) == 1
    asked.clear()
    assert load_results(f"{address}/", version="digits-1", cache=cache, by="method").equals(
        load_results(board, version="digits-1", by="method")
    )
    assert not any("results.zip" in path for path in asked)
    asked.clear()
    sha256 = read_versions(board, "digits")[0].sha256
    assert load_results(address, version="digits-1", sha256=sha256, cache=cache).equals(table)
    assert asked == []


def test_a_damaged_cache_is_fetched_again(released: Path, tmp_path: Path, board: Path) -> None:
    cache = tmp_path / "cache"
    table = load_results(released, version="digits-1", cache=cache)
    (file,) = cache.glob("*/digits/good/seed0.parquet")
    file.write_bytes(b"junk")
    assert load_results(released, version="digits-1", cache=cache).equals(table)
    assert [path.name for path in cache.iterdir()] == [content_sha256(board / "digits/versions/1")]


def test_the_default_cache_is_where_caches_are(released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    load_results(released, version="digits-1")
    assert len(list((tmp_path / "caches" / "fairbench").iterdir())) == 1


def other_content(site: Path) -> None:
    (path,) = site.glob("versions/*/results.zip")
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as packed, zipfile.ZipFile(path, "w") as changed:
        for entry in packed.infolist()[:-1]:
            changed.writestr(entry, packed.read(entry))


def with_entry(name: str) -> Callable[[Path], None]:
    def add(site: Path) -> None:
        (path,) = site.glob("versions/*/results.zip")
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(name, b"x")

    return add


def claiming(size: int) -> Callable[[Path], None]:
    """An entry that says it is that large."""

    def claim(site: Path) -> None:
        (path,) = site.glob("versions/*/results.zip")
        content = bytearray(path.read_bytes())
        at = content.rindex(b"PK\x01\x02")
        content[at + 24 : at + 28] = size.to_bytes(4, "little")
        path.write_bytes(content)

    return claim


def truncated(site: Path) -> None:
    (path,) = site.glob("versions/*/results.zip")
    path.write_bytes(path.read_bytes()[:-100])


def gone(site: Path) -> None:
    next(site.glob("versions/*/results.zip")).unlink()


def listing(**changes: Any) -> Callable[[Path], None]:
    """A list of versions that says something else."""

    def change(site: Path) -> None:
        path = site / "versions.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(content | {"versions": [content["versions"][0] | changes]}), encoding="utf-8")

    return change


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (other_content, "was damaged on the way, or changed after its release. Nothing of it was kept."),
        (
            with_entry("../../evil"),
            "holds '../../evil', which is no outcome file and no receipt; nothing was unpacked.",
        ),
        (with_entry("digits/x/seed0.py"), "holds 'digits/x/seed0.py', which is no outcome file"),
        (claiming(2**32 - 2), "unpacks to more than 1024 MiB; nothing was unpacked."),
        (truncated, "is no readable zip archive"),
        (gone, "There is no "),
        (listing(number=0), "has versions of a wrong type: versions"),
        (listing(suite="../.."), "has versions of a wrong type: versions"),
        (listing(surprise=1), "has versions of a wrong type: versions"),
    ],
)
def test_what_a_site_may_not_publish(released: Path, tmp_path: Path, damage: Callable[[Path], None], said: str) -> None:
    damage(released)
    with pytest.raises(UserError, match=re.escape(said)):
        load_results(released, version="digits-1", cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*")), "nothing is kept"
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "Say which version of .* is meant, version='digits-1'; it has digits-1."),
        ({"version": "digits-2"}, "Unknown version of .* 'digits-2'. Did you mean 'digits-1'"),
        ({"version": "digits-1", "sha256": "f" * 64}, "has the digest .*, not f{64}, which was asked for"),
        ({"version": "digits-1", "by": "class"}, "by = 'class' is not allowed; allowed: run, method."),
    ],
)
def test_what_cannot_be_meant(released: Path, tmp_path: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        load_results(released, cache=tmp_path / "cache", **given)


def test_a_folder_that_cannot_be_used(results: Path, write_run: WriteRun, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"There is no folder .*elsewhere; give one of results, or the address of a site"
    ):
        load_results(tmp_path / "elsewhere")
    results.mkdir()
    with pytest.raises(UserError, match="holds no results; run `fairbench run-all` first"):
        load_results(results)
    with pytest.raises(UserError, match="has released no version of a board yet"):
        load_results(results, version="digits-1")
    with pytest.raises(UserError, match="is the digest of a released version; say which one"):
        load_results(results, sha256="f" * 64)
    write_run("good").write_bytes(b"junk")
    with pytest.raises(UserError, match=r"is not a readable parquet file.* a table without it would mislead"):
        load_results(results)


def test_a_released_folder_that_was_changed(board: Path, released: Path) -> None:
    assert released.is_dir()
    next(board.glob("digits/versions/1/*/good/seed0.parquet")).unlink()
    with pytest.raises(UserError, match=r"versions/1 has the digest .*; restore it from where it was released"):
        load_results(board, version="digits-1")


def test_nobody_is_there() -> None:
    with pytest.raises(UserError, match=r"Cannot read http://127.0.0.1:9/versions.json: Client"):
        load_results("http://127.0.0.1:9", version="digits-1")
    with pytest.raises(
        UserError, match=r"Cannot read nowhere://x/versions.json: ValueError: Protocol not known: nowhere"
    ):
        load_results("nowhere://x", version="digits-1")


def test_the_five_lines_of_the_readme_draw_a_plot(served: tuple[str, list[str]], tmp_path: Path) -> None:
    """As they stand there, from another address; and without torch."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code = next(
        block for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL) if "load_results(" in block
    )
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) == 5
    code = code.replace("https://fairbench.github.io/fairbench", served[0]).replace("cifar10-small-1", "digits-1")
    assert served[0] in code
    code = f"import matplotlib\nmatplotlib.use('agg')\n{code}\nimport sys\nassert 'torch' not in sys.modules"
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "MPLCONFIGDIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert run.returncode == 0, run.stderr
    (picture,) = tmp_path.glob("*.png")
    assert picture.stat().st_size > 5_000
