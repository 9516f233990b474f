"""What a run has beyond the training split of its suite: networks, averaged weights, a look at the validation split."""

from collections.abc import Iterator

from fairbench.method.contract import Method
from fairbench.outcomes.provenance import Privilege
from fairbench.protocol.run import Run


def privileges(run: Run, method: Method) -> list[Privilege]:
    """In the order of `Privilege`; those that the suite gives to all are none."""
    return list(_privileges(run, method))


def _privileges(run: Run, method: Method) -> Iterator[Privilege]:
    roles = {role for role, _ in run.prerequisites}
    if "teacher" in roles:
        yield "teacher"
    if "hot start" in roles:
        yield "hot start"
    if run.recipe.averaging != run.suite.recipe.averaging:
        yield "weight averaging"
    if method.validation in ("attacked", "both"):
        yield "validation accuracies"
    if method.validation in ("batches", "both"):
        yield "validation images"
