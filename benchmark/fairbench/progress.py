"""How long work tells how far it is, without knowing who listens."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""(stage such as `training` or `fab-t`, units done, units in total); called at least once a second in long stages."""


def silent(stage: str, done: int, total: int) -> None:
    """A listener that does not care."""
    del stage, done, total
