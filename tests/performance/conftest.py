"""Speed is measured with as many threads as torch takes by itself."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """In place of the fixture of all other tests: nothing."""
