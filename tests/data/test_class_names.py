"""Names of classes: what is accepted can be written and read again, all else is refused where it comes in."""

from typing import Any

import numpy as np
import pytest

from fairbench import UserError
from fairbench.data.class_names import checked_class_names


@pytest.mark.parametrize("names", [["a", "b"], ("a", "b"), np.array(["a", "b"]), iter("ab"), {"a": 0, "b": 1}.keys()])
def test_strings_are_taken_from_anywhere(names: Any) -> None:
    found = checked_class_names(names, given="The names")
    assert found == ("a", "b")
    assert {type(name) for name in found} == {str}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([0, 1], r"The names with 0, which is of type int, are not allowed; .*\[str\(name\) for name in names\]"),
        (np.arange(2), "of type int64"),
        (["a", None], "with None, which is of type NoneType"),
        ([b"a"], "of type bytes"),
        ({0: "a", 1: "b"}, r"of type dict are not allowed; .*\[names\[label\] for label in range\(classes\)\]"),
        (3, "of type int are not allowed; allowed: a list of strings"),
        (None, "of type NoneType"),
        (np.array(["a", "b", "a"]), r"The names a, b, a are not allowed; allowed: different ones\. 'a' is the name of"),
    ],
)
def test_all_else_is_refused(names: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        checked_class_names(names, given="The names")
