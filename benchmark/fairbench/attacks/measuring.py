"""Looking at a network without touching it: what hardness, temperatures or a teacher's targets are read from.

target = measured_logits(teacher, batch.images, threat=self.threat)
"""

import torch
from torch import Tensor, nn

from fairbench.attacks.frozen import frozen
from fairbench.protocol.threat import Threat


def measured_logits(model: nn.Module, images: Tensor, *, threat: Threat) -> Tensor:
    """Logits as the attack sees them, (batch, classes) fp32: eval mode, no gradient, the attack's precision.

    Batch-norm buffers and modes are as before afterwards, and no random number is drawn.

    Args:
        model: in any mode.
        images: (batch, channels, height, width) in [0, 1].
        threat: whose `attack_precision` decides, also inside the training's autocast.
    """
    precision = torch.autocast(images.device.type, torch.bfloat16, enabled=threat.attack_precision == "bf16")
    with frozen(model), torch.no_grad(), precision:
        logits: Tensor = model(images)
    return logits.float()
