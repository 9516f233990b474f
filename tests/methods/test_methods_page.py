"""The page that newcomers follow: its examples are run, its commands exist, its tables are complete."""

import re
import shlex
from dataclasses import fields
from pathlib import Path

import click
import pytest

from fairbench import Batch, Method
from fairbench.cli import main
from fairbench.method import registry
from fairbench.testing import CHECKS, check_method

PAGE = (Path(__file__).resolve().parents[2] / "methods" / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
COMMANDS = [
    line.partition("#")[0].strip()
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if line.startswith("fairbench")
]


@pytest.mark.parametrize(("position", "name"), [(0, "class-weighted-at"), (1, "worst-class-distillation")])
def test_an_example_is_a_method_that_passes_every_check(tmp_path: Path, position: int, name: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(EXAMPLES[position], encoding="utf-8")
    found = list(check_method(registry.load(name, plugins=[path])))
    assert [(one.check.name, one.reason) for one in found if not one.good] == []


def test_the_example_of_a_test_yields_one_item_per_check() -> None:
    scope: dict[str, object] = {}
    exec(EXAMPLES[2], scope)  # noqa: S102  it is our own page
    (mark,) = scope["test_my_method"].pytestmark  # type: ignore[attr-defined]
    assert [param.id for param in mark.args[1]] == [f"pgd-at-{check.name}" for check in CHECKS]


def test_every_example_is_tested() -> None:
    assert len(EXAMPLES) == 3
    assert len(COMMANDS) == 6


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_has_options_that_exist(command: str) -> None:
    _, name, *arguments = shlex.split(command)
    found = main.commands[name]
    known = {option for parameter in found.get_params(click.Context(found)) for option in parameter.opts}
    assert {argument for argument in arguments if argument.startswith("--")} <= known


def test_every_hook_and_every_check_is_on_the_page() -> None:
    hooks = [
        name
        for name, value in vars(Method).items()
        if callable(value) and not name.startswith("_") and name not in ("parameters", "configured")
    ]
    assert {"recipe", "loss", "load_state_dict"} <= set(hooks)
    for name in hooks:
        assert re.search(rf"^\|.*`{name}\(", PAGE, flags=re.MULTILINE), name
    for check in CHECKS:
        assert f"| `{check.name}` |" in PAGE
    for field in fields(Batch):
        assert f"`{field.name}" in PAGE, field.name
