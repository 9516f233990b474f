"""A stranger's way: a package from `new-method`, checked, tested, installed, run, and on the board."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fairbench.cli import main
from fairbench.errors import UserError
from fairbench.method import registry
from fairbench.outcomes.store import read_outcomes
from fairbench.testing.scaffold import write_package
from fixture_types import Cli

SUITE = """
title = "two epochs of digits"
model = "digits-cnn"
teacher = "digits-cnn"
seeds = [0]
[dataset]
name = "digits"
validation = "1/7"
[threat]
epsilon = 0.15
step = 0.075
steps = 2
[recipe]
epochs = 2
learning_rate = 0.2
schedule = "one-cycle"
crop_padding = 1
flip = false
[evaluation]
tier = "screen"
pgd_steps = 2
pgd_step = 0.075
"""


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Calls the command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str | Path) -> Result:
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    return call


def test_it_writes_a_package_and_says_what_to_do(cli: Cli, tmp_path: Path) -> None:
    done = cli("new-method", "my-method")
    assert done.exit_code == 0, done.output
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {
        "my-method/README.md",
        "my-method/pyproject.toml",
        "my-method/src/my_method/__init__.py",
        "my-method/tests/test_my_method.py",
    }
    assert all(f"Wrote {path}." in done.output for path in written)
    assert "pip install -e my-method\n    fairbench check-method my-method" in done.output
    assert all("$" not in (tmp_path / path).read_text(encoding="utf-8") for path in written)


def test_the_package_passes_its_checks_runs_and_is_on_the_board(cli: Cli, tmp_path: Path) -> None:
    """Untouched, as a file; the report shows its title."""
    assert cli("new-method", "my-method", "--directory", "elsewhere").exit_code == 0
    plugin = tmp_path / "elsewhere/src/my_method/__init__.py"
    checked = cli("check-method", plugin)
    assert checked.exit_code == 0, checked.output
    assert "my-method: 19 passed." in checked.output
    (tmp_path / "two.toml").write_text(SUITE)
    run = cli("run-all", "--suite", "two.toml", "--plugin", plugin, "--method", "my-method", "--jobs", "1")
    assert run.exit_code == 0, run.output
    assert read_outcomes(tmp_path / "results/two/my-method/seed0.parquet").provenance.card["title"] == "My method"
    assert cli("report").exit_code == 0
    pages = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "site").rglob("*.html"))
    assert "My method" in pages


def test_its_own_tests_pass(tmp_path: Path) -> None:
    """One item per check."""
    write_package("my-method", tmp_path / "package")
    done = _python("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", folder=tmp_path / "package", path="src")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "19 passed" in done.stdout


@pytest.mark.skipif(find_spec("hatchling") is None or find_spec("pip") is None, reason="hatchling has to build it")
def test_installed_it_is_a_method_like_any_other(tmp_path: Path) -> None:
    write_package("my-method", tmp_path / "package")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    installed = _python("-m", "pip", "install", *options, "--target", "site", "./package", folder=tmp_path)
    assert installed.returncode == 0, installed.stderr
    listed = _python("-c", "from fairbench.cli import main; main(['list', 'methods'])", folder=tmp_path, path="site")
    assert "my-method" in listed.stdout
    assert "the package fairbench-my-method 0.1.0 (my_method:MyMethod)" in listed.stdout
    code = "from fairbench.method import registry; print(registry.load('my-method').card.title)"
    assert _python("-c", code, folder=tmp_path, path="site").stdout.strip() == "My method"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("MyMethod", "'MyMethod' cannot be used; allowed: lower-case letters"),
        ("my_method", "words joined by '-'"),
        ("2fast", "beginning with a letter"),
        ("a--b", "for example my-method"),
        ("trades", "'trades' is taken by the package fairbench "),
        ("lambda", "'lambda' is a module or a word of Python already"),
        ("torch", "for example torch-at"),
    ],
)
def test_a_name_that_cannot_be_used_writes_nothing(cli: Cli, tmp_path: Path, name: str, message: str) -> None:
    done = cli("new-method", name)
    assert done.exit_code == 2
    assert message in done.output
    assert "Traceback" not in done.output
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "my-method").mkdir()
    (tmp_path / "my-method" / "thesis.txt").write_text("years of work")
    done = cli("new-method", "my-method")
    assert done.exit_code == 2
    assert "my-method exists and is not an empty folder; choose another one by --directory" in done.output
    assert [path.name for path in (tmp_path / "my-method").iterdir()] == ["thesis.txt"]
    done = cli("new-method", "my-method", "--directory", "my-method/thesis.txt")
    assert (done.exit_code, (tmp_path / "my-method/thesis.txt").read_text()) == (2, "years of work")


def test_an_empty_folder_is_welcome(tmp_path: Path) -> None:
    assert write_package("my-method", tmp_path)[0] == tmp_path / "README.md"
    assert registry.names(plugins=[tmp_path / "src/my_method/__init__.py"]).count("my-method") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder that not even root can write: /sys")
def test_a_folder_that_cannot_be_written_is_named() -> None:
    with pytest.raises(UserError, match="Cannot write /sys/fairbench"):
        write_package("my-method", Path("/sys/fairbench"))


class TestCheckMethod:
    BROKEN = """
