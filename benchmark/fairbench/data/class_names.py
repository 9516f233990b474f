"""Names of classes, checked where they come in, whoever gives them: a file, a caller, a suite."""

from collections.abc import Iterable, Mapping

from fairbench.errors import UserError


def checked_class_names(names: object, *, given: str) -> tuple[str, ...]:
    """Different strings, by label.

    Args:
        names: any iterable of strings.
        given: where they were given, as a sentence begins.

    Raises:
        UserError: for anything else, saying what to give instead.
    """
    if isinstance(names, Mapping):
        raise UserError(
            f"{given} of type {type(names).__name__} are not allowed; allowed: strings in the order of the labels, as "
            "in [names[label] for label in range(classes)]."
        )
    if not isinstance(names, Iterable):
        raise UserError(f"{given} of type {type(names).__name__} are not allowed; allowed: a list of strings.")
    found = tuple(names)
    for name in found:
        if not isinstance(name, str):
            raise UserError(
                f"{given} with {name!r}, which is of type {type(name).__name__}, are not allowed; allowed: strings in "
                "the order of the labels, as in [str(name) for name in names]."
            )
        if not name.strip() or not name.isprintable():
            raise UserError(
                f"{given} with {str(name)!r} are not allowed; allowed: strings that can be read in a table, without "
                "line breaks, and not empty."
            )
        if found.count(name) > 1:
            raise UserError(
                f"{given} {', '.join(found)} are not allowed; allowed: different ones. {str(name)!r} is the name of "
                "several; tell them apart, as in 'crane (bird)' and 'crane (machine)'."
            )
    return tuple(map(str, found))  # numpy's strings are strings of a type of their own
