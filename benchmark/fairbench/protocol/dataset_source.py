"""Where the images of a suite come from, and which of them it does without."""

import re
from dataclasses import asdict, dataclass
from typing import Annotated

from fairbench.errors import not_allowed
from fairbench.fields import Allowed, check_fields

Positions = Annotated[
    tuple[int, ...],
    Allowed(
        holds=lambda found: len(set(found)) == len(found) and min(found, default=0) >= 0,
        words="positions from 0, each of them once",
    ),
]
Digest = Annotated[
    str,
    Allowed(
        holds=lambda digest: not digest or re.fullmatch("[0-9a-f]{64}", digest),
        words="64 lower-case hexadecimal digits, the SHA-256 of images and labels",
    ),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Exclusion:
    """Published images that a suite does without.

    Attributes:
        why: a sentence for people; it enters no key.
        train: positions in the published training set, from 0, in any order.
        test: positions in the published test set.
    """

    why: str = ""
    train: Positions = ()
    test: Positions = ()

    def __post_init__(self) -> None:
        check_fields(self, prefix="dataset.exclude.")
        if bool(self.why) != bool(self.train or self.test):
            allowed = "a sentence that says why the images are left out, and none without images"
            raise not_allowed(f"dataset.exclude.why = {self.why!r}", allowed)


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelDigests:
    """What a suite insists on: SHA-256, in hexadecimal, of the published images and labels that are not excluded.

    Of a split's uint8 images (n, height, width, channels) in their order, then its labels as little-endian int64.

    Attributes:
        train: of the training split; "" checks nothing.
        test: of the test split.
    """

    train: Digest = ""
    test: Digest = ""

    def __post_init__(self) -> None:
        check_fields(self, prefix="dataset.pixels.")


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetSource:
    """Where images come from and how the validation split is taken.

    Attributes:
        name: a built-in dataset (`fairbench list datasets`), or the display name of `file`.
        file: an `.npz` file, relative to the suite file; its content, not its path, enters the key.
        validation: share of the training images of every class held out, in (0, 0.5].
        image_size: images are resized to this height and width; 0 keeps them as they are.
        train_images: that many training images are drawn, validation included, each class in equal number, by a fixed
            draw; 0 takes all.
        exclude: published images that are left out before anything else.
        pixels: what the remaining ones must be.
    """

    name: Annotated[str, Allowed(holds=bool, words="a name")]
    file: str = ""
    validation: Annotated[
        float, Allowed(above=0, at_most=0.5, words="a share of the training set in (0, 0.5], such as 0.06 or '1/7'")
    ] = 0.06
    image_size: Annotated[
        int, Allowed(holds=lambda n: n == 0 or n >= 8, words="0 (as stored) or at least 8 pixels")
    ] = 0
    train_images: Annotated[int, Allowed(at_least=0, words="a number of training images, or 0 for all of them")] = 0
    exclude: Exclusion = Exclusion()
    pixels: PixelDigests = PixelDigests()

    def __post_init__(self) -> None:
        check_fields(self, prefix="dataset.")

    def restrictions(self) -> dict[str, object]:
        """What identifies the data beside its name, as plain values; empty where the suite restricts nothing."""
        given: dict[str, object] = {}
        if self.train_images:
            given["train_images"] = self.train_images
        if self.exclude.train or self.exclude.test:
            given["exclude"] = {"train": sorted(self.exclude.train), "test": sorted(self.exclude.test)}
        if self.pixels.train or self.pixels.test:
            given["pixels"] = asdict(self.pixels)
        return given
