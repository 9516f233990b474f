"""The house stands as `.github/ARCHITECTURE.md` says: which folder imports which, and what leaves torch alone."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "benchmark" / "fairbench"
METHODS = ROOT / "methods" / "fairbench_methods"
PAGE = (ROOT / ".github" / "ARCHITECTURE.md").read_text(encoding="utf-8")

LINES = re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\| *(never)? *\|$", PAGE, flags=re.MULTILINE)
ALLOWED = {folder: set(re.findall(r"\w+", imports)) for folder, imports, _ in LINES}
EARLIER = {"losses", "store"}
"""Modules that only give names of the front door."""
WITHOUT_TORCH = {folder for folder, _, torch in LINES if torch}

Arrow = tuple[str, str]
"""Who imports, and what."""


def modules(package: Path) -> dict[str, Path]:
    """Files of a package, by dotted name."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(package: Path) -> Iterator[Arrow]:
    """What each module of a package imports, by full name, wherever it does: in functions and for types, too."""
    known = modules(package)
    for module, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((module, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                origin = _origin(node, module, path)
                yield from ((module, f"{origin}.{alias.name}") for alias in node.names)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                named = node.value.partition(":")[0]  # import_module takes a string
                if "." in named and named in known:
                    yield module, named


def arrows(package: Path) -> set[Arrow]:
    """The imports from one module of a package to another one."""
    known = modules(package)
    # What is imported from a module leads to that module.
    found = {(module, name if name in known else name.rpartition(".")[0]) for module, name in imports(package)}
    return {(one, other) for one, other in found if other in known and one != other}


def folder(module: str) -> str:
    """Where a module lies: a folder, or a module of the root by its own name."""
    return [*module.split("."), "__init__"][1]


def between_folders(inside: Iterable[Arrow]) -> set[Arrow]:
    """Those arrows between modules that leave a folder, from folder to folder."""
    found = {(folder(importer), folder(imported)) for importer, imported in inside}
    return {(one, other) for one, other in found if one != other}


def behind_the_door(package: Path) -> list[Arrow]:
    """What a package imports from deeper in the core than `from fairbench import ...`."""
    inside = [arrow for arrow in imports(package) if arrow[1].startswith("fairbench.")]
    deeper = modules(CORE).keys() - {f"fairbench.{name}" for name in EARLIER}
    return [arrow for arrow in inside if arrow[1].count(".") > 1 or arrow[1] in deeper]


def cycle(graph: Iterable[Arrow]) -> list[str]:
    """Names along a cycle; empty if there is none."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for importer, imported in graph:
        sorter.add(importer, imported)
    try:
        sorter.prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def loaded(*groups: Iterable[str]) -> list[set[str]]:
    """What heavy there is in one fresh process after importing each group of modules."""
    code = (
        "import json, sys; from importlib import import_module\n"
        "for group in json.loads(sys.argv[1]):\n"
        "    for module in group: import_module(module)\n"
        "    print(json.dumps([name for name in sys.argv[2:] if name in sys.modules]))"
    )
    heavy = ["torch", "torchvision", "sklearn", "scipy", "pandas", "fairbench_methods"]
    arguments = [json.dumps([list(group) for group in groups]), *heavy]
    run = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, encoding="utf-8", check=False)
    assert run.returncode == 0, run.stderr
    return [set(json.loads(line)) for line in run.stdout.splitlines()]


def _origin(node: ast.ImportFrom, module: str, path: Path) -> str:
    """The module that a `from` names, with the leading dots resolved."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    kept = len(parts) - node.level + (path.name == "__init__.py")
    return ".".join([*parts[:kept], *([node.module] if node.module else [])])


ARROWS = arrows(CORE)


def test_no_cycle_between_folders_or_modules() -> None:
    assert cycle(between_folders(ARROWS)) == []
    assert cycle(ARROWS) == []
    assert cycle(arrows(METHODS)) == []


def test_the_page_names_every_folder_once_and_those_it_imports_above_it() -> None:
    folders = [name for name, _, _ in LINES]
    there = {path.parent.name for path in CORE.glob("*/__init__.py")}
    assert sorted(folders) == sorted({*there, "__init__", "cli"})
    for place, name in enumerate(folders):
        assert ALLOWED[name] <= set(folders[:place]), name


@pytest.mark.parametrize("name", ALLOWED)
def test_a_folder_imports_what_the_page_says(name: str) -> None:
    found = {other for one, other in between_folders(ARROWS) if one == name and other in ALLOWED}
    new, gone = sorted(found - ALLOWED[name]), sorted(ALLOWED[name] - found)
    who = [f"{one} -> {other}" for one, other in sorted(ARROWS) if folder(one) == name and folder(other) in new]
    assert not new, f"not in the line of {name} in .github/ARCHITECTURE.md: {', '.join(who)}"
    assert not gone, f".github/ARCHITECTURE.md says that {name} imports {', '.join(gone)}; it does not"


def test_what_all_share_imports_no_folder() -> None:
    shared = {path.stem for path in CORE.glob("*.py")} - {"__init__", "cli"} - EARLIER
    assert [arrow for arrow in sorted(between_folders(ARROWS)) if arrow[0] in shared and arrow[1] not in shared] == []


def test_earlier_names_lead_to_the_front_door_and_nobody_here_takes_them() -> None:
    between = between_folders(ARROWS)
    assert {(one, other) for one, other in between if one in EARLIER} == {(name, "__init__") for name in EARLIER}
    assert {one for one, other in between if other in EARLIER} == set()


def test_the_core_imports_no_method() -> None:
    assert [arrow for arrow in imports(CORE) if arrow[1].startswith("fairbench_methods")] == []


def test_methods_import_the_core_from_its_front_door() -> None:
    """As a third party does, who is promised that these names stay."""
    assert behind_the_door(METHODS) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("from fairbench import Batch, losses, pgd", []),
        ("import fairbench", []),
        ("from fairbench.attacks import pgd", ["fairbench.attacks.pgd"]),
        ("from fairbench import attacks", ["fairbench.attacks"]),
        ("def late():\n    import fairbench.attacks.pgd", ["fairbench.attacks.pgd"]),
    ],
)
def test_a_deeper_import_is_found(tmp_path: Path, line: str, found: list[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "method.py").write_text(line, encoding="utf-8")
    assert behind_the_door(tmp_path / "mine") == [("mine.method", name) for name in found]


@pytest.mark.parametrize(
    "line",
    [
        "from house.cellar import wine",
        "from house import cellar",
        "import house.cellar",
        "from ..cellar import wine",
        "def late():\n    from house.cellar import wine",
        "if TYPE_CHECKING:\n    from house.cellar import wine",
        "import_module('house.cellar')",
        "FACTORY = 'house.cellar:wine'",
    ],
)
def test_a_cycle_is_found_however_it_is_imported(tmp_path: Path, line: str) -> None:
    house = tmp_path / "house"
    for path, text in {"attic/__init__.py": line, "cellar/__init__.py": "", "cellar/stairs.py": ""}.items():
        (house / path).parent.mkdir(parents=True, exist_ok=True)
        (house / path).write_text(text, encoding="utf-8")
    assert between_folders(arrows(house)) == {("attic", "cellar")}
    assert cycle(between_folders(arrows(house))) == []
    (house / "cellar" / "stairs.py").write_text("from house.attic import lamp", encoding="utf-8")
    assert set(cycle(between_folders(arrows(house)))) == {"attic", "cellar"}
    assert cycle(arrows(house)) == []  # between folders there is one, between their modules none


def test_what_needs_no_torch_loads_none() -> None:
    """One process, thinnest first: what authors and lists need; what lies on disk; what is made of it."""
    inside = {name: [module for module in modules(CORE) if folder(module) == name] for name in WITHOUT_TORCH}
    assert {"protocol", "outcomes", "statistics", "boards", "report", "__init__", "cli"} <= set(inside)
    method = [f"fairbench.method.{name}" for name in ("contract", "registry", "hyperparameter", "schedule")]
    listed = ["fairbench.data.sources", "fairbench.data.digest", "fairbench.models"]
    thin = [*inside.pop("__init__"), *inside.pop("cli"), *method, *listed, *inside.pop("protocol")]
    disk = ["fairbench.execution.plan", "fairbench.method.explanation", *inside.pop("outcomes")]
    made = [module for group in inside.values() for module in group]
    assert loaded(thin, disk, made) == [set(), {"pandas"}, {"pandas", "scipy"}]


def test_attacks_load_torch_and_no_pandas() -> None:
    (found,) = loaded(module for module in modules(CORE) if folder(module) == "attacks")
    assert "torch" in found  # so that a process which sees nothing is noticed
    assert "pandas" not in found


def test_the_protocol_in_words_needs_no_torch() -> None:
    code = (
        "import sys; from fairbench.cli import main; main(['protocol'], standalone_mode=False)\n"
        "sys.exit('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("# ")


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_the_pages_name_what_exists(page: str) -> None:
    """Whoever moves a file that a page sends newcomers to moves the sentence, too; NAME is theirs to choose."""
    text = (ROOT / ".github" / page).read_text(encoding="utf-8")
    named = {span for span in re.findall(r"`([\w.]+(?:/[\w.]+)+(?:::\w+)?|\w+\.py::\w+)`", text) if "NAME" not in span}
    assert named
    for span in sorted(named):
        path, _, inside = span.partition("::")
        found = [base / path for base in (ROOT, CORE, ROOT / ".github") if (base / path).exists()]
        assert found, f"{page} names {path}, which is not there"
        assert re.search(rf"\b{inside}\b", found[0].read_text(encoding="utf-8")) if inside else True, span
