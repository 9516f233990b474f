"""What is installed is what the repository declares: names and files."""

import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distribution
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SOURCES = {"fairbench": ROOT / "benchmark", "fairbench_methods": ROOT / "methods"}
CACHES = {"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Files of the wheel: of the installed one, or, in an editable install, of one built here."""
    files = [PurePosixPath(file) for file in distribution("fairbench").files or ()]
    if not any(file.suffix == ".pth" for file in files):
        return {str(file) for file in files if file.suffix != ".pyc" and ".." not in file.parts}
    pytest.importorskip("hatchling", reason="an editable install lists no files, and hatchling is not there to build")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        return set(wheel.namelist())


def test_the_wheel_holds_every_file_of_the_two_packages_and_nothing_else(packaged: set[str]) -> None:
    """Templates and suites included; an ignore pattern without a slash once removed a whole package."""
    sources = {
        path.relative_to(root).as_posix()
        for package, root in SOURCES.items()
        for path in (root / package).rglob("*")
        if path.is_file() and not CACHES & set(path.parts)
    }
    found = {name for name in packaged if not PurePosixPath(name).parts[0].endswith(".dist-info")}
    assert found == sources


@pytest.mark.parametrize(
    "name",
    [
        "fairbench/protocol/suites/digits.toml",
        "fairbench/py.typed",
        "fairbench_methods/py.typed",
        "fairbench_methods/trades.py",
    ],
)
def test_the_wheel_holds_what_runs_need(packaged: set[str], name: str) -> None:
    assert name in packaged


def test_the_wheel_holds_the_assets_of_the_report(packaged: set[str]) -> None:
    suffixes = {PurePosixPath(name).suffix for name in packaged if name.startswith("fairbench/report/")}
    assert {".css", ".js", ".j2"} <= suffixes
    vendored = {PurePosixPath(name) for name in packaged if name.startswith("fairbench/report/site/assets/vendor/")}
    libraries = {path.name.split(".", 1)[0] for path in vendored if path.suffix == ".js"}
    assert len(libraries) == 3
    assert libraries == {path.stem for path in vendored if path.suffix == ".LICENSE"}


def test_the_wheel_holds_the_templates_of_a_new_method(packaged: set[str]) -> None:
    prefix = "fairbench/testing/scaffold/"
    templates = {name.removeprefix(prefix) for name in packaged if name.startswith(prefix)} - {"__init__.py"}
    assert templates == {
        "README.md.template",
        "pyproject.toml.template",
        "src/$module/__init__.py.template",
        "tests/test_$module.py.template",
    }


@pytest.mark.parametrize("group", ["fairbench.methods", "fairbench.attacks", "console_scripts"])
def test_declared_entry_points_are_the_installed_ones(group: str) -> None:
    declared = PROJECT["scripts"] if group == "console_scripts" else PROJECT["entry-points"][group]
    installed = {entry.name: entry.value for entry in distribution("fairbench").entry_points if entry.group == group}
    assert installed == declared, "entry points are frozen at install time: run `pip install -e .` again"


def test_entry_points_name_files_that_exist() -> None:
    for value in PROJECT["entry-points"]["fairbench.methods"].values():
        module = value.partition(":")[0].replace(".", "/")
        assert (ROOT / "methods" / f"{module}.py").is_file(), value
    for value in PROJECT["entry-points"]["fairbench.attacks"].values():
        module = value.partition(":")[0].replace(".", "/")
        assert (ROOT / "benchmark" / f"{module}.py").is_file(), value


def test_no_dependency_is_a_direct_reference() -> None:
    """PyPI refuses them, and they need a network of their own."""
    extras = PROJECT.get("optional-dependencies", {}).values()
    for requirement in [*PROJECT["dependencies"], *(requirement for extra in extras for requirement in extra)]:
        assert "@" not in requirement
        assert "://" not in requirement


@pytest.mark.parametrize(("package", "root"), SOURCES.items(), ids=SOURCES)
def test_a_source_root_holds_one_package_and_nothing_else(package: str, root: Path) -> None:
    """Whatever else is importable there would become a top-level module of everyone's environment; pages are not."""
    found = {path.name for path in root.iterdir() if not path.name.startswith(".") and path.suffix != ".md"}
    assert found - CACHES == {package}


def test_no_python_file_lies_in_site() -> None:
    """`site` is a module of the standard library; a package of that name can hide it."""
    assert [str(path) for path in (ROOT / "site").rglob("*.py*")] == []


def test_tests_are_no_package() -> None:
    """What can be imported of them lies in a folder that holds nothing which could hide an installed package."""
    assert list((ROOT / "tests").rglob("__init__.py")) == []
    importable = {path.name for path in (ROOT / "tests/importable").iterdir()} - CACHES
    assert importable == {"browsing.py", "fixture_types.py", "scenes.py"}


def test_ignore_patterns_are_anchored() -> None:
    """Hatchling honours them: a bare `report/` would take `fairbench/report` out of the wheel."""
    for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines():
        pattern = line.strip().removeprefix("!")
        if not pattern or pattern.startswith("#"):
            continue
        of_a_tool = pattern.rstrip("/") in {*CACHES, ".hypothesis", "*.egg-info"}
        assert pattern.startswith("/") or of_a_tool, f"{line!r} must start with a slash"
