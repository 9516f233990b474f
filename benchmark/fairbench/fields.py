"""What the fields of a dataclass allow: declared where a field is, and checked wherever its value comes from.

    @dataclass(frozen=True, kw_only=True)
    class Search:
        rates: tuple[Annotated[float, Allowed(above=0)], ...]
        kind: Literal["grid", "random"] = "grid"

        def __post_init__(self) -> None:
            check_fields(self, prefix="search.")

    build(Search, {"rates": [1, 3]}, prefix="search.")    # Search(rates=(1, 3), kind='grid')
    build(Search, {"rates": [0]}, prefix="search.")       # search.rates[0] = 0 is not allowed; allowed: more than 0.

A field is a bool, int, float, str, Literal or dataclass, a list, tuple or dictionary of these, or one of them or None.
What holds between two fields is a condition in `__post_init__` that raises `not_allowed`.
"""

import operator
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache, partial
from numbers import Integral, Number
from reprlib import repr as short  # what a stranger wrote may be long or deep
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from fairbench.errors import UserError, not_allowed, unknown

_T = TypeVar("_T")
_Number = Callable[[Any, str], float]
_Check = Callable[[Any, str, _Number], Any]
"""Of a value and the name of its field; see `_check_of`."""
_KINDS: dict[Any, str] = {
    int: "an integer",
    float: "a number",
    str: "a string",
    bool: "true or false",
    list: "a list",
    tuple: "a list",
    dict: "a table",
    type(None): "nothing",
}
_types: Callable[[Any], dict[str, Any]] = cache(partial(get_type_hints, include_extras=True))


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowed:
    """What a value may be beyond its type.

    Attributes:
        at_least: smallest number.
        above: below all numbers.
        at_most: largest number.
        below: above all numbers.
        infinite: whether infinity, within the bounds, means something.
        choices: of a text.
        holds: any other condition; it needs `words`.
        words: what is allowed, for messages; by default what is broken of the rest.
    """

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    infinite: bool = False
    choices: tuple[str, ...] = ()
    holds: Callable[[Any], object] | None = None
    words: str = ""

    def instead_of(self, value: Any) -> str:
        """What is allowed instead of a value of the right type, in words; "" if the value is allowed."""
        conditions = (  # NaN breaks every bound
            (not self.choices or value in self.choices, ", ".join(self.choices)),
            (self.infinite or not isinstance(value, int | float) or _finite(value), "finite numbers"),
            (self.at_least is None or value >= self.at_least, f"at least {self.at_least}"),
            (self.above is None or value > self.above, f"more than {self.above}"),
            (self.at_most is None or value <= self.at_most, f"at most {self.at_most}"),
            (self.below is None or value < self.below, f"less than {self.below}"),
            (self.holds is None or self.holds(value), self.words),
        )
        return next((self.words or words for holds, words in conditions if not holds), "")


class TableError(UserError):
    """Values that make no dataclass. The message is about the first problem; the names are those of all, sorted."""

    def __init__(self, message: str, *, unexpected: list[str], wrong: list[str]) -> None:
        super().__init__(message)
        self.unexpected, self.wrong = sorted(unexpected), sorted(wrong)


