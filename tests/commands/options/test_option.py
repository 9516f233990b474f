"""Fields of dataclasses as options: their order, what is given, what must be given, and who refuses."""

from dataclasses import dataclass, fields
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fairbench.commands.options.asked import Asked
from fairbench.commands.options.computing import Computing
from fairbench.commands.options.folders import ModelFolders, RunFolders
from fairbench.commands.options.named_board import NamedBoard
from fairbench.commands.options.option import FOLDER, option, options
from fairbench.commands.options.repetition import Repetition
from fairbench.commands.options.selection import Selection
from fairbench.commands.options.weights import Weights


@dataclass(frozen=True, kw_only=True)
class Colour:
    """A group in a group."""

    red: int = option("--red", "How red.", default=0, kind=click.IntRange(min=0))
    dark: bool = option("--dark", "Or not.", default=False)


@dataclass(frozen=True, kw_only=True)
class House:
    """A group."""

    owner: str = option("--owner", "Whose it is.")
    colour: Colour
    rooms: tuple[str, ...] = option("--room", "One of them.", default=(), repeatable=True)
    ground: Path = option("--ground", "Where.", default=Path("here"), kind=FOLDER)
    note: str = option("--note", "Anything.", default="", metavar="TEXT")


built: list[tuple[House, str, bool]] = []


@click.command()
@click.argument("street")
@options
@click.option("--fast", is_flag=True)
def build(street: str, house: House, *, fast: bool) -> None:
    """Build it."""
    built.append((house, street, fast))


def test_a_command_is_given_its_group() -> None:
    built.clear()
    arguments = ["Elm", "--owner", "Ann", "--red", "3", "--dark", "--room", "a", "--room", "b", "--fast"]
    assert CliRunner().invoke(build, arguments).exit_code == 0
    house = House(owner="Ann", colour=Colour(red=3, dark=True), rooms=("a", "b"))
    assert built == [(house, "Elm", True)]
    assert house.ground == Path("here")


def test_help_lists_options_in_the_order_of_the_fields() -> None:
    """Groups in a group stand at their place, click's own options where they are declared."""
    shown = CliRunner().invoke(build, ["--help"]).output
    lines = [line.split() for line in shown.splitlines() if line.strip().startswith("--")]
    assert [line[0] for line in lines] == [
        "--owner",
        "--red",
        "--dark",
        "--room",
        "--ground",
        "--note",
        "--fast",
        "--help",
    ]
    assert "Build it." in shown
    assert {line[0] for line in lines if "[default:" in line} == {"--red", "--ground"}
    assert [line[0] for line in lines if line[-1] == "[required]"] == ["--owner"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["Elm"], "Missing option '--owner'"),
        (["Elm", "--owner", "Ann", "--red", "-1"], "Invalid value for '--red': -1 is not in the range x>=0"),
    ],
)
def test_what_is_missing_or_not_allowed_is_refused(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(build, arguments)
    assert done.exit_code == 2
    assert said in done.output


@pytest.mark.parametrize("group", [Computing, ModelFolders, NamedBoard, RunFolders, Selection, Weights])
def test_defaults_in_python_are_those_of_the_command_line(group: type) -> None:
    """A group that is made in Python, as tests and scripts make it, means what the command without options means."""
    given: list[object] = []

    def command(one: object) -> None:
        given.append(one)

    command.__annotations__["one"] = group
    assert CliRunner().invoke(click.command()(options(command)), []).exit_code == 0
    assert given == [group()]


@pytest.mark.parametrize(
    "group", [Asked, Computing, ModelFolders, NamedBoard, Repetition, RunFolders, Selection, Weights]
)
def test_every_field_is_described(group: type) -> None:
    """In the docstring of the group, or of the one that it extends."""
    described = "".join((kind.__doc__ or "").partition("Attributes:")[2] for kind in group.__mro__)
    for one in fields(group):
        assert f"\n        {one.name}: " in described


@pytest.mark.parametrize(
    ("attacks", "tier", "judged"),
    [
        ((), None, "full"),
        ((), "fast", "fast"),
        (("pgd20",), None, "screen"),
        (("pgd20", "pgd20"), "screen", "screen"),
        (("autoattack",), None, "full"),
        (("pgd20", "autoattack"), "full", "full"),
        (("pgd20",), "fast", ""),
        (("pgd20", "autoattack"), "screen", ""),
    ],
)
def test_the_tier_is_said_by_itself_or_by_attacks(attacks: tuple[str, ...], tier: str | None, judged: str) -> None:
    def asked() -> Asked:
        return Asked(models=("m",), dataset="digits", weights=Weights(), attacks=attacks, tier=tier)  # type: ignore[arg-type]  # parametrised

    if judged:
        assert asked().judged_tier == judged
    else:
        with pytest.raises(click.UsageError, match=f"--tier {tier} contradicts --attack, which says"):
            asked()


def test_json_goes_with_a_dry_run() -> None:
    with pytest.raises(click.UsageError, match="--json goes with --dry-run"):
        Computing(as_json=True)
    assert Computing(as_json=True, dry_run=True).as_json
