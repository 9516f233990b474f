"""Bundled code by its hash: the same that the code had when it ran, without running it."""

from pathlib import Path

import pytest

from fairbench.errors import UserError
from fairbench.foreign_code import ForeignFile
from fairbench.submission.bundle import SubmittedCode
from fairbench.submission.code import bundled_sha256


@pytest.mark.parametrize(
    "files",
    [
        {"mine.py": "x = 1"},
        {"mine.py": "import own_helper", "own_helper.py": "y = 2"},
        {"mine.py": "from own_parts.one import y", "own_parts/__init__.py": "", "own_parts/one.py": "y = 2"},
        {"mine.py": "from own_bare.one import y", "own_bare/one.py": "y = 2"},
    ],
    ids=["alone", "beside a module", "beside a package", "beside a folder"],
)
def test_the_hash_is_that_of_the_run(tmp_path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    file = ForeignFile.read(tmp_path / "mine.py", called="the plug-in")
    ran = file.code_sha256(file.module())
    content = {name: text.encode() for name, text in files.items()}
    assert bundled_sha256(content, "mine.py") == ran
    assert bundled_sha256(content | {"mine.py": b"x = 2"}, "mine.py") != ran
    assert bundled_sha256(content | {"more.py": b""}, "mine.py") != ran
    assert bundled_sha256({}, "mine.py") == ""


@pytest.mark.parametrize("file", ["/etc/passwd", "../mine.py", "mine.py\n", "a/../b.py", "mine", ".py"])
def test_a_file_is_below_the_folder_of_code(file: str) -> None:
    with pytest.raises(UserError, match="is not allowed; allowed: a Python file below code/"):
        SubmittedCode(file=file)