from dataclasses import dataclass
from fairbench import Card, Method
from fairbench.method.losses import cross_entropy

CARD = Card(title="T", authors="A", venue="V", year=2026, link="https://example.org",
            bibtex="@misc{t, title={T}, author={A}, year={2026}}", code_licence="MIT")

@dataclass(kw_only=True)
class Clean(Method):
    "Clean training."
    card = CARD
    expected_failures = {EXPECTED}
    def loss(self, batch):
        return cross_entropy(self.model(batch.images), batch.labels).mean()

@dataclass(kw_only=True)
class Bright(Clean):
    "Training on images that are too bright."
    expected_failures = {}
    def loss(self, batch):
        return cross_entropy(self.model(1.1 * batch.images), batch.labels).mean()
"""

    def test_every_method_of_a_file_is_checked_and_failures_are_explained(self, cli: Cli, tmp_path: Path) -> None:
        (tmp_path / "mine.py").write_text(self.BROKEN.replace("{EXPECTED}", "{}"))
        done = cli("check-method", "mine.py")
        assert done.exit_code == 1
        assert "clean: 19 passed." in done.output
        assert "bright: 18 passed, 1 failed." in done.output
        assert "inside-threat: It trains on pixels from 0 to 1.1; allowed: [0, 1]." in done.output
        assert "What to do: Take epsilon and step from `self.threat`, keep pixels in [0, 1]" in done.output

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("check-method", "trads"), "Unknown method 'trads'. Did you mean 'trades'?"),
            (("check-method", "absent.py"), "Cannot read the plug-in"),
            (("check-method", "mine.py"), "Unknown check in `expected_failures` of Clean 'crad'"),
        ],
    )
    def test_bad_input_is_one_message(self, cli: Cli, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
        (tmp_path / "mine.py").write_text(self.BROKEN.replace("{EXPECTED}", '{"crad": "why"}'))
        done = cli(*arguments)
        assert done.exit_code == 2
        assert message in done.output
        assert "Traceback" not in done.output

    def test_an_expected_failure_is_a_warning_of_the_row(self, cli: Cli, tmp_path: Path) -> None:
        declared = json.dumps({"card": "the authors are anonymous for now"})
        source = self.BROKEN.replace("{EXPECTED}", declared).replace('authors="A"', 'authors=""')
        (tmp_path / "mine.py").write_text(source.partition("@dataclass(kw_only=True)\nclass Bright")[0])
        (tmp_path / "two.toml").write_text(SUITE)
        checked = cli("check-method", "mine.py")
        assert checked.exit_code == 0, checked.output
        assert "clean: 18 passed, 1 expected failure." in checked.output
        run = cli("run-all", "--suite", "two.toml", "--plugin", "mine.py", "--method", "clean", "--jobs", "1")
        assert run.exit_code == 0, run.output
        provenance = read_outcomes(tmp_path / "results/two/clean/seed0.parquet").provenance
        sentence = "The author expects the check 'card' to fail: the authors are anonymous for now"
        assert sentence in provenance.warnings


def _python(*arguments: str, folder: Path, path: str = "") -> "subprocess.CompletedProcess[str]":
    """A process of its own, with a folder of packages in front."""
    paths = [str(folder / path)] if path else []
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*paths, *os.environ.get("PYTHONPATH", "").split(":")])}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
