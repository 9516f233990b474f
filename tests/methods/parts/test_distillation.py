"""What the distillation methods say of their teacher."""

import pytest

from fairbench.method import registry
from fairbench_methods.parts.distillation import NEEDS_TEACHER, TEACHER


@pytest.mark.parametrize("name", registry.names())
def test_whoever_needs_a_teacher_says_so(name: str) -> None:
    """And that its loss is ten times smaller than others', as it is in all of them."""
    method = registry.create(name, {})
    needed = TEACHER in method.prerequisites()
    assert method.card.notes.startswith(NEEDS_TEACHER) == needed
    assert ("1/10" in method.card.notes) == needed
