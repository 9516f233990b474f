"""Models that somebody's code builds: from packages and files, and one sentence for whatever is wrong with it."""

import copy
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import fx, nn

from fairbench.errors import UserError
from fairbench.external.factory import call_factory
from fairbench.identity import file_sha256

GOOD = """
from __future__ import annotations
from dataclasses import dataclass
from pathlib import Path
import sys
import torch
from torch import nn

@dataclass
class Width:
    hidden: int = 4

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, Width().hidden), nn.ReLU(), nn.Linear(4, 10))
    def forward(self, images):
        return self.layers(images)

def network():
    sys.path.insert(0, "somewhere")
    sys.path.append(str(Path(__file__).parent))
    return Network()

def broken():
    width = Width()
    return width.depth

def leaves():
    raise SystemExit("bye")

def wrong():
    return Network().state_dict()

def hungry(depth):
    return Network()
"""
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a real file, by default one that works."""

    def to_file(source: str = GOOD, name: str = "models.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(source, encoding="utf-8")
        return path

    return to_file


@pytest.fixture
def package(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An importable package with the same content."""
    write("", "third_party/__init__.py")
    write(GOOD, "third_party/models.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield "third_party.models"
    for name in [name for name in sys.modules if name.startswith("third_party")]:
        del sys.modules[name]


def test_from_a_package(package: str) -> None:
    assert call_factory(f"{package}:network").model(torch.rand(2, 1, 8, 8)).shape == (2, 10)
    assert type(call_factory(f"{package}:Network").model).__name__ == "Network"


def test_from_a_file_which_leaves_no_trace(write: Write) -> None:
    """The import path and the table of modules are as before; the model still works, and can be copied and traced."""
    path, modules = list(sys.path), set(sys.modules)
    model = call_factory(f"{write()}:network").model
    assert (sys.path, set(sys.modules)) == (path, modules)
    images = torch.rand(2, 1, 8, 8)
    assert torch.equal(copy.deepcopy(model)(images), model(images))
    assert torch.equal(fx.symbolic_trace(model)(images), model(images))


def test_a_file_and_what_lies_beside_it_are_recognised(write: Write) -> None:
    """Its digest is that of its bytes, unless it imports what lies beside it; a package has none."""
    assert not call_factory("torch.nn:Identity").code_sha256
    alone = write()
    assert call_factory(f"{alone}:network").code_sha256 == file_sha256(alone)
    write("def width():\n    return 4\n", "wide.py")
    both = write(GOOD + "from wide import width\n", "both.py")
    first = call_factory(f"{both}:network").code_sha256
    assert first == call_factory(f"{both}:network").code_sha256 != file_sha256(both)
    write("def width():\n    return 5\n", "wide.py")
    assert call_factory(f"{both}:network").code_sha256 != first


def test_a_factory_may_import_what_lies_beside_its_file_when_it_is_called(write: Write) -> None:
    write("import torch\nHeight = torch.nn.Flatten\n", "tall.py")
    models = write("def network():\n    import tall\n    return tall.Height()\n")
    path, modules = list(sys.path), set(sys.modules)
    assert isinstance(call_factory(f"{models}:network").model, nn.Flatten)
    assert (sys.path, set(sys.modules)) == (path, modules)


def test_an_edited_file_is_read_anew(write: Write) -> None:
    call_factory(f"{write()}:network")
    model = call_factory(f"{write(GOOD.replace('Linear(4, 10)', 'Linear(4, 3)'))}:network").model
    assert model(torch.rand(2, 1, 8, 8)).shape == (2, 3)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("broken", r"broken failed, called without arguments: AttributeError: .*'depth' \(.*models\.py, line 27\)"),
        ("leaves", r"SystemExit: bye \(.*models\.py, line 30\)"),
        ("hungry", "called without arguments: TypeError: .*missing 1 required positional argument"),
        ("wrong", r"returned an object of type OrderedDict; it must return a torch\.nn\.Module"),
        ("netwrk", "no function 'netwrk'; it defines: Network, Width, broken, hungry, leaves, network, wrong"),
        ("", "no function ''"),
    ],
)
def test_a_factory_that_fails_is_one_sentence(name: str, said: str, write: Write, package: str) -> None:
    for given in (f"{write()}:{name}", f"{package}:{name}"):
        with pytest.raises(UserError, match=said):
            call_factory(given)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def f(:\n", r"cannot be imported: SyntaxError: invalid syntax \(.*models\.py, line 1\)"),
        ("\n\nimport no_such_package\n", r"No module named 'no_such_package' \(.*models\.py, line 3\)\. Install it or"),
        ("import json\n\njson.loads('{')\n", r"JSONDecodeError: .*models\.py, line 3\)"),
        ("exit(3)\n", r"SystemExit: 3 \(.*models\.py, line 1\)"),
        ("from . import sibling\n", r"ImportError: cannot import name 'sibling' from '\.'"),
        (
            "from .sibling import size\n",
            r"No module named '\.sibling' \(.*models\.py, line 1\)\. Install it or put it beside",
        ),
        ("from ..above import size\n", "ImportError: attempted relative import beyond"),
        ("\x00", "cannot be imported: (SyntaxError|ValueError): source code .*null bytes"),
    ],
)
def test_a_file_that_cannot_be_imported_is_one_sentence(source: str, said: str, write: Write) -> None:
    path, modules = list(sys.path), set(sys.modules)
    with pytest.raises(UserError, match=said):
        call_factory(f"{write(source)}:network")
    assert (sys.path, set(sys.modules)) == (path, modules)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("no/such/models.py:network", "Cannot read the model .*No such file or directory"),
        (
            "no_such_package.models:network",
            r"ModuleNotFoundError: No module named 'no_such_package'\. Install it or set",
        ),
        (":network", "cannot be imported: ValueError: Empty module name"),
    ],
)
def test_what_is_not_there_is_named(given: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        call_factory(given)


def test_a_class_of_torch_is_a_factory_too() -> None:
    assert isinstance(call_factory("torch.nn:Identity").model, nn.Identity)
