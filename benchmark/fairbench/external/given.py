"""Images and labels that a caller brings along, checked before a model sees them.

    sample = given_sample(images, labels, model=model)

An attack would not notice pixels in [0, 255], labels of the wrong type or a shuffled index; the numbers would.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fairbench.attacks import frozen
from fairbench.attacks.judging import private_randomness, unit_images
from fairbench.data.sources import dataset_names
from fairbench.errors import UserError, unknown
from fairbench.evaluation.screening import check_images
from fairbench.external.run import device_of
from fairbench.external.sample import Sample, usual_size
from fairbench.models.fingerprint import tensors_sha256


def given_sample(
    images: Tensor,
    labels: Tensor,
    *,
    model: nn.Module,
    class_names: Sequence[str] = (),
    dataset: str = "",
    indices: Tensor | None = None,
) -> Sample:
    """Images that a caller brings along.

    Args:
        images: (n, channels, height, width), float32 in [0, 1] or uint8.
        labels: (n,) of an integer type, from 0.
        model: says how many classes there are, where they have no names.
        class_names: by label.
        dataset: its name, if the images are its test set or a part of it.
        indices: positions in the test set, (n,) rising; 0 to n - 1 by default.

    Raises:
        UserError: for anything else.
    """
    if dataset and dataset not in dataset_names():
        raise unknown("dataset", dataset, dataset_names(), advice="Leave it out for images of your own.")
    for field, value in (("images", images), ("labels", labels), *([] if indices is None else [("indices", indices)])):
        if not isinstance(value, Tensor):
            raise UserError(f"{field} of type {type(value).__name__} are not allowed; allowed: a torch.Tensor.")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise UserError(f"Labels of type {labels.dtype} are not allowed; allowed: an integer type.")
    images, labels = images.detach(), labels.detach().cpu().long()
    classes = max(2, int(labels.max()) + 1) if labels.numel() else 2
    check_images(images, labels, classes=max(classes, len(class_names)))
    names = tuple(class_names) or tuple(map(str, range(_logits(model, images))))
    if len(set(names)) < len(names):
        raise UserError(f"The class names {', '.join(names)} are not allowed; allowed: different ones.")
    positions = torch.arange(len(images)) if indices is None else indices.cpu()
    if positions.is_floating_point() or positions.is_complex() or positions.dtype == torch.bool:
        raise UserError(f"indices of type {positions.dtype} are not allowed; allowed: an integer type.")
    if positions.shape != labels.shape or bool((positions.diff() <= 0).any()) or int(positions[0]) < 0:
        raise UserError(
            f"indices of shape {tuple(positions.shape)} are not allowed; allowed: (n,), one for every image, rising "
            "from 0 or more."
        )
    size = usual_size(dataset)
    if size and images.shape[2:] != (size, size):
        raise UserError(
            f"Images of {images.shape[2]}x{images.shape[3]} pixels are not those of {dataset}, which its suite resizes "
            f"to {size}x{size}. Leave the dataset out for images of your own."
        )
    name = dataset or "images"
    identity = {
        "name": name,
        "image_size": size,
        "sha256": "" if dataset else tensors_sha256({"images": images, "labels": labels}),
    }
    return Sample(name=name, images=images, labels=labels, indices=positions, class_names=names, identity=identity)


def _logits(model: nn.Module, images: Tensor) -> int:
    """How many classes a model knows, from two images."""
    with frozen(model), private_randomness(0), torch.no_grad():
        logits = model(unit_images(images[:2].to(device_of(model))))
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise UserError("The model must return logits of shape (batch, classes), and nothing else.")
    return logits.shape[1]
