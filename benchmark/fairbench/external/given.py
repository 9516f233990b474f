"""Images and labels that a caller brings along, checked before a model sees them.

    found = given(images, labels, model=model)
    found.sample, found.model               # the model behind copies, if it writes into what it is given

An attack would not notice pixels in [0, 255], labels of the wrong type or a shuffled index; the numbers would.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fairbench.attacks.judging import unit_images
from fairbench.data.class_names import checked_class_names
from fairbench.data.sources import dataset_names
from fairbench.errors import UserError, unknown
from fairbench.evaluation.screening import check_images
from fairbench.external.first_look import look
from fairbench.external.run import device_of
from fairbench.external.sample import Sample, usual_size
from fairbench.models.fingerprint import tensors_sha256

ROUNDING = 1e-5
"""How far outside of [0, 1] a pixel may lie and still be one that was rounded: a hundred times the spacing of float32,
and a three-thousandth of 8/255."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Given:
    """What a caller brought along, ready to be judged.

    Attributes:
        sample: images, labels and what identifies them; the caller's own are left as they are.
        model: from images in [0, 1] to logits.
        remarks: sentences on what was done.
    """

    sample: Sample
    model: nn.Module
    remarks: tuple[str, ...]


def given_sample(
    images: Tensor,
    labels: Tensor,
    *,
    model: nn.Module,
    class_names: Iterable[str] = (),
    dataset: str = "",
    indices: Tensor | None = None,
) -> Sample:
    """The sample of `given`."""
    found = given(images, labels, model=model, class_names=class_names, dataset=dataset, indices=indices)
    return found.sample


def given(
    images: Tensor,
    labels: Tensor,
    *,
    model: nn.Module,
    class_names: Iterable[str] = (),
    dataset: str = "",
    indices: Tensor | None = None,
) -> Given:
    """Images and a model that a caller brings along.

    Args:
        images: (n, channels, height, width), float32 in [0, 1] or uint8.
        labels: (n,) or (n, 1) of an integer type, from 0.
        model: says how many classes there are, where they have no names.
        class_names: by label.
        dataset: its name, if the images are its test set or a part of it.
        indices: positions in the test set, (n,) rising; 0 to n - 1 by default.

    Raises:
        UserError: for anything else.
    """
    if dataset and dataset not in dataset_names():
        raise unknown("dataset", str(dataset), dataset_names(), advice="Leave it out for images of your own.")
    for field, value in (("images", images), ("labels", labels), *([] if indices is None else [("indices", indices)])):
        _check_tensor(value, field)
    if labels.ndim == 2 and len(labels) == len(images) and labels.shape[1] > 1:
        raise UserError(
            f"Labels of shape {tuple(labels.shape)} are not allowed; allowed: (n,). Of one column per class, make "
            "labels by labels.argmax(dim=1)."
        )
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        whole = labels.is_floating_point() and bool((labels == labels.round()).all())
        advice = " Give labels.long()." if whole else ""
        raise UserError(f"Labels of type {labels.dtype} are not allowed; allowed: an integer type.{advice}")
    names = checked_class_names(class_names, given="The class names")
    images, labels = images.detach(), labels.detach().cpu().long()
    if labels.shape == (len(images), 1):
        labels = labels[:, 0]
    images, remarks = _unrounded(images)
    classes = max(2, int(labels.max()) + 1) if labels.numel() else 2
    check_images(images, labels, classes=max(classes, len(names)))
    first = unit_images(images[:2].to(device_of(model)))
    looked = look(model, first, called="The model")
    if names and len(names) != looked.classes:
        raise UserError(
            f"The model returns {looked.classes} logits for an image, and there are {len(names)} class names "
            f"({', '.join(names[:3])}{', ...' * (len(names) > 3)}); allowed: one name for each logit."
        )
    names = names or tuple(map(str, range(looked.classes)))
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
    sample = Sample(name=name, images=images, labels=labels, indices=positions, class_names=names, identity=identity)
    return Given(sample=sample, model=looked.model, remarks=(*remarks, *looked.remarks))


def _check_tensor(value: object, field: str) -> None:
    """Refuse what is no tensor of values that lie somewhere, saying how to make one of it."""
    if not isinstance(value, Tensor):
        advice = {"ndarray": f" Give torch.from_numpy({field}).", "list": f" Give torch.tensor({field})."}
        kind = type(value).__name__
        raise UserError(f"{field} of type {kind} are not allowed; allowed: a torch.Tensor.{advice.get(kind, '')}")
    if value.is_meta or value.layout != torch.strided:
        kind = "without values, on the meta device," if value.is_meta else str(value.layout).removeprefix("torch.")
        raise UserError(f"{field} as a tensor that is {kind} are not allowed; allowed: a dense tensor.")


def _unrounded(images: Tensor) -> tuple[Tensor, tuple[str, ...]]:
    """Images without the pixels that rounding put outside of [0, 1], and the remark that says so."""
    if images.is_inference():
        images = images.clone()  # so that gradients can be taken at it
    if images.dtype != torch.float32 or not images.numel():
        return images, ()
    outside = max(-float(images.min()), float(images.max()) - 1)
    if not 0 < outside <= ROUNDING:
        return images, ()
    remark = f"Pixels outside of [0, 1] by {outside:.2g} at most were taken for rounding, and clamped."
    return images.clamp(0, 1), (remark,)
