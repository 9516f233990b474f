"""The registry: installed methods, plug-in files, and what is wrong with either."""

import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path

import pytest

from fairbench.errors import UserError
from fairbench.foreign_code import ForeignFile, Plugin, read_plugin
from fairbench.method import registry
from fairbench.method.contract import Method

WritePlugin = Callable[..., Path]

GOOD = '''
"""A plug-in."""
from dataclasses import dataclass
from fairbench import Card, Method, hyperparameter

CARD = Card(title="Mine", authors="A. Author", venue="none", year=2026, link="https://x.org", bibtex="@misc{a}",
            code_licence="none")

@dataclass(kw_only=True)
class MyMethod(Method):
    """Nothing new."""
    card = CARD
    weight: float = hyperparameter(1.0, "weight of the loss", at_least=0)
    def loss(self, batch):
        return self.weight * self.model(batch.images).square().mean()
'''


@pytest.fixture
def write_plugin(tmp_path: Path) -> WritePlugin:
    """Writes a real file, by default one that works."""

    def write(source: str = GOOD, name: str = "mine.py") -> Path:
        path = tmp_path / name
        path.write_text(source, encoding="utf-8")
        return path

    return write


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Installs a package with one entry point, as pip would: a module and its metadata on the path."""

    def add(package: str, entry: str, source: str | None = None) -> None:
        folder = tmp_path / "site"
        info = folder / f"{package.replace('-', '_')}-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{entry}\n")
        if source is not None:
            (folder / f"{entry.partition('=')[2].partition(':')[0].strip()}.py").write_text(source)
        monkeypatch.syspath_prepend(str(folder))

    before = set(sys.modules)
    yield add
    for name in set(sys.modules) - before:
        if name.startswith("third_party"):
            del sys.modules[name]


class TestInstalled:
    def test_declared_and_installed_entry_points_agree(self) -> None:
        """Entry points are frozen at install time."""
        declared = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
        installed = {
            p.name: p.value for p in entry_points(group=registry.GROUP) if p.dist and p.dist.name == "fairbench"
        }
        assert declared[registry.GROUP] == installed, "run `pip install -e .` again"

    def test_names_are_sorted_and_origins_name_the_package(self) -> None:
        assert registry.names() == sorted(registry.names())
        assert {"pgd-at", "trades"} <= set(registry.names())
        assert registry.origins()["trades"].startswith("the package fairbench ")
        assert registry.origins().keys() == set(registry.names())

    def test_listing_imports_nothing_heavy(self) -> None:
        """A plain `fairbench list methods` answers at once."""
        code = (
            "import sys; from fairbench.method import registry; registry.names(); registry.origins(); "
            "sys.exit(any(m.split('.')[0] in ('torch', 'numpy', 'fairbench_methods') for m in sys.modules))"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    @pytest.mark.parametrize("name", registry.names())
    def test_every_built_in_method_loads(self, name: str) -> None:
        assert issubclass(registry.load(name), Method)
        assert registry.create(name, {}).parameters() == registry.load(name)().parameters()
        assert registry.card(name) is registry.load(name).card

    def test_create_reads_text_as_the_type_of_the_field(self) -> None:
        assert registry.create("trades", {"beta": "3"}).parameters() == {"beta": 3.0}
        assert registry.create("bat", {"shared_trajectory": "false"}).parameters()["shared_trajectory"] is False
        with pytest.raises(UserError, match="beta='x' is not a number"):
            registry.create("trades", {"beta": "x"})
        with pytest.raises(UserError, match="Did you mean 'beta'"):
            registry.create("trades", {"betta": "1"})

    @pytest.mark.parametrize(("given", "meant"), [("tradess", "trades"), ("TRADES", "trades"), ("pgdat", "pgd-at")])
    def test_an_unknown_name_gets_a_suggestion(self, given: str, meant: str) -> None:
        with pytest.raises(UserError, match=f"Unknown method '{given}'. Did you mean '{meant}'.*--plugin FILE"):
            registry.load(given)


class TestThirdParty:
    def test_an_installed_package_is_found(self, install: Callable[..., None]) -> None:
        install("their-package", "theirs = third_party_good:MyMethod", GOOD)
        assert registry.origins()["theirs"] == "the package their-package 1.2 (third_party_good:MyMethod)"
        assert registry.create("theirs", {"weight": "2"}).parameters() == {"weight": 2.0}

    @pytest.mark.parametrize(
        ("entry", "source", "message"),
        [
            (
                "third_party_raises:MyMethod",
                "x = 1\nraise RuntimeError('no licence')",
                "RuntimeError: no licence .*line 2",
            ),
            ("third_party_syntax:MyMethod", "x = 1\ny = (", "SyntaxError: .*line 2"),
            ("third_party_absent:MyMethod", None, "ModuleNotFoundError: No module named 'third_party_absent'"),
            ("third_party_empty:MyMethod", "", "AttributeError: .*MyMethod"),
            ("third_party_import:MyMethod", "import no_such_library", "No module named 'no_such_library' .*line 1"),
        ],
    )
    def test_a_broken_package_is_listed_named_and_stops_nobody_else(
        self, install: Callable[..., None], entry: str, source: str | None, message: str
    ) -> None:
        install("broken-package", f"broken = {entry}", source)
        assert "broken" in registry.names()
        with pytest.raises(UserError, match=f"(?s)the package broken-package 1.2.*{message}"):
            registry.load("broken")
        assert issubclass(registry.load("trades"), Method)

    @pytest.mark.parametrize(
        ("source", "problem"),
        [
            ("MyMethod = 3", "3 is not a subclass of fairbench.Method"),
            ("class MyMethod: pass", "is not a subclass of fairbench.Method"),
            (GOOD.replace("def loss", "def losses"), "MyMethod does not define loss"),
            (GOOD.replace("(1.0,", "(None,").replace(", at_least=0", ""), "its field 'weight' has the default None"),
            (
                GOOD.replace("card = CARD", 'card = CARD; validation = "all"'),
                "its `validation` is 'all'; allowed: none,",
            ),
            (GOOD.replace("card = CARD", "card = CARD; largest_radius = 0"), "its `largest_radius` is 0; allowed"),
            (
                GOOD.replace("card = CARD", "card = CARD; expected_failures = ()"),
                "`expected_failures` is no dictionary",
            ),
            (GOOD.replace("    card = CARD\n", ""), "MyMethod has no card"),
            (GOOD.replace("@dataclass(kw_only=True)\n", ""), "MyMethod is not a dataclass"),
            (GOOD.replace('= hyperparameter(1.0, "weight of the loss", at_least=0)', ""), "'weight' has no default"),
        ],
        ids=["number", "class", "abstract", "none", "split", "radius", "failures", "no card", "no dataclass", "bare"],
    )
    def test_what_is_no_usable_method_is_refused(
        self, install: Callable[..., None], write_plugin: WritePlugin, source: str, problem: str
    ) -> None:
        module = f"third_party_{abs(hash(source))}"
        install("odd-package", f"odd = {module}:MyMethod", source)
        with pytest.raises(UserError, match=f"'odd' of the package odd-package 1.2 .*cannot be used: .*{problem}"):
            registry.load("odd")
        if "is not a subclass" not in problem and "does not define" not in problem:
            plugin = write_plugin(source)
            with pytest.raises(UserError, match=f"plug-in .*mine.py cannot be used: .*{problem}"):
                registry.load("my-method", plugins=[plugin])

    def test_a_built_in_name_cannot_be_taken_by_a_package(self, install: Callable[..., None]) -> None:
        """Nobody runs another TRADES without noticing; other methods are not affected."""
        install("shadow-package", "trades = third_party_shadow:MyMethod", GOOD)
        assert registry.names().count("trades") == 1
        with pytest.raises(
            UserError, match=r"named 'trades': .*(fairbench .*shadow-package|shadow-package .*fairbench)"
        ):
            registry.load("trades")
        assert issubclass(registry.load("pgd-at"), Method)

    def test_a_package_without_metadata_is_still_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        point = EntryPoint(name="bare", value="third_party_bare:X", group=registry.GROUP)
        monkeypatch.setattr(registry, "entry_points", lambda **_: EntryPoints([point]))
        monkeypatch.setattr(registry, "_declared", registry._declared.__wrapped__)
        assert registry.origins() == {"bare": "the package an unnamed package (third_party_bare:X)"}


class TestPlugins:
    def test_a_file_registers_its_methods_in_kebab_case(self, write_plugin: WritePlugin) -> None:
        path = write_plugin()
        assert "my-method" in registry.names(plugins=[path])
        assert registry.origins(plugins=[path])["my-method"] == f"the plug-in {path}"
        assert "my-method" not in registry.names()
        method = registry.create("my-method", {"weight": "2"}, plugins=[path])
        assert method.parameters() == {"weight": 2.0}
        assert registry.card("my-method", plugins=[path]).title == "Mine"

    @pytest.mark.parametrize(
        ("cls", "name"),
        [("TRADES", "trades"), ("MyMethod", "my-method"), ("FairAT", "fair-at"), ("CFAOnTRADES2", "cfa-on-trades2")],
    )
    def test_kebab_case(self, cls: str, name: str) -> None:
        assert registry._kebab(cls) == name

    def test_the_same_file_twice_is_one_plug_in_and_one_class(self, write_plugin: WritePlugin) -> None:
        path = write_plugin()
        twice = [path, path.parent / "." / path.name]
        assert registry.load("my-method", plugins=twice) is registry.load("my-method", plugins=[path])

    def test_an_edited_file_runs_again(self, write_plugin: WritePlugin) -> None:
        path = write_plugin()
        before = registry.create("my-method", {}, plugins=[path]).parameters()
        write_plugin(GOOD.replace("hyperparameter(1.0", "hyperparameter(2.0"))
        assert before != registry.create("my-method", {}, plugins=[path]).parameters() == {"weight": 2.0}

    def test_who_asks_for_many_methods_reads_a_file_once(
        self, write_plugin: WritePlugin, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write_plugin()
        read: list[Plugin] = []

        def counted(plugin: Plugin) -> ForeignFile:
            read.append(plugin)
            return read_plugin(plugin)

        monkeypatch.setattr(registry, "read_plugin", counted)
        methods = registry.methods(plugins=[path])
        assert "my-method" in methods.names()
        made = [methods.create("my-method", {"weight": str(weight)}) for weight in (1, 2, 3)]
        assert [method.parameters()["weight"] for method in made] == [1.0, 2.0, 3.0]
        assert read == [path]

    def test_postponed_annotations_work(self, write_plugin: WritePlugin) -> None:
        path = write_plugin("from __future__ import annotations\n" + GOOD)
        assert registry.create("my-method", {"weight": "2"}, plugins=[path]).parameters() == {"weight": 2.0}

    def test_imported_methods_and_abstract_ones_are_not_registered(self, write_plugin: WritePlugin) -> None:
        extra = "from fairbench_methods.trades import TRADES\nclass AbstractIdea(Method):\n    card = CARD\n"
        path = write_plugin(GOOD + extra)
        assert set(registry.names(plugins=[path])) - set(registry.names()) == {"my-method"}

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("x = 1\n\nraise KeyError('gone')", "KeyError: 'gone' .*mine.py, line 3"),
            ("def f(:\n", "SyntaxError: .*mine.py, line 1"),
            ("import json\n\njson.loads('{')", "JSONDecodeError: .*mine.py, line 3"),
            ("from fairbench import Nothing", "ImportError: .*mine.py, line 1"),
            ("x = '\0'", "SyntaxError: .*null bytes .*mine.py, line 1"),
            ("import sys\nsys.exit(3)", "SystemExit: 3 .*mine.py, line 2"),
        ],
    )
    def test_a_broken_file_is_named_with_the_error_and_its_line(
        self, write_plugin: WritePlugin, source: str, message: str
    ) -> None:
        """The line is the plug-in's own, also where the error arose in a library that it called."""
        path = write_plugin(source)
        for _ in range(2):  # and nothing half-imported is left behind
            with pytest.raises(UserError, match=f"The plug-in {path} cannot be imported: {message}"):
                registry.load("trades", plugins=[path])

    def test_a_missing_file_and_one_without_methods(self, write_plugin: WritePlugin, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"Cannot read the plug-in .*absent.py: No such file"):
            registry.names(plugins=[tmp_path / "absent.py"])
        with pytest.raises(UserError, match=r"Cannot read the plug-in .*: Is a directory"):
            registry.names(plugins=[tmp_path])
        with pytest.raises(UserError, match=r"mine.py defines no method"):
            registry.names(plugins=[write_plugin("x = 1")])

    def test_a_taken_name_names_both_origins(self, write_plugin: WritePlugin) -> None:
        shadow = write_plugin(GOOD.replace("MyMethod", "TRADES"), "shadow.py")
        with pytest.raises(UserError, match=r"named 'trades': the package fairbench .*, and the plug-in .*shadow.py"):
            registry.load("pgd-at", plugins=[shadow])
        first, second = write_plugin(), write_plugin(GOOD + "\n", "other.py")
        with pytest.raises(UserError, match=r"named 'my-method': the plug-in .*mine.py, and the plug-in .*other.py"):
            registry.names(plugins=[first, second])
        twins = write_plugin(GOOD + GOOD.replace("MyMethod", "My_Method"), "twins.py")
        with pytest.raises(UserError, match="the class MyMethod, and the class My_Method"):
            registry.names(plugins=[twins])

    def test_a_typo_suggests_the_plugin_method(self, write_plugin: WritePlugin) -> None:
        with pytest.raises(UserError, match="Did you mean 'my-method'"):
            registry.load("my-metod", plugins=[write_plugin()])
