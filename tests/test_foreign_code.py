"""Foreign files: what they may import, when they run again, and how their errors are told."""

import colorsys
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import fairbench
from fairbench.errors import UserError
from fairbench.foreign_code import ForeignFile, run_foreign
from fairbench.losses import margin
from fairbench.store import read_outcomes

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    """Writes a real file; what was loaded of it is forgotten afterwards."""

    def to_file(name: str, source: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
        return path

    before, path, finders = set(sys.modules), list(sys.path), list(sys.meta_path)
    yield to_file
    added = set(sys.modules) - before
    for name in added:
        del sys.modules[name]
    assert all(name.startswith("fairbench_once_") for name in added)  # nothing under a name that others could import
    assert (sys.path, sys.meta_path) == (path, finders)


def loaded(path: Path) -> dict[str, object]:
    return vars(ForeignFile.read(path, called="the plug-in").module())


def test_a_file_imports_what_lies_beside_it(write: Write, tmp_path: Path) -> None:
    """Modules and packages, which import one another; no folder for caches is left."""
    write("helper.py", "import other\nVALUE = other.VALUE + 1\n")
    write("other.py", "VALUE = 1\nimport helper\n")
    write("parts/__init__.py", "from .deep import VALUE\n")
    write("parts/deep.py", "VALUE = 7\n")
    mine = write(
        "mine.py", "import helper\nfrom parts.deep import VALUE as deep\nimport parts\nfrom other import VALUE\n"
    )
    found = loaded(mine)
    assert (found["VALUE"], found["deep"]) == (1, 7)
    assert vars(found["helper"])["VALUE"] == 2
    assert not list(tmp_path.rglob("__pycache__"))


def test_names_that_moved_are_still_found(write: Write) -> None:
    source = (
        "from fairbench.losses import cross_entropy, kl_divergence, margin\nfrom fairbench.store import read_outcomes\n"
    )
    found = loaded(write("mine.py", source))
    assert found["margin"] is margin is fairbench.margin
    assert found["read_outcomes"] is read_outcomes is fairbench.read_outcomes


def test_what_lies_beside_can_be_named_by_a_leading_dot(write: Write) -> None:
    """As in the package that the file once was part of, or will be; it is the same module as without the dot."""
    write("helper.py", "from .other import VALUE\nclass Thing:\n    value = VALUE\n")
    write("other.py", "VALUE = 1\n")
    write("parts/deep.py", "from ..other import VALUE\n")
    source = "from .helper import Thing\nfrom . import other\nimport helper\nfrom .parts.deep import VALUE\n"
    mine = write("mine.py", source)
    found = loaded(mine)
    assert found["Thing"] is vars(found["helper"])["Thing"]
    assert (vars(found["other"])["VALUE"], found["VALUE"]) == (1, 1)
    assert vars(found["Thing"])["value"] == 1
    write("other.py", "VALUE = 2\n")
    assert loaded(mine)["VALUE"] == 2


def test_a_folder_is_a_package_if_it_holds_code(write: Write) -> None:
    """Folders of code often lack an `__init__.py`; the logs that a library left are not that library."""
    write("nets/small.py", "SIZE = 3\n")
    write("absent_library/log.txt", "")
    mine = write(
        "mine.py", "from nets.small import SIZE\ntry:\n    import absent_library\nexcept ImportError:\n    SIZE += 1\n"
    )
    assert loaded(mine)["SIZE"] == 4


def test_helpers_of_one_name_are_not_mixed_up(write: Write) -> None:
    """Each file has its own, also when the first is asked for again."""
    for folder in ("a", "b"):
        write(f"{folder}/helper.py", f"FOLDER = {folder!r}\n")
        write(f"{folder}/mine.py", "import helper\n")
    paths = [write(f"{folder}/mine.py", "from helper import FOLDER\n") for folder in ("a", "b", "a")]
    assert [loaded(path)["FOLDER"] for path in paths] == ["a", "b", "a"]


def test_what_a_helper_defines_is_found_where_annotations_are_resolved(write: Write) -> None:
    write("helper.py", "from __future__ import annotations\nfrom pathlib import Path\nclass Thing:\n    path: Path\n")
    found = loaded(write("mine.py", "from typing import get_type_hints\nfrom helper import Thing\n"))
    hints = found["get_type_hints"]
    assert callable(hints)
    assert hints(found["Thing"]) == {"path": Path}


def test_a_helper_hides_nothing_that_can_be_imported_anyway(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, colorsys.__name__)  # so that it has to be found
    for name in ("json.py", "fairbench.py", "colorsys.py"):
        write(name, "raise RuntimeError('not this one')")
    found = loaded(write("mine.py", "import json, fairbench\nfrom colorsys import rgb_to_hls\n"))
    assert found["json"] is sys.modules["json"]
    assert found["fairbench"] is sys.modules["fairbench"]


def test_a_file_runs_again_when_it_or_a_helper_is_edited_and_else_not(write: Write) -> None:
    """Also within a second, and with as many bytes as before."""
    mine = write("mine.py", "from helper import VALUE\n")
    write("helper.py", "VALUE = 1\n")
    first = loaded(mine)
    assert loaded(mine) is first
    write("helper.py", "VALUE = 2\n")
    second = loaded(mine)
    assert (first["VALUE"], second["VALUE"]) == (1, 2)
    assert loaded(mine) is second
    write("mine.py", "from helper import VALUE as OTHER\n")
    assert loaded(mine)["OTHER"] == 2


@pytest.mark.parametrize(
    ("helper", "said"),
    [
        ("x = 1\nraise KeyError('gone')\n", r"KeyError: 'gone' \(.*helper\.py, line 2\)\.$"),
        ("import sys\nsys.exit(3)\n", r"SystemExit: 3 \(.*helper\.py, line 2\)\.$"),
        ("def f(:\n", r"SyntaxError: .*helper\.py, line 1\)\.$"),
        ("import no_such_library\n", r"No module named 'no_such_library' \(.*helper\.py, line 1\)\. Install it or put"),
        (
            "import absent_helper\n",
            r"No module named 'absent_helper' \(.*helper\.py, line 1\)\. Install it or put it beside",
        ),
        ("import json\n\njson.loads('{')\n", r"JSONDecodeError: .*helper\.py, line 3\)\.$"),
        (
            "from fairbench.hyperparameter import x\n",
            r"line 1\)\. Whatever authors need is imported from fairbench itself",
        ),
    ],
)
def test_an_error_is_told_where_it_arose(write: Write, helper: str, said: str) -> None:
    """In the helper, if that is where it was; and nothing half-imported is left behind."""
    write("helper.py", helper)
    mine = write("mine.py", "\nimport helper\n")
    before = set(sys.modules)
    for _ in range(2):
        with pytest.raises(UserError, match=f"^The plug-in {mine} cannot be imported: .*{said}"):
            loaded(mine)
    assert not [name for name in set(sys.modules) - before if name.startswith("fairbench_once_")]


def test_a_passing_module_runs_anew_and_leaves_no_trace(write: Write) -> None:
    write("helper.py", "calls = []\n")
    file = ForeignFile.read(write("mine.py", "import helper\nhelper.calls.append(1)\n"), called="the model")
    before = set(sys.modules)
    for _ in range(2):
        with file.passing_module() as module:
            assert module.helper.calls == [1]
        assert set(sys.modules) == before


def test_what_a_call_raises_is_a_sentence_with_advice() -> None:
    def fails() -> None:
        raise RuntimeError("  many\n words ")

    def leaves() -> None:
        raise SystemExit(4)

    with pytest.raises(
        UserError, match=r"^It failed: RuntimeError: many words \(.*test_foreign_code\.py, line \d+\)\. Do that\.$"
    ):
        run_foreign(fails, "It failed", advice="Do that.", missing="Not this.")
    with pytest.raises(UserError, match=r"^It left: SystemExit: 4 \("):
        run_foreign(leaves, "It left")
    with pytest.raises(KeyboardInterrupt):
        run_foreign(interrupted, "It was interrupted")
    assert run_foreign(lambda: 3, "It works") == 3


def interrupted() -> None:
    raise KeyboardInterrupt
