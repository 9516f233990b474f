"""Reading outcomes under the name that it had before: it is `from fairbench import read_outcomes` now."""

from fairbench import read_outcomes

__all__ = ["read_outcomes"]
