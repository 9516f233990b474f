"""The network an attack searches with: the model at less cost, compared with it before it is believed.

    searching = search_model(judged, images, indices=indices, precision="fp32", batch_size=500)
    searching(points)           # logits up to round-off; a break that they show counts if `judged` confirms it

In fp32 it is the model's `shortcut`, where it has one. Else it is a copy of the model with batch norm folded into the
convolutions before it; on a CPU, where it pools, in channels-last order; in bf16, if asked for, the products of
convolutions and linear layers too. Ratio of times of a forward and of a forward with the gradient to the input, 128 to
340 images (16 for the ResNet), one core with AVX-512 and its bf16 instructions, torch 2.14, of such copies:

    network                         fp32            bf16
    digits CNN                      1.1  1.3        1.1  1.8
    MNIST CNN, no batch norm        1.3  1.5        3.9  3.9
    cifar-cnn                       1.1  1.2        1.6  2.3
    two strided convolutions        1.0  1.0        1.1  1.5
    resnet18                        1.0  1.0        1.9  2.4

Measured and left out: torch.compile and `torch.jit.optimize_for_inference`, which were no faster than folding; and the
gradient to the image as a product of matrices, since oneDNN prefers blocks of sixteen channels. It makes that one
convolution two or three times faster, but APGD-CE in fp32 only 1.0 times (digits-cnn) or 1.1 (mnist-cnn, cifar-cnn).
"""

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from fairbench.attacks.judging import Judged, private_randomness, unit_images
from fairbench.attacks.shortcut import Shortened
from fairbench.protocol.threat import Precision

LOGIT_TOLERANCE = 1e-4
"""Largest difference of a logit, in units of the largest logit; folding ResNet-18 changes 3e-7 of it."""

GRADIENT_TOLERANCE = 1e-2
"""Largest difference of the gradient to the input, in units of its length, on all but `OUTLIERS` of the images.
Folding ResNet-18 changes 6e-7 of it on most images; where a ReLU's input changes its sign, 3e-3."""

OUTLIERS = 0.1

COMPARED = 500
"""Images; what goes wrong in a copy goes wrong on most of them."""


def search_model(judged: Judged, images: Tensor, *, indices: Tensor, precision: Precision, batch_size: int) -> Judged:
    """The copy, or the model itself where there is none that agrees with it.

    Tracing a model's code may fail, bake in what the model draws, or lose hooks and gradients of its own; so logits and
    gradients of the copy are compared, in fp32. What bf16 then changes is not: it may hide a break, and a break it
    invents is not confirmed.

    Args:
        judged: frozen and in eval mode; unchanged.
        images: all that are evaluated, (n, channels, height, width), float32 in [0, 1] or uint8.
        indices: of the images in the test set, (n,). The first `COMPARED` of the set are compared, so that the choice
            depends neither on the order of the images nor on the size of the batches.
        precision: of the products; logits are fp32.
        batch_size: of the comparison.
    """
    network: nn.Module | None = None
    if precision == "fp32":
        network = Shortened.of(judged.model, unit_images(images[:1]))
    if network is None:
        network = _folded(judged.model)
        if network is not None:
            network = _arranged(network, precision=precision, on_cpu=images.device.type == "cpu")
    if network is not None:
        some = images[indices.argsort()[:COMPARED]]
        if not _agree(Judged(network, classes=judged.classes), judged, some, batch_size=batch_size):
            network = None
    if network is None and precision == "fp32":
        return judged
    if network is not None and precision == "bf16":
        for layer in network.modules():
            if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)):
                layer.bfloat16()  # autocast would convert frozen weights again in every pass
    chosen = judged.model if network is None else network
    return Judged(_Search(chosen, judged, precision=precision), classes=judged.classes)


class _Search(nn.Module):
    """A network in a precision; where its logits are not finite, those of the model, which alone may say so.

    Args:
        network: the copy, or the model itself.
        judged: the model.
        precision: of the products.
    """

    def __init__(self, network: nn.Module, judged: Judged, *, precision: Precision) -> None:
        super().__init__()
        self.network = network
        self.judged = judged
        self.precision = precision

    def forward(self, points: Tensor) -> Tensor:
        """Logits, (batch, classes) float32."""
        with torch.autocast(points.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            logits: Tensor = self.network(points).float()
        finite = logits.isfinite().all(dim=1, keepdim=True)
        return logits if bool(finite.all()) else torch.where(finite, logits, self.judged(points))


def _folded(model: nn.Module) -> nn.Module | None:
    """A copy with batch norm folded into convolutions; none if the model cannot be copied or traced."""
    try:
        copy: nn.Module = fuse(model)
    except Exception:  # noqa: BLE001  a model's own code runs here on stand-ins for tensors and may raise anything
        return None
    return copy


def _arranged(network: nn.Module, *, precision: Precision, on_cpu: bool) -> nn.Module:
    """The same network with its convolutions as the device likes them, in place."""
    # On a CPU what this order speeds up is pooling. Tensor cores take bf16 in it, but not fp32 without TF32.
    pools = any(isinstance(layer, nn.MaxPool2d) for layer in network.modules())
    if pools if on_cpu else precision == "bf16":
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                layer.to(memory_format=torch.channels_last)
    return network


def _agree(copy: Judged, judged: Judged, images: Tensor, *, batch_size: int) -> bool:
    """Whether two networks are the same function up to round-off."""
    scales, differences, close = [], [], []
    with private_randomness(0):  # a model that draws disagrees with any copy, and shall not disturb the caller
        for batch in torch.split(images, batch_size):
            logits, gradient = _logits_and_gradient(copy, unit_images(batch))
            expected, expected_gradient = _logits_and_gradient(judged, unit_images(batch))
            scales.append(expected.abs().amax())
            differences.append((logits - expected).abs().amax())
            length = expected_gradient.norm(dim=1)
            close.append((gradient - expected_gradient).norm(dim=1) <= GRADIENT_TOLERANCE * length)
    # A NaN on either side is no agreement.
    alike = torch.stack(differences).amax() <= LOGIT_TOLERANCE * torch.stack(scales).amax()
    return bool(alike) and bool(torch.cat(close).float().mean() >= 1 - OUTLIERS)


def _logits_and_gradient(network: Judged, images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (batch, classes) and the gradient of half their squared length to the image, (batch, pixels)."""
    with torch.enable_grad():
        points = images.detach().clone().requires_grad_()
        logits: Tensor = network(points)
        (gradient,) = torch.autograd.grad(logits, points, grad_outputs=logits.detach())
    return logits.detach(), gradient.flatten(1)
