"""Weight averaging over epochs: a recipe option for every method alike, and CFA's when its gate lets it.

    average <- d average + (1 - d) weights,    the first admitted epoch sets average = weights.

The whole state dict is averaged, batch-norm buffers included, so the average needs no recalibration. Until the first
admitted epoch there is none, and the model itself is what is evaluated.
"""

import torch
from torch import Tensor, nn

from fairbench.method.schedule import begins_at
from fairbench.protocol.recipe import Recipe


class WeightAverage:
    """An exponential moving average of a model's state dict, once per epoch.

    Args:
        recipe: its averaging fields.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._decay = recipe.averaging_decay
        self._start = begins_at(recipe.averaging_start, recipe.epochs)
        self._on = recipe.averaging == "ema"
        self.weights: dict[str, Tensor] = {}

    def due(self, epoch: int) -> bool:
        """Whether this 0-based epoch may enter the average."""
        return self._on and epoch >= self._start

    def add(self, model: nn.Module) -> None:
        """Let the model's present weights enter the average."""
        for name, tensor in model.state_dict().items():
            if name not in self.weights or not tensor.is_floating_point():
                self.weights[name] = tensor.detach().clone()
            else:
                self.weights[name].mul_(self._decay).add_(tensor.detach(), alpha=1 - self._decay)

    def copy_to(self, model: nn.Module) -> None:
        """Give another model of the same architecture the averaged weights."""
        with torch.no_grad():
            model.load_state_dict(self.weights)
