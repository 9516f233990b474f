"""JSON that strangers wrote: read as the standard library reads it, and checked field by field."""

import json
from dataclasses import dataclass

import pytest

from fairbench.errors import UserError
from fairbench.typed_json import read_object


@dataclass(frozen=True, kw_only=True)
class Noted:
    """Of the tests."""

    name: str
    shares: list[float]
    facts: list[dict[str, object]] | None = None


def read(text: str | bytes) -> Noted:
    return read_object(Noted, text, origin="a.json", schema=1)


@pytest.mark.parametrize("name", ["é", "\ud800", "\x00", "a\u2028b"])
def test_text_and_numbers_come_back_bit_for_bit(name: str) -> None:
    """Half of a surrogate pair is no standard JSON, and yet what Python writes."""
    shares = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, 123456789.123456789, 0]
    text = json.dumps({"schema": 1, "name": name, "shares": shares})
    for given in (text, text.encode()):
        found = read(given)
        assert (found.name, found.shares) == (name, shares)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"schema": 1, "name": "a", "shares": [NaN]}', "of a wrong type: shares"),
        ('{"schema": 1, "name": "a", "shares": [1e999]}', "of a wrong type: shares"),
        ('{"schema": 1, "name": "a", "shares": [1,]}', "unreadable content"),
        (b'{"schema": 1, "name": "\xff", "shares": []}', "unreadable content"),
        ("[" * 100_000, "unreadable content"),
        ('{"schema": 1, "name": 3, "shares": [true]}', "of a wrong type: name, shares"),
    ],
)
def test_what_is_refused_is_named(text: str | bytes, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read(text)
