"""A model under judgement: exact arithmetic, logits in fp32, private randomness, one rule for its prediction.

    with exact_arithmetic(images.device), frozen(model), torch.no_grad():
        predicted = predictions(Judged(model, classes=10)(images), labels)

Training may use bf16 where a suite allows it; a verdict never does.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node, get_gradient_edge

from fairbench.errors import UserError


@contextmanager
def exact_arithmetic(device: torch.device) -> Iterator[None]:
    """Products in full fp32, without TF32 or autocast; the caller's settings are restored."""
    matmul, convolution = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = convolution


@contextmanager
def private_randomness(seed: int) -> Iterator[None]:
    """Torch's global generators, seeded for the attack (or a model that draws); the caller's states are restored."""
    in_use: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]  # torch ships it untyped
    # All of them, because seeding reaches all of them.
    with torch.random.fork_rng(list(range(torch.cuda.device_count())) if in_use else []):
        torch.random.manual_seed(seed)
        yield


def unit_images(images: Tensor) -> Tensor:
    """Images in [0, 1] as float32, from the same or from uint8."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


def predictions(logits: Tensor, labels: Tensor) -> Tensor:
    """Predicted classes, (batch,): the first largest logit; any other class than the label if a logit is not finite."""
    finite = logits.isfinite().all(dim=1)
    return torch.where(finite, logits.argmax(dim=1), another_class(labels))


def another_class(labels: Tensor) -> Tensor:
    """A class that is not the label, (batch,): 0, or 1 for label 0. It stands for logits that are not finite."""
    return (labels == 0).to(labels.dtype)


class Judged(nn.Module):
    """The same model with fp32 logits, and a zero input gradient where it has none.

    It has none if it decides on a quantised input without a gradient, say, or on what its own optimisation left of it.

    Args:
        model: images to logits (batch, classes).
        classes: how many it must have.
    """

    def __init__(self, model: nn.Module, *, classes: int) -> None:
        super().__init__()
        self.model = model
        self.classes = classes

    def forward(self, images: Tensor) -> Tensor:
        """Logits, (batch, classes) float32.

        Raises:
            UserError: if the model returns anything of another shape.
        """
        logits: Tensor = self.model(images)
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        if shape != (len(images), self.classes):
            raise UserError(
                f"The model returned {shape} for {len(images)} images; allowed: logits of shape "
                f"{(len(images), self.classes)}, one column for each of {self.classes} classes."
            )
        if images.requires_grad and not _reaches(logits, images):
            logits = logits + 0 * images.flatten(1).sum(dim=1, keepdim=True)
        return logits.float()


def _reaches(logits: Tensor, images: Tensor) -> bool:
    """Whether a way back leads from the logits to the images; they may want gradients of something else alone."""
    end = get_gradient_edge(images).node
    waiting, seen = [logits.grad_fn], set[Node]()
    while waiting:
        node = waiting.pop()
        if node is end:
            return True
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [before for before, _ in node.next_functions]
    return False
