"""The built-in methods pass the checks that a plug-in must pass."""

from collections.abc import Callable

import pytest

from fairbench.method import registry
from fairbench.testing import method_checks


@pytest.mark.parametrize("check", [check for name in registry.names() for check in method_checks(name)])
def test_conformance(check: Callable[[], None]) -> None:
    check()
