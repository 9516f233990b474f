"""Two images through a model, before anything depends on it: what it returns, and what it does to its input.

    looked = look(model, images[:2], called="models.py:robust_resnet", classes=10)
    looked.model            # the model, or the same behind copies if it writes into what it is given

Whatever is accepted here works behind it: a network for other images, of another precision or with another number of
outputs is a sentence now, and not a traceback or a wrong number in an hour.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from textwrap import shorten

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from fairbench.attacks import frozen
from fairbench.attacks.judging import private_randomness
from fairbench.errors import UserError
from fairbench.out_of_memory import is_out_of_memory

WRITES = "The model writes into the images that it is given; it was given copies."


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Looked:
    """A model that was called once.

    Attributes:
        model: leaves what it is given as it was.
        classes: how many it tells apart.
        remarks: sentences on what a reader of its numbers should know.
    """

    model: nn.Module
    classes: int
    remarks: tuple[str, ...]


class OnCopies(nn.Module):
    """A model that writes into its input, and is given copies.

    Args:
        model: images to logits.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """What the model returns."""
        logits: Tensor = self.model(images.clone())
        return logits


def look(model: nn.Module, images: Tensor, *, called: str, classes: int | None = None) -> Looked:
    """Call a model once; it, its modes, the random state and the images are left as they were.

    Args:
        model: from images in [0, 1] to logits.
        images: one or two, float32 in [0, 1], on its device.
        called: what it is to the user, as a sentence begins.
        classes: how many it must tell apart; None if that is for it to say.

    Raises:
        UserError: if it cannot take such images, or returns anything but logits.
    """
    if lazy := [name for name, weight in _weights(model) if is_lazy(weight)]:
        raise UserError(
            f"{called} has weights that do not exist before its first call ({lazy[0]!r}): call it once in its factory, "
            "on images of this size, or give its layers their sizes."
        )
    given = images.clone()
    version = given._version  # noqa: SLF001  torch counts what is written into a tensor, and nowhere else says so
    try:
        with buffers_kept(model), frozen(model), private_randomness(0), torch.no_grad():
            logits = model(given)
    except (Exception, SystemExit) as error:  # the border to foreign code: the user shall see whatever it raises
        if isinstance(error, Exception) and is_out_of_memory(error):
            raise
        raise UserError(_refusal(model, images, error, called=called)) from error
    if not (isinstance(logits, Tensor) and logits.is_floating_point()):
        kind = f"a tensor of {logits.dtype}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        raise UserError(
            f"{called} returns {kind}; a model returns logits alone. It must return logits of shape (batch, classes), "
            "and nothing else. Write a factory that unwraps them."
        )
    if problem := _misshapen(logits, count=len(images), classes=classes):
        raise UserError(f"{called} {problem}")
    writes = given._version != version or not torch.equal(given, images)  # noqa: SLF001  as above
    found = OnCopies(model) if writes else model
    return Looked(model=found, classes=logits.shape[1], remarks=(WRITES,) if writes else ())


@contextmanager
def buffers_kept(model: nn.Module) -> Iterator[None]:
    """Give a model the buffers back that it had; a forward that switches batch norm to train mode moves them."""
    held = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                if name in held and not torch.equal(buffer, held[name]):
                    buffer.copy_(held[name])


def _refusal(model: nn.Module, images: Tensor, error: BaseException, *, called: str) -> str:
    """Why a model raised: its weights are of another precision than the images, or it is for other images."""
    said = f"{type(error).__name__}: {shorten(str(error), 300).rstrip('.')}"
    for name, tensor in _weights(model):
        if tensor.is_floating_point() and tensor.dtype != images.dtype:
            kind = str(tensor.dtype).removeprefix("torch.")
            return (
                f"{called} has weights of type {kind} ({name!r}), and cannot take images, which are float32: {said}. "
                "Attacks and verdicts are computed in float32: give it as model.float()."
            )
    channels, height, width = images.shape[1:]
    advice = "Check which dataset it was made for."
    if width in (1, 3) and channels > width:
        advice = "Channels seem to come last: images.permute(0, 3, 1, 2)."
    return f"{called} cannot take images of {channels}x{height}x{width} (channels, height, width): {said}. {advice}"


def _weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _misshapen(logits: Tensor, *, count: int, classes: int | None) -> str:
    """What is wrong with a shape, as the rest of a sentence; "" if nothing is."""
    wanted = f"({count}, {'classes' if classes is None else classes})"
    if logits.shape == (count, 1) or (logits.shape == (count,) and classes in (None, 2)):
        return (
            f"returns one logit for each image; logits have the shape {wanted}, one column for each class. For two "
            "classes, return two columns: torch.stack([0 * logit, logit], dim=1), with one logit per image in `logit`."
        )
    if logits.ndim == 2 and len(logits) == count:
        if classes in (None, logits.shape[1]):
            return ""
        return (
            f"distinguishes {logits.shape[1]} classes, the dataset has {classes}. Check which dataset it was trained "
            "on, and how many classes its factory builds."
        )
    flat = logits.ndim > 2 and logits[0].numel() == logits.shape[1] and len(logits) == count
    advice = " Flatten it: logits.flatten(1)." if flat else ""
    return (
        f"turns {count} images into an output of shape {tuple(logits.shape)}; logits have the shape {wanted}.{advice}"
    )
