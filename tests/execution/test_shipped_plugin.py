"""A plug-in computes as it was planned, whatever becomes of the file."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from fairbench.errors import UserError
from fairbench.execution.shipped_plugin import ShippedPlugin
from fairbench.method import registry

SOURCE = """
from dataclasses import dataclass
from fairbench import Card, Method, hyperparameter
import helper

@dataclass(kw_only=True)
class Mine(Method):
    "Something."
    card = Card(title="M", authors="A", venue="V", year=2026, link="https://example.org", bibtex="@a", code_licence="")
    weight: float = hyperparameter(helper.WEIGHT, "of it")
    def loss(self, batch):
        return self.model(batch.images).sum()
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    (tmp_path / "helper.py").write_text("WEIGHT = 1.0\n")
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    return path


def test_an_edit_of_the_file_is_not_seen(plugin: Path) -> None:
    shipped = ShippedPlugin.read(plugin)
    plugin.write_text(SOURCE.replace("helper.WEIGHT", "7.0"))
    travelled = pickle.loads(pickle.dumps(shipped))  # noqa: S301  our own
    assert registry.create("mine", {}, plugins=[travelled.checked()]).parameters() == {"weight": 1.0}
    assert registry.create("mine", {}, plugins=[plugin]).parameters() == {"weight": 7.0}


def test_an_edit_beside_it_is_refused(plugin: Path) -> None:
    """In a process of its own, as a worker is."""
    shipped = ShippedPlugin.read(plugin)
    assert shipped.checked() is shipped.file
    (plugin.parent / "helper.py").write_text("WEIGHT = 2.0\n")
    with pytest.raises(UserError, match="imports from beside it was edited after this run was planned"):
        shipped.checked()
    (plugin.parent / "shipped.pickle").write_bytes(pickle.dumps(shipped))
    code = "import pickle, sys; pickle.load(open(sys.argv[1], 'rb')).checked()"
    command = [sys.executable, "-c", code, str(plugin.parent / "shipped.pickle")]
    worker = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "was edited after this run was planned" in worker.stderr