def finite_number(value: Any, field: str) -> float:
    """The number as it is, or a UserError; JSON knows integers that are no float."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not _finite(value):
        raise not_allowed(f"{field} = {short(value)}", "a finite number")
    return value


def plain_number(value: Any) -> Any:
    """A number of numpy, torch or the standard library as Python's own, without a loss; anything else as it is.

    Sweeps are written with `np.linspace` and `Fraction(8, 255)`; keys and files hold plain numbers.
    """
    if type(value) in (int, float, bool, str):
        return value
    try:
        if callable(getattr(value, "item", None)):
            return value.item()
        if isinstance(value, Number):
            return operator.index(value) if isinstance(value, Integral) else float(value)  # type: ignore[arg-type]
    except (ArithmeticError, RuntimeError, TypeError, ValueError):  # several numbers at once, or a complex one
        pass
    return value


def check_fields(instance: Any, *, prefix: str = "") -> None:
    """Refuse an instance with a field of another type, or with a value that is not allowed; for `__post_init__`.

    Numbers of other libraries become plain ones.
    """
    types = _types(type(instance))
    for name, check in _checks(type(instance)).items():  # type: ignore[arg-type]  # a class is hashable
        value, field = getattr(instance, name), prefix + name
        if get_origin(types[name]) is Literal and value not in get_args(types[name]):
            raise not_allowed(f"{field} = {value!r}", ", ".join(get_args(types[name])))
        fitting = check(value, field, finite_number)
        if fitting is not value:
            object.__setattr__(instance, name, fitting)  # it may be frozen


def build(kind: type[_T], table: Mapping[str, Any], *, prefix: str = "", number: _Number = finite_number) -> _T:
    """A dataclass from plain values; a field with a default may be missing.

    Args:
        kind: the dataclass.
        table: values by field, as in TOML and JSON; what is a dataclass in it may be built already.
        prefix: of its fields in messages.
        number: makes a float of a value and the name of its field, or raises a UserError.

    Raises:
        TableError: if a field is unknown, missing, of another type or not allowed.
        UserError: for what the dataclass itself refuses.
    """
    checks = _checks(kind)  # type: ignore[arg-type]
    strange = [name for name in table if name not in checks]
    missing = [name for name in _required(kind) if name not in table]  # type: ignore[arg-type]
    values, wrong = {}, {}
    for name in (name for name in table if name in checks):
        try:
            values[name] = checks[name](table[name], prefix + name, number)
        except UserError as error:
            wrong[name] = str(error)
    if strange:
        message = str(unknown("field", prefix + strange[0], [prefix + name for name in checks]))
    elif missing:
        message = f"The field {prefix + missing[0]!r} is missing; it is required and has no default."
    elif wrong:
        message = next(iter(wrong.values()))
    else:
        return kind(**values)
    raise TableError(message, unexpected=strange + missing, wrong=list(wrong))


@cache
def _required(kind: Any) -> tuple[str, ...]:
    """Names of the fields of a dataclass that have no default."""
    return tuple(field.name for field in fields(kind) if field.default is field.default_factory is MISSING)


@cache
def _checks(kind: Any) -> dict[str, _Check]:
    """What checks each field of a dataclass; made once, for outcome files are read by the thousand."""
    return {name: _check_of(wanted) for name, wanted in _types(kind).items()}


def _check_of(wanted: Any) -> _Check:
    """What makes a value the type of its field, with all that is in it checked on the way, or raises a UserError."""
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin is Literal:
        return partial(_choice, inner)
    if origin is Annotated:
        return partial(_allowed, _check_of(inner[0]), inner[1])
    if type(None) in inner:
        return partial(_optional, _check_of(inner[0]))
    if origin is dict:
        return partial(_table, _items_of(inner[1]))
    if inner:
        assert origin in (list, tuple), f"{wanted} is no type for a field."
        return partial(_list, origin, _items_of(inner[0]))
    return {Any: _anything, float: _real}.get(wanted) or partial(_single, wanted)


def _anything(value: Any, _field: str, _: _Number) -> Any:
    return value


def _real(value: Any, field: str, number: _Number) -> float:
    return number(plain_number(value), field)


def _single(wanted: Any, value: Any, field: str, number: _Number) -> Any:
    """Neither a float nor composed."""
    if type(value) is wanted:
        return value
    if wanted is int:
        value = plain_number(value)
    if isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool)):
        return value
    if is_dataclass(wanted):
        return build(wanted, _mapping(value, field), prefix=f"{field}.", number=number)  # type: ignore[arg-type]
    found, needed = (_KINDS.get(kind, kind) for kind in (type(value), wanted))
    raise UserError(f"{field} = {short(value)} is {found}; it must be {needed}.")


def _choice(choices: tuple[Any, ...], value: Any, field: str, _: _Number) -> Any:
    if value not in choices:
        raise unknown(f"value of {field}", value if isinstance(value, str) else short(value), choices)
    return value


def _allowed(check: _Check, allowed: Allowed, value: Any, field: str, number: _Number) -> Any:
    fitting = check(value, field, number)
    if instead := allowed.instead_of(fitting):
        raise not_allowed(f"{field} = {list(fitting) if isinstance(fitting, tuple) else fitting!r}", instead)
    return fitting


def _optional(check: _Check, value: Any, field: str, number: _Number) -> Any:
    return None if value is None else check(value, field, number)


class _Items(NamedTuple):
    """What is in a list or a table: what checks each, and the class whose instances need no look; None without one."""

    check: _Check
    plain: type | None

    def are_fitting(self, values: Iterable[Any]) -> bool:
        """Whether that is seen without a look into them."""
        return self.plain is object or (self.plain is not None and all(type(value) is self.plain for value in values))


def _items_of(wanted: Any) -> _Items:
    plain = wanted if wanted in (str, int, bool) else {Any: object, dict[str, Any]: dict}.get(wanted)
    return _Items(_check_of(wanted), plain)


def _table(items: _Items, value: Any, field: str, number: _Number) -> dict[str, Any]:
    table = _mapping(value, field, kind=dict)
    if items.are_fitting(table.values()):
        return dict(table)
    return {key: items.check(item, f"{field}.{key}", number) for key, item in table.items()}


def _list(kind: type, items: _Items, value: Any, field: str, number: _Number) -> Any:
    if not isinstance(value, list | tuple):
        raise UserError(f"{field} = {short(value)} must be a list, written as [a, b].")
    if items.are_fitting(value):
        return kind(value)
    return kind(items.check(item, f"{field}[{i}]", number) for i, item in enumerate(value))


def _mapping(value: Any, field: str, *, kind: Any = Mapping) -> Mapping[str, Any]:
    if not isinstance(value, kind):
        raise UserError(f"{field} = {short(value)} must be a table, written as [{field}].")
    return value  # type: ignore[no-any-return]


def _finite(number: float) -> bool:
    return abs(number) <= sys.float_info.max
