"""SHA-256 of what a verdict depends on: weights and data, by value, wherever they lie and however they are stored."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn


def weights_sha256(model: nn.Module) -> str:
    """Digest of the parameters and buffers of a model, by name."""
    return tensors_sha256({name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)})


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Digest of named tensors: names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}\x1f{tensor.dtype}\x1f{tuple(tensor.shape)}\x1f".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
