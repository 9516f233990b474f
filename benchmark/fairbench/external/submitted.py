"""Adversarial images that somebody found by whatever means, as an attack: they are judged, and not believed.

    attack = Submitted.read(Path("found.npz"), shape=(3, 32, 32))       # `images` (n, ...), `indices` (n,)

Whoever breaks a model with an attack of their own need not bring the attack: the file holds one or more candidates for
some of the test images, by position, and each counts if it lies in the ball and the model takes it for another class.
"""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from fairbench.attacks.further.contract import ChunkNoise
from fairbench.errors import UserError, first_line
from fairbench.identity import file_sha256
from fairbench.protocol.threat import Threat

NAME = "submitted"

NEAR = 1.0
"""How far outside of [0, 1] a pixel may lie and still be a point that an attack left there; it counts nowhere."""

DIGITS = 12
"""Of the digest of the file in the attack's text."""


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """Candidates by the position of their image in the test set.

    Attributes:
        text: `submitted#<digest of the file>`.
        candidates: by position, each (channels, height, width) in [0, 1].
    """

    text: str
    candidates: dict[int, list[Tensor]] = field(repr=False)

    @classmethod
    def read(cls, path: Path, *, shape: tuple[int, int, int]) -> Self:
        """Read a file.

        Args:
            path: an `.npz` file with `images`, (n, height, width, channels) or (n, channels, height, width), uint8 or
                float in [0, 1], and `indices`, (n,) positions in the test set.
            shape: of the test images, (channels, height, width).

        Raises:
            UserError: if it is anything else.
        """
        wanted = (
            f"an .npz file with `images` of {shape[1]}x{shape[2]} pixels and {shape[0]} channels, uint8 or float in "
            "[0, 1], and as many `indices`, positions in the test set"
        )
        try:
            with np.load(path, allow_pickle=False) as stored:
                images, indices = stored["images"], stored["indices"]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise UserError(f"Cannot read {path} ({first_line(error)}); allowed: {wanted}.") from error
        last = (*shape[1:], shape[0])
        if images.ndim == 4 and images.shape[1:] == last and last != shape:
            images = images.transpose(0, 3, 1, 2)
        whole = indices.ndim == 1 and np.issubdtype(indices.dtype, np.integer) and len(indices) == len(images)
        kind = images.dtype == np.uint8 or np.issubdtype(images.dtype, np.floating)
        if images.ndim != 4 or images.shape[1:] != shape or not kind or not whole:
            raise UserError(
                f"{path} holds images of shape {images.shape} and type {images.dtype} with indices of shape "
                f"{indices.shape} and type {indices.dtype}; allowed: {wanted}."
            )
        values = torch.from_numpy(np.ascontiguousarray(images))
        values = values.float() / 255 if images.dtype == np.uint8 else values.float()
        if not bool(((values >= -NEAR) & (values <= 1 + NEAR)).all()):
            raise UserError(
                f"{path} holds pixels from {float(values.min()):g} to {float(values.max()):g}; allowed: {wanted}."
            )
        candidates: dict[int, list[Tensor]] = {}
        for index, image in zip(indices.tolist(), values, strict=True):
            candidates.setdefault(index, []).append(image)
        return cls(text=f"{NAME}#{file_sha256(path)[:DIGITS]}", candidates=candidates)

    def check_some(self, positions: Tensor, *, origin: Path) -> None:
        """Refuse candidates for none of the images that are evaluated.

        Args:
            positions: of these images in the test set, (n,).
            origin: names the file.
        """
        if not set(positions.tolist()) & set(self.candidates):
            low, high = min(self.candidates, default=0), max(self.candidates, default=0)
            raise UserError(
                f"{origin} has candidates for none of the {len(positions)} images that are evaluated: its indices go "
                f"from {low} to {high}; allowed: positions in the whole test set, counted from 0."
            )

    def __call__(
        self, model: nn.Module, images: Tensor, labels: Tensor, threat: Threat, noise: ChunkNoise
    ) -> Iterator[Tensor]:
        """The first candidate of every image, then the second; an image without one stays as it is."""
        del model, labels, threat
        positions = noise.indices.tolist()
        for number in range(max((len(self.candidates.get(index, ())) for index in positions), default=0)):
            points = images.clone()
            for row, index in enumerate(positions):
                given = self.candidates.get(index, [])
                if number < len(given):
                    points[row] = given[number].to(images.device)
            yield points
