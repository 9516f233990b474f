"""Weights and training states on disk. Weights are safetensors; states are read with `weights_only=True`.

Neither format can run code when it is loaded, so a checkpoint from a stranger is safe to open.
"""

import io
import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialised
from torch import Tensor, nn

from fairbench.atomic import atomic
from fairbench.errors import UserError, first_line


def save_weights(path: Path, weights: dict[str, Tensor]) -> None:
    """Write a state dict atomically; equal weights give equal bytes. What several names share is stored for each."""
    content = serialised({name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()})
    with atomic(path) as temporary:
        temporary.write_bytes(content)  # ours to write, so that a full disk is an OSError with its name


def load_weights(path: Path, model: nn.Module) -> None:
    """Load weights into a model, strictly.

    Raises:
        UserError: if the file is missing, is no safetensors file, or belongs to another architecture.
    """
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is not a readable checkpoint ({error}); delete it and run again.") from error
    expected = model.state_dict()
    if set(weights) != set(expected):
        first = sorted(set(weights) ^ set(expected))[:3]
        raise UserError(f"{path} belongs to another architecture; differing keys begin with {', '.join(first)}.")
    for name, tensor in weights.items():
        if tensor.shape != expected[name].shape:
            raise UserError(
                f"{path} belongs to another architecture: {name} has shape {tuple(tensor.shape)}, "
                f"the model wants {tuple(expected[name].shape)}."
            )
    model.load_state_dict(weights)


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a training state (tensors and plain values) atomically."""
    content = io.BytesIO()
    torch.save(state, content)
    with atomic(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load_state(path: Path) -> dict[str, Any]:
    """Read a training state.

    Raises:
        UserError: if the file is not one; nothing is overwritten.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, ValueError, KeyError) as error:
        raise UserError(
            f"{path} is not a readable training state ({first_line(error)}); delete it to train from the beginning."
        ) from error
    if not isinstance(state, dict):
        raise UserError(f"{path} is not a training state; delete it to train from the beginning.")
    return state
