"""What the pages share: libraries as they were published, with their licences, in the package and in every site."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fairbench.boards.building import build_boards
from fairbench.report.site.page import report_is_current, write_site
from fairbench.report.site.shared_files import shared_files

VENDOR = "assets/vendor/"
LIBRARIES = [name for name in shared_files() if name.startswith(VENDOR) and name.endswith(".js")]


def test_there_are_three_libraries() -> None:
    assert [name.removeprefix(VENDOR) for name in LIBRARIES] == ["d3.min.js", "dataTables.min.js", "plot.umd.min.js"]


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_library_is_the_published_file_with_its_licence(name: str) -> None:
    files = shared_files()
    stated = dict(re.findall(r"\| (\S+\.js) \|.*\| ([0-9a-f]{64}) \|", files[f"{VENDOR}README.md"].decode()))
    assert hashlib.sha256(files[name]).hexdigest() == stated[name.removeprefix(VENDOR)]
    licence = files[f"{name.split('.', maxsplit=1)[0]}.LICENSE"].decode()
    assert "Copyright" in licence
    assert re.search("Permission( to use,.*)? is hereby granted|Permission to use, copy, modify", licence)


def test_every_file_that_a_page_refers_to_is_in_the_site(
    results: Path, write_run: Callable[..., Path], tmp_path: Path
) -> None:
    for seed in range(3):
        write_run("a", seed=seed)
    pages = [path for path in write_site(build_boards(results), tmp_path) if path.suffix == ".html"]
    assert len(pages) == 2
    for page in pages:
        found = re.findall(r'(?:src|href)="([^"]*assets/[^"]*)"', page.read_text(encoding="utf-8"))
        assert len(found) >= 8
        for address in found:
            assert (page.parent / address).is_file()


def test_a_site_with_another_shared_file_is_stale(results: Path, tmp_path: Path) -> None:
    boards = build_boards(results)
    write_site(boards, tmp_path)
    assert report_is_current(boards, tmp_path)
    left_over = tmp_path / "assets" / "vendor" / "old.js"
    left_over.write_text("old", encoding="utf-8")
    assert not report_is_current(boards, tmp_path)
    write_site(boards, tmp_path)
    assert not left_over.exists()
    (tmp_path / "assets" / "page.css").write_text("changed", encoding="utf-8")
    assert not report_is_current(boards, tmp_path)
