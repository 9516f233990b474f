"""Numbers of an epoch as its history keeps them: plain, and None for a class without images."""

import math

from fairbench.errors import UserError
from fairbench.fields import plain_number
from fairbench.method.contract import Method


def reported_value(value: object, *, name: str, method: Method) -> float | list[float | None] | None:
    """What a method shows of itself, for JSON; tensors and arrays are taken for the numbers that they hold."""
    values = value.tolist() if hasattr(value, "tolist") else value
    numbers = [plain_number(item) for item in values] if isinstance(values, list | tuple) else [plain_number(values)]
    if not all(isinstance(number, int | float) for number in numbers):
        raise UserError(
            f"`end_epoch` of {type(method).__name__} reports {name!r} = {value!r}; allowed: numbers and lists of them."
        )
    return plain_value(numbers if isinstance(values, list | tuple) else numbers[0])


def plain_value(value: float | list[float]) -> float | list[float | None] | None:
    """Numbers for JSON: None for a class without images, and for whatever else is not finite."""
    if isinstance(value, list):
        return [number if math.isfinite(number) else None for number in value]
    return value if math.isfinite(value) else None
