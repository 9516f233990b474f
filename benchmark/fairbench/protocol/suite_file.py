"""Suites as TOML files: reading, finding and checking them.

Those that ship lie in `suites`; any other is given by its path. Numbers may be written as fractions in
quotes (`epsilon = "8/255"`), because 0.031 is another protocol than 8/255. Every field that is unknown, missing or of
the wrong type is refused by name.
"""

import re
import tomllib
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import Any

from fairbench.errors import UserError, unknown
from fairbench.fields import build, finite_number
from fairbench.protocol.factory import Factory, read_arguments
from fairbench.protocol.suite import MethodDefaults, Parameter, Suite

_FRACTION = re.compile(r"\s*[0-9.]+\s*/\s*[0-9.]+\s*")


def suite_names() -> list[str]:
    """Names of the suites that ship."""
    folder = resources.files("fairbench.protocol") / "suites"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_suite(name: str) -> Suite:
    """The suite of that name, or the one in that `.toml` file.

    Raises:
        UserError: if there is none, or if its content is not a valid protocol.
    """
    if name in suite_names():
        text = (resources.files("fairbench.protocol") / "suites" / f"{name}.toml").read_text(encoding="utf-8")
        return parse_suite(text, name=name, origin=f"the built-in suite {name!r}")
    path = Path(name)
    if path.suffix.lower() != ".toml":
        advice = "A suite of your own is given as a path that ends in .toml."
        raise unknown("suite", name, suite_names(), advice=f"{advice} Rename {name}." if path.is_file() else advice)
    try:
        text = path.read_text(encoding="utf-8-sig")  # editors of Windows begin a file with a mark
    except (OSError, UnicodeDecodeError) as error:
        coded = f"it is not in UTF-8 ({error}); save it so"
        problem = coded if isinstance(error, UnicodeDecodeError) else error.strerror or error
        known = ", ".join(suite_names())
        raise UserError(f"Cannot read the suite file {name}: {problem}. Built-in suites: {known}.") from error
    return parse_suite(text, name=path.stem, origin=str(path), folder=str(path.resolve().parent))


def parse_suite(text: str, *, name: str, origin: str, folder: str = "") -> Suite:
    """A suite from TOML text.

    Args:
        text: the file's content.
        name: of the suite; a field `name` in the text must agree.
        origin: where the text came from, for messages.
        folder: against which `dataset.file` is resolved.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{origin} is not valid TOML: {error}.") from error
    instead = {
        "folder": "a suite is named after its file",
        "name": "a suite is named after its file",
        "model_factory": "write what its factory is called with under [model_arguments]",
        "teacher_factory": "write what its factory is called with under [teacher_arguments]",
    }
    for reserved, advice in instead.items():
        if reserved in table:
            raise UserError(f"{origin}: the field {reserved!r} is not written in the file; {advice}.")
    try:
        for role in ("model", "teacher"):
            arguments = read_arguments(table.pop(f"{role}_arguments", {}), field=f"{role}_arguments")
            table[f"{role}_factory"] = Factory(arguments=arguments)
        methods = _method_defaults(table.get("methods", {}))
        return build(Suite, {**table, "name": name, "folder": folder, "methods": methods}, number=parse_number)
    except UserError as error:
        raise UserError(f"{origin}: {error}") from error


def _method_defaults(value: Any) -> tuple[MethodDefaults, ...]:
    """The tables [methods.NAME]; what a hyper-parameter allows is checked when its method is planned."""
    if not isinstance(value, dict) or not all(isinstance(table, dict) for table in value.values()):
        raise UserError(f"methods = {value!r} must be tables, written as [methods.NAME], of hyper-parameters.")
    return tuple(
        MethodDefaults(
            method=name,
            parameters=tuple(
                (parameter, _parameter(chosen, field=f"methods.{name}.{parameter}"))
                for parameter, chosen in sorted(table.items())
            ),
        )
        for name, table in value.items()
    )


def _parameter(value: Any, *, field: str) -> Parameter:
    """A hyper-parameter, whose field is not known here: text is a number if it is a fraction."""
    if not isinstance(value, Parameter):
        raise UserError(f"{field} = {value!r} is no hyper-parameter; allowed: a number, true, false or text.")
    return parse_number(value, field) if isinstance(value, str) and _FRACTION.fullmatch(value) else value


def parse_number(value: Any, field: str) -> float:
    """A finite float from a number or from a text, which may be a fraction of 255 where the field is a length.

    Raises:
        UserError: naming the field.
    """
    try:
        number = float(Fraction(value) if isinstance(value, str) else finite_number(value, field))
    except (ValueError, ArithmeticError) as error:
        raise UserError(
            f"{field} = {value!r} is not a finite number; allowed: a number, or a fraction in quotes such as '8/255'."
        ) from error
    # 8/256 is a slip for 8/255 that would quietly make another threat.
    denominator = str(value).partition("/")[2].strip()
    length = field.endswith(("epsilon", "threat.step", "pgd_step")) or field.startswith("evaluation.curve")
    if length and denominator not in ("", "255"):
        raise UserError(
            f"{field} = {value!r} is not a fraction of 255; allowed: a fraction such as '8/255', or a decimal number."
        )
    return number
