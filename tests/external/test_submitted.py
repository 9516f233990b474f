"""Adversarial images of a stranger: any usual layout is read, what holds counts, and the rest is a sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fairbench.attacks.further.contract import ChunkNoise
from fairbench.attacks.standard.noise import ImageNoise
from fairbench.errors import UserError
from fairbench.external.submitted import Submitted
from fairbench.protocol.threat import Threat


def candidates(attack: Submitted, images: Tensor, positions: list[int]) -> list[Tensor]:
    noise = ChunkNoise(ImageNoise(0), "x", indices=torch.tensor(positions), shape=tuple(images.shape[1:]))
    labels = torch.zeros(len(images), dtype=torch.long)
    return list(attack(nn.Identity(), images, labels, Threat(epsilon=0.1, step=0.1), noise))


def test_candidates_go_to_their_images(tmp_path: Path) -> None:
    """By position in the test set; two of one image come one after the other."""
    stored = np.stack([np.full((3, 4, 4), value, np.float32) for value in (0.1, 0.2, 0.3)])
    np.savez(tmp_path / "a.npz", images=stored, indices=np.array([7, 3, 7]))
    attack = Submitted.read(tmp_path / "a.npz", shape=(3, 4, 4))
    images = torch.full((3, 3, 4, 4), 0.9)
    first, second = candidates(attack, images, [3, 5, 7])
    assert first[:, 0, 0, 0].tolist() == pytest.approx([0.2, 0.9, 0.1])
    assert second[:, 0, 0, 0].tolist() == pytest.approx([0.9, 0.9, 0.3])
    assert candidates(attack, images[:1], [5]) == []


@pytest.mark.parametrize("kind", ["channels last", "uint8"])
def test_usual_layouts_are_read(tmp_path: Path, kind: str) -> None:
    drawn = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5), dtype=np.uint8)
    images = drawn if kind == "uint8" else (drawn / 255).astype(np.float64).transpose(0, 2, 3, 1)
    np.savez(tmp_path / "a.npz", images=images, indices=[0, 1])
    attack = Submitted.read(tmp_path / "a.npz", shape=(3, 4, 5))
    assert torch.allclose(attack.candidates[1][0], torch.from_numpy(drawn[1]).float() / 255)
    assert attack.text.startswith("submitted#")


@pytest.mark.parametrize(
    "arrays",
    [
        {"images": np.zeros((2, 3, 4, 4))},
        {"images": np.zeros((2, 3, 4, 4)), "indices": np.zeros(3, int)},
        {"images": np.zeros((2, 3, 5, 4)), "indices": np.zeros(2, int)},
        {"images": np.zeros((2, 3, 4, 4), int), "indices": np.zeros(2, int)},
        {"images": np.zeros((2, 3, 4, 4)), "indices": np.zeros(2)},
        {"images": np.array([{}]), "indices": np.zeros(1, int)},
        {"images": np.full((2, 3, 4, 4), 255.0), "indices": np.zeros(2, int)},
        {"images": np.full((2, 3, 4, 4), np.nan), "indices": np.zeros(2, int)},
    ],
    ids=["no indices", "too many", "another size", "integers", "real positions", "objects", "levels", "NaN"],
)
def test_anything_else_is_refused(tmp_path: Path, arrays: dict[str, Any]) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UserError, match=r"allowed: an \.npz file with `images` of 4x4 pixels and 3 channels"):
        Submitted.read(tmp_path / "a.npz", shape=(3, 4, 4))


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_text("nothing")
    with pytest.raises(UserError, match="Cannot read"):
        Submitted.read(tmp_path / "a.npz", shape=(3, 4, 4))


def test_candidates_for_other_images_are_told(tmp_path: Path) -> None:
    """Positions in the part that was attacked, and not in the test set, would count for nothing."""
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 3, 4, 4), np.float32), indices=np.array([1, 2]))
    attack = Submitted.read(tmp_path / "a.npz", shape=(3, 4, 4))
    attack.check_some(torch.tensor([2, 900]), origin=tmp_path / "a.npz")
    with pytest.raises(UserError, match=r"a\.npz has candidates for none of the 2 images .* go from 1 to 2; allowed"):
        attack.check_some(torch.tensor([700, 900]), origin=tmp_path / "a.npz")
