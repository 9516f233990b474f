"""The declaration of fields: bounds, types and tables, from Python, TOML and JSON alike."""

import json
import math
import operator
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairbench import load_suite
from fairbench.errors import UserError
from fairbench.fields import Allowed, TableError, build, check_fields

Positive = Annotated[float, Allowed(above=0)]
Position = Annotated[int, Allowed(at_least=0)]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table in a table."""

    rates: tuple[Positive, ...]
    share: Annotated[float, Allowed(above=0, at_most=1, words="(0, 1]")] = 1.0

    def __post_init__(self) -> None:
        check_fields(self, prefix="grid.")


@dataclass(frozen=True, kw_only=True)
class Everything:
    """A field of every type."""

    count: Position
    flag: bool = False
    word: Annotated[str, Allowed(holds=bool, words="a word")] = "a"
    kind: Literal["one", "two"] = "one"
    counts: list[Position] = field(default_factory=list)
    grid: Grid | None = None
    grids: tuple[Grid, ...] = ()
    positions: dict[str, tuple[Position, ...]] = field(default_factory=dict)
    anything: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self)


positive = st.floats(0, exclude_min=True, allow_infinity=False)
grids = st.builds(
    Grid, rates=st.lists(positive | st.integers(1), max_size=3).map(tuple), share=st.floats(0, 1, exclude_min=True)
)
instances = st.builds(
    Everything,
    count=st.integers(0),
    flag=st.booleans(),
    word=st.text(min_size=1),
    kind=st.sampled_from(["one", "two"]),
    counts=st.lists(st.integers(0), max_size=3),
    grid=st.none() | grids,
    grids=st.lists(grids, max_size=2).map(tuple),
    positions=st.dictionaries(st.text(), st.lists(st.integers(0), max_size=2).map(tuple), max_size=2),
    anything=st.dictionaries(st.text(), st.none() | st.booleans() | st.text(), max_size=2),
)

BOUNDS = {"at_least": operator.ge, "above": operator.gt, "at_most": operator.le, "below": operator.lt}


class TestAllowed:
    @given(st.dictionaries(st.sampled_from(sorted(BOUNDS)), st.integers(-3, 3)), st.integers(-4, 4) | st.floats(-4, 4))
    def test_a_number_is_allowed_if_it_keeps_every_bound(self, bounds: dict[str, int], value: float) -> None:
        broken = [name for name, bound in bounds.items() if not BOUNDS[name](value, bound)]
        instead = Allowed(**bounds).instead_of(value)  # type: ignore[arg-type]  # names of bounds
        assert bool(instead) == bool(broken)
        words = {"at_least": "at least", "above": "more than", "at_most": "at most", "below": "less than"}
        assert not broken or instead in [f"{words[name]} {bounds[name]}" for name in broken]

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400])
    def test_only_finite_numbers_unless_infinity_means_something(self, value: float) -> None:
        assert Allowed().instead_of(value) == "finite numbers"
        assert Allowed(at_least=0, infinite=True).instead_of(value) == ("" if value > 0 else "at least 0")

    def test_words_speak_for_all_conditions(self) -> None:
        allowed = Allowed(at_least=0, below=10, holds=lambda number: number % 2 == 0, words="an even digit")
        assert {allowed.instead_of(value) for value in (-2, 10, 3, math.nan)} == {"an even digit"}
        assert allowed.instead_of(4) == ""

    def test_a_text_is_one_of_the_choices(self) -> None:
        assert Allowed(choices=("a", "b")).instead_of("c") == "a, b"
        assert Allowed(choices=("a", "b")).instead_of("b") == ""


@given(instances)
def test_plain_values_build_the_same_again(instance: Everything) -> None:
    """Straight from `asdict`, and by way of a JSON file."""
    assert build(Everything, asdict(instance)) == instance
    assert build(Everything, json.loads(json.dumps(asdict(instance)))) == instance


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"count": -1}, "count = -1 is not allowed; allowed: at least 0."),
    ({"count": 1.0}, "count = 1.0 is a number; it must be an integer."),
    ({"count": True}, "count = True is true or false; it must be an integer."),
    ({"flag": 1}, "flag = 1 is an integer; it must be true or false."),
    ({"word": ""}, "word = '' is not allowed; allowed: a word."),
    ({"word": None}, "word = None is nothing; it must be a string."),
    ({"counts": 3}, "counts = 3 must be a list, written as [a, b]."),
    ({"counts": [0, "1"]}, "counts[1] = '1' is a string; it must be an integer."),
    ({"grid": 3}, "grid = 3 must be a table, written as [grid]."),
    ({"grid": {"rates": [1, 0]}}, "grid.rates[1] = 0 is not allowed; allowed: more than 0."),
    ({"grid": {"rates": [math.inf]}}, "grid.rates[0] = inf is not allowed; allowed: a finite number."),
    ({"grid": {"rates": ["1"]}}, "grid.rates[0] = '1' is not allowed; allowed: a finite number."),
    ({"grid": {"rates": [True]}}, "grid.rates[0] = True is not allowed; allowed: a finite number."),
    ({"grid": {"rates": [], "share": 2}}, "grid.share = 2 is not allowed; allowed: (0, 1]."),
    ({"grids": [{"rates": []}, {}]}, "The field 'grids[1].rates' is missing; it is required and has no default."),
    ({"grids": [{"rates": [], "rate": 1}]}, "Unknown field 'grids[0].rate'. Did you mean 'grids[0].rates'?"),
    ({"positions": []}, "positions = [] must be a table, written as [positions]."),
    ({"positions": {"train": [2, -2]}}, "positions.train[1] = -2 is not allowed; allowed: at least 0."),
]


@pytest.mark.parametrize(("values", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_is_wrong_is_named_with_what_is_allowed(values: dict[str, Any], message: str) -> None:
    with pytest.raises(TableError) as refused:
        build(Everything, {"count": 0, **values})
    assert str(refused.value).startswith(message)
    assert refused.value.wrong == [*values]
    if not str(next(iter(values))).startswith("grid"):  # Python has instances there
        with pytest.raises(UserError) as refused_again:
            Everything(**{"count": 0, **values})
        assert str(refused_again.value) == message


@dataclass(frozen=True, kw_only=True, slots=True)
class Numbers:
    """One of each kind."""

    share: Positive = 1.0
    count: Position = 1
    counts: tuple[Position, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self)


@pytest.mark.parametrize(
    "share",
    [np.float32(0.25), np.float64(0.25), np.array(0.25), torch.tensor(0.25), Fraction(1, 4), Decimal("0.25")],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("count", [np.int64(3), np.uint8(3), torch.tensor(3)], ids=lambda value: type(value).__name__)
def test_numbers_of_other_libraries_become_plain_ones(share: Any, count: Any) -> None:
    """In a key and in a file they are what they are worth."""
    found = Numbers(share=share, count=count, counts=(count, 4))
    assert found == Numbers(share=0.25, count=3, counts=(3, 4))
    assert json.dumps(asdict(found)) == '{"share": 0.25, "count": 3, "counts": [3, 4]}'


@pytest.mark.parametrize(
    "values",
    [
        {"share": np.bool_(True)},
        {"share": np.array([0.25, 0.5])},
        {"share": torch.ones(2)},
        {"share": np.complex64(1)},
        {"share": "0.25"},
        {"count": np.float64(3)},
        {"count": Fraction(3)},
        {"count": np.bool_(True)},
    ],
    ids=str,
)
def test_what_is_no_such_number_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"{next(iter(values))} = "):
        Numbers(**values)


def test_a_choice_is_named_with_the_closest_one() -> None:
    with pytest.raises(UserError, match=r"Unknown value of kind 'tow'\. Did you mean 'two'\? Known: one, two\."):
        build(Everything, {"count": 0, "kind": "tow"})
    with pytest.raises(UserError, match=r"kind = 'tow' is not allowed; allowed: one, two\."):
        Everything(count=0, kind="tow")  # type: ignore[arg-type]


def test_all_problems_of_a_table_are_counted_and_the_first_is_told() -> None:
    with pytest.raises(TableError, match=r"Unknown field 'search\.b'") as refused:
        build(Everything, {"b": 1, "a": 1, "word": 3, "flag": 3}, prefix="search.")
    assert (refused.value.unexpected, refused.value.wrong) == (["a", "b", "count"], ["flag", "word"])


def test_numbers_are_read_as_the_caller_says() -> None:
    """On every level, and nowhere but in fields of type float."""

    def percent(value: Any, name: str) -> float:
        assert name in {"grid.rates[0]", "grid.share"}
        return float(value.removesuffix("%")) / 100

    built = build(Everything, {"count": 7, "grid": {"rates": ["300%"], "share": "50%"}}, number=percent)
    assert built == Everything(count=7, grid=Grid(rates=(3.0,), share=0.5))


def nested(depth: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


@pytest.mark.parametrize("name", [found.name for found in fields(Everything) if found.name != "anything"])
def test_long_and_deep_values_give_short_messages(name: str) -> None:
    for value in (nested(10_000), [["x" * 10**6] * 100]):
        with pytest.raises(TableError) as refused:
            build(Everything, {"count": 0, name: value})
        assert len(str(refused.value)) < 300


SUITE = load_suite("digits")
NUMBERS = [
    (part, found.name)
    for part in (SUITE.dataset, SUITE.threat, SUITE.recipe, SUITE.evaluation)
    for found in fields(part)
    if type(getattr(part, found.name)) in (int, float)
]


@pytest.mark.parametrize(("part", "name"), NUMBERS, ids=[name for _, name in NUMBERS])
@pytest.mark.parametrize("change", [lambda _: math.nan, lambda _: math.inf, lambda _: -1, str, bool])
def test_no_number_of_a_protocol_is_unbounded(part: Any, name: str, change: Callable[[Any], Any]) -> None:
    value = change(getattr(part, name))
    with pytest.raises(UserError, match=rf"\.{name} = {value!r} "):
        replace(part, **{name: value})
