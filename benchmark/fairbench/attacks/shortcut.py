"""A shorter way through a small frozen network: the same function and the same gradient to the image, in less time.

    with frozen(model), shortcut(model, images):
        logits = model(points)          # hooks on the model, such as those that count passes, see it as ever

On 8x8 images a training attack spends most of its time not on arithmetic: batch norm goes back by a slow kernel, the
gradient to an image of one channel takes three times its forward, activations are reordered, and autograd walks over
a dozen nodes. Here batch norm is folded into the weights, the layers are those of `shortcut_layers`, in channels-last
order from end to end, and autograd sees one node. Weights are read when the context is entered, so they must not
change inside.

It exists for plain stacks on a CPU in fp32: normalisation, then convolutions, batch norm, ReLU, an average over
positions, flattening and linear layers, each of torch's own type and without hooks of its own. Everything else goes its
usual way, as does a model whose operations somebody counts. What the stack computes is known from its types alone, so
that a training that was interrupted goes on by the same way.

CPU time of ten steps of PGD on 128 images in milliseconds, one core that other processes shared (see
`tests/performance/test_shortcut.py`):

    digits-cnn          8x8x1      41 ->  23   1.8x
    digits-cnn-wide     8x8x1      69 ->  45   1.6x
    mnist-cnn         28x28x1     937 -> 478   1.5x
    cifar-cnn         32x32x3     908 -> 716   1.3x

Measured and left out: a fused weight update, and fewer checks in a training step (0.1 of its 33 ms together).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

from fairbench.attacks.convolution_geometry import Shape
from fairbench.attacks.shortcut_layers import Average, Layer, convolution, linear
from fairbench.models.normalised import Normalised


@contextmanager
def shortcut(model: nn.Module, images: Tensor) -> Iterator[None]:
    """Let calls of the model, and of networks within it, take the shortcut, where there is one.

    Args:
        model: frozen and in eval mode.
        images: (n, channels, height, width), in the shape and on the device of what it will be called with.
    """
    shortened = []
    for network in model.modules():
        if type(network) is Normalised and "forward" not in vars(network):
            way = _Way.through(network, images)
            if way is not None:
                shortened.append(network)
                vars(network)["forward"] = way
    try:
        yield
    finally:
        for network in shortened:
            del vars(network)["forward"]


class Shortened(nn.Module):
    """A copy of a network, by its shortcut; the bits of an image's logits and gradient do not depend on its batch.

    In batches of fewer than `FEWEST` images, products of matrices take another kernel, whose gradients differ by
    round-off; so these are filled up. Measured on the four small networks of `fairbench list models`, one thread, with
    batches of every multiple of four from 4 to 196, and of 256 to 540 images.

    Args:
        way: through the network.
    """

    FEWEST = 16

    def __init__(self, way: "_Way") -> None:
        super().__init__()
        self._way = way

    @classmethod
    def of(cls, model: nn.Module, images: Tensor) -> "Shortened | None":
        """None where there is no shortcut.

        Args:
            model: frozen and in eval mode; later changes of its weights are not seen.
            images: (n, channels, height, width), as it will be called with.
        """
        way = _Way.through(model, images) if type(model) is Normalised else None
        return None if way is None else cls(way)

    def forward(self, points: Tensor) -> Tensor:
        """Logits, (n, classes) float32."""
        missing = self.FEWEST - len(points)
        if missing <= 0 or len(points) == 0:
            return self._way(points)
        return self._way(torch.cat([points, points[-1:].expand(missing, -1, -1, -1)]))[: len(points)]


class _Way:
    """The shortcut of one model with the weights it has.

    Args:
        mean: what normalisation subtracts, (1, channels, 1, 1).
        std: what it divides by.
        shape: of an image.
        layers: in their order, and whether a ReLU follows.
    """

    def __init__(self, mean: Tensor, std: Tensor, shape: Shape, layers: list[tuple[Layer, bool]]) -> None:
        self._mean, self._std, self._shape, self._layers = mean, std, shape, layers

    @classmethod
    def through(cls, model: Normalised, images: Tensor) -> "_Way | None":
        """None where the network is no plain stack, or not to be replaced here."""
        on_cpu = images.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
        if not on_cpu or _get_current_dispatch_mode() is not None:
            return None
        if any(t.dtype != torch.float32 for t in (images, *model.parameters())):
            return None
        shape = (images.shape[1], images.shape[2], images.shape[3])
        layers = _layers(model.network, shape)
        return None if layers is None else cls(model.mean, model.std, shape, layers)

    def __call__(self, points: Tensor) -> Tensor:
        """Logits, (n, classes)."""
        if torch.is_grad_enabled() and points.requires_grad:
            logits: Tensor = _Through.apply(points, self)
            return logits
        return self.forward(points)[-1]

    def forward(self, points: Tensor) -> list[Tensor]:
        """What every layer gives, after its ReLU; the logits come last."""
        given = ((points - self._mean) / self._std).permute(0, 2, 3, 1).flatten(1)
        outputs = []
        for layer, rectified in self._layers:
            given = layer.forward(given)
            if rectified:
                given.relu_()
            outputs.append(given)
        return outputs

    def backward(self, gradient: Tensor, outputs: list[Tensor]) -> Tensor:
        """The gradient to the points of one to the logits."""
        for (layer, rectified), output in zip(reversed(self._layers), reversed(outputs), strict=True):
            if rectified:
                gradient = torch.ops.aten.threshold_backward(gradient, output, 0.0)
            gradient = layer.backward(gradient)
        channels, height, width = self._shape
        return (gradient.view(-1, height, width, channels).permute(0, 3, 1, 2) / self._std).contiguous()


class _Through(torch.autograd.Function):
    """The way as one node of autograd."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, way: _Way) -> Tensor:
        ctx.way, ctx.outputs = way, way.forward(points)
        logits: Tensor = ctx.outputs[-1]
        return logits

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.way.backward(gradients[0], ctx.outputs), None


def _layers(network: nn.Module, shape: Shape) -> list[tuple[Layer, bool]] | None:
    """The layers of a stack, each with whether a ReLU follows; None if it is not one that we know.

    Args:
        network: after normalisation.
        shape: of an image: channels, height, width.
    """
    if type(network) is not nn.Sequential or any(_watched(module) for module in network.modules()):
        return None
    found: list[tuple[Layer, bool]] = []
    modules = list(network)
    flat = False
    while modules:
        module = modules.pop(0)
        layer: Layer | None = None
        if type(module) is nn.Conv2d and not flat:
            norm = modules[0] if modules and type(modules[0]) is nn.BatchNorm2d else None
            modules = modules[1:] if norm is not None else modules
            layer = convolution(module, norm, shape)
        elif type(module) is nn.AdaptiveAvgPool2d and module.output_size == 1 and not flat:
            layer = Average(shape)
        elif type(module) is nn.Linear and flat:
            layer = linear(module, shape)
        elif type(module) is nn.Flatten and not flat and (module.start_dim, module.end_dim) == (1, -1):
            flat = True
            continue
        if layer is None:
            return None
        shape = layer.shape
        rectified = bool(modules) and type(modules[0]) is nn.ReLU
        if rectified:
            modules.pop(0)
        found.append((layer, rectified))
    return found if flat and found and type(list(network)[-1]) is nn.Linear else None


def _watched(module: nn.Module) -> bool:
    """Whether somebody hooked into it, gave it a forward of its own, or lets it learn."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return module.training or "forward" in vars(module) or any(getattr(module, name) for name in hooks)
