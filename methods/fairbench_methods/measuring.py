"""Looking at a network without touching it."""

import torch
from torch import Tensor, nn

from fairbench.attacks import frozen
from fairbench.suite import Threat


def measured_logits(model: nn.Module, images: Tensor, *, threat: Threat) -> Tensor:
    """Logits as the attack sees them, (batch, classes): eval mode, no gradient, the attack's precision.

    Batch-norm buffers and modes are as before afterwards, and no random number is drawn.
    """
    precision = torch.autocast(images.device.type, torch.bfloat16, enabled=threat.attack_precision == "bf16")
    with frozen(model), torch.no_grad(), precision:
        logits: Tensor = model(images)
    return logits.float()
