"""Elementary operations, each with an amount of its own for every image.

    transformed(images, choice, amounts)      # image i under operation number choice[i], by amounts[i]

These are the operations of `torchvision.transforms.v2`, which takes one amount for a whole batch. An amount with a sign
is a direction; operations that have none take its size, or no amount at all. What moves in from outside is black.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

Operation = Callable[[Tensor, Tensor], Tensor]
"""(images (n, channels, height, width), amounts (n,) float32) -> images."""


def transformed(images: Tensor, choice: Tensor, amounts: Tensor) -> Tensor:
    """Each image under the operation chosen for it.

    Args:
        images: (batch, channels, height, width).
        choice: positions in `OPERATIONS`, (batch,).
        amounts: in the unit of that operation, (batch,) float32.
    """
    sizes = choice.bincount(minlength=len(OPERATIONS)).tolist()
    groups = torch.split(choice.argsort(stable=True), sizes)
    found = torch.empty_like(images)
    for operation, rows in zip(OPERATIONS.values(), groups, strict=True):
        if len(rows):
            found[rows] = operation(images[rows], amounts[rows])
    return found


def _shear_x(images: Tensor, amounts: Tensor) -> Tensor:
    """By a tangent; the top row stays."""
    x, y = _centred(images)
    return _sampled(images, x + _each(amounts) * (y + images.shape[2] / 2), y)


def _shear_y(images: Tensor, amounts: Tensor) -> Tensor:
    """By a tangent; the left column stays."""
    x, y = _centred(images)
    return _sampled(images, x, y + _each(amounts) * (x + images.shape[3] / 2))


def _translate_x(images: Tensor, amounts: Tensor) -> Tensor:
    """To the right, by whole pixels, rounded towards zero: by none on very small images."""
    x, y = _centred(images)
    return _sampled(images, x - _each(amounts.trunc()), y)


def _translate_y(images: Tensor, amounts: Tensor) -> Tensor:
    """Downwards, likewise."""
    x, y = _centred(images)
    return _sampled(images, x, y - _each(amounts.trunc()))


def _rotate(images: Tensor, amounts: Tensor) -> Tensor:
    """Counterclockwise around the centre, by degrees."""
    x, y = _centred(images)
    angle = _each(amounts.double().deg2rad())
    cosine, sine = angle.cos().float(), angle.sin().float()
    return _sampled(images, cosine * x - sine * y, sine * x + cosine * y)


def _brightness(images: Tensor, amounts: Tensor) -> Tensor:
    """Times 1 + amount."""
    return _as_before(images * (1 + _each(amounts)), images)


def _saturation(images: Tensor, amounts: Tensor) -> Tensor:
    """Away from grey; an image of one channel stays as it is."""
    return images if images.shape[1] == 1 else _blended(images, _grey(images), amounts)


def _contrast(images: Tensor, amounts: Tensor) -> Tensor:
    """Away from the mean grey level."""
    return _blended(images, _grey(images).mean(dim=(2, 3), keepdim=True), amounts)


def _sharpness(images: Tensor, amounts: Tensor) -> Tensor:
    """Away from the smoothed image, whose border is the original's."""
    exact = images.float()
    # The kernel is 5/13 in the middle and 1/13 around. As a mean it needs no convolution, which TF32 would round.
    smooth = (9 * avg_pool2d(exact, 3, stride=1) + 4 * exact[..., 1:-1, 1:-1]) / 13
    smoothed = exact.clone()
    smoothed[..., 1:-1, 1:-1] = smooth if images.is_floating_point() else smooth.round()
    return _blended(images, smoothed, amounts)


def _posterize(images: Tensor, amounts: Tensor) -> Tensor:
    """To that many bits."""
    levels = _each(2 ** amounts.abs())
    if images.is_floating_point():
        return (images * levels).floor().minimum(levels - 1) / levels
    return images & (256 - 256 / levels).byte()


def _solarize(images: Tensor, amounts: Tensor) -> Tensor:
    """Invert what is at least as bright as that share of white."""
    return torch.where(images >= _each(amounts.abs()) * _white(images), _white(images) - images, images)


# Importing them takes as long as torch itself, and most trainings do not use them.
def _autocontrast(images: Tensor, _: Tensor) -> Tensor:
    from torchvision.transforms.v2.functional import autocontrast  # noqa: PLC0415

    found: Tensor = autocontrast(images)
    return found


def _equalize(images: Tensor, _: Tensor) -> Tensor:
    from torchvision.transforms.v2.functional import equalize  # noqa: PLC0415

    found: Tensor = equalize(images)
    return found


OPERATIONS: dict[str, Operation] = {
    "identity": lambda images, _: images,
    "shear-x": _shear_x,
    "shear-y": _shear_y,
    "translate-x": _translate_x,
    "translate-y": _translate_y,
    "rotate": _rotate,
    "brightness": _brightness,
    "saturation": _saturation,
    "contrast": _contrast,
    "sharpness": _sharpness,
    "posterize": _posterize,
    "solarize": _solarize,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "invert": lambda images, _: _white(images) - images,
}
"""By name, in torchvision's order."""

NUMBER = {name: number for number, name in enumerate(OPERATIONS)}
"""The position of each operation."""


def _centred(images: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates of pixels relative to the centre: x (1, 1, 1, width) and y (1, 1, height, 1)."""
    height, width = images.shape[2:]
    x = torch.arange(width, device=images.device) - (width - 1) / 2
    y = torch.arange(height, device=images.device) - (height - 1) / 2
    return x.view(1, 1, 1, -1), y.view(1, 1, -1, 1)


def _sampled(images: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The nearest pixel to each place, (batch, 1, height, width) together, relative to the centre; black outside."""
    height, width = images.shape[2:]
    columns, rows = (x + (width - 1) / 2).round().long(), (y + (height - 1) / 2).round().long()
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    position = (rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)).flatten(2)
    found = images.flatten(2).gather(2, position.expand(-1, images.shape[1], -1)).view_as(images)
    return found.where(inside, 0)


def _blended(images: Tensor, other: Tensor, amounts: Tensor) -> Tensor:
    """Away from the other image for positive amounts, towards it for negative ones; at -1 it is the other one."""
    return _as_before(torch.addcmul(images.float(), images - other, _each(amounts)), images)


def _grey(images: Tensor) -> Tensor:
    """Luma in the range of the images, float32, in whole levels for bytes; (batch, 1, height, width)."""
    if images.shape[1] == 1:
        return images.float()
    red, green, blue = images.float().unbind(dim=1)
    luma = (0.2989 * red + 0.587 * green + 0.114 * blue)[:, None]
    return luma if images.is_floating_point() else luma.floor()


def _as_before(values: Tensor, images: Tensor) -> Tensor:
    """In the range and type of the images; bytes are rounded down, as the reference does."""
    return values.clamp(0, _white(images)).to(images.dtype)


def _white(images: Tensor) -> int:
    return 1 if images.is_floating_point() else 255


def _each(amounts: Tensor) -> Tensor:
    """One amount for all pixels of an image."""
    return amounts.view(-1, 1, 1, 1)
