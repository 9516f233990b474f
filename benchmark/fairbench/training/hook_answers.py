"""What the hooks of a method answer, checked where the trainer takes it: a mistake is a sentence, and not lost hours.

An answer that is silently read as another one is worse than an error: a gate that forgets to answer never opens, and a
state that is no tensor is missed when the training is resumed.
"""

from collections.abc import Mapping

from torch import Tensor

from fairbench.errors import UserError, not_allowed
from fairbench.fields import plain_number
from fairbench.method.contract import Method
from fairbench.training.history_values import reported_value


def admitted(answer: object, *, method: Method) -> bool:
    """Whether an epoch's weights enter the average, by what `admits` answered.

    Raises:
        UserError: if it answered neither.
    """
    plain = plain_number(answer)
    if not isinstance(plain, bool | int | float):
        raise not_allowed(f"`admits` of {type(method).__name__} returned {answer!r}, which", "True or False")
    return bool(plain)


def reported(answer: object, *, method: Method) -> dict[str, float | list[float | None] | None]:
    """What `end_epoch` answered, for the history.

    Raises:
        UserError: if it is no mapping of names to numbers and lists of them.
    """
    if not isinstance(answer, Mapping):
        name = type(method).__name__
        raise UserError(
            f"`end_epoch` of {name} returned {answer!r}; it must return numbers by name, {{}} if there are none."
        )
    return {str(name): reported_value(value, name=str(name), method=method) for name, value in answer.items()}


def kept(answer: object, *, method: Method) -> dict[str, Tensor]:
    """What `state_dict` answered, which the next epoch needs.

    Raises:
        UserError: if it is no dictionary of tensors, and could not be taken up again.
    """
    name = type(method).__name__
    if not isinstance(answer, dict):
        raise UserError(f"`state_dict` of {name} returned {answer!r}; it must return tensors by name.")
    for entry, value in answer.items():
        if not isinstance(value, Tensor):
            raise UserError(
                f"`state_dict` of {name} holds {entry!r}, which is {type(value).__name__}; allowed: tensors, such as "
                "torch.tensor(value)."
            )
    return answer
