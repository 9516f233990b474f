"""A model as an attack must find it and leave it: in eval mode, without parameter gradients, unchanged afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def frozen(model: nn.Module, *, train_mode: bool = False) -> Iterator[None]:
    """Freeze every parameter and set the mode; restore each flag of each sub-module exactly.

    Freezing, rather than asking autograd for input gradients alone, also spares the forward pass what it would keep
    for weight gradients.

    Args:
        model: left as it was found, also after an exception; so are the buffers of modules that refuse eval mode.
        train_mode: keep the modes as they are, so that batch norm sees the attack (an option of released codes).
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    modes = [(module, module.training) for module in model.modules()]
    for parameter in parameters:
        parameter.requires_grad_(False)
    if not train_mode:
        model.eval()
    unquiet = [] if train_mode else [module for module in model.modules() if module.training]
    buffers = [(buffer, buffer.clone()) for module in unquiet for buffer in module.buffers(recurse=False)]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        for parameter in parameters:
            parameter.requires_grad_(True)
        for module, training in modes:
            module.training = training
