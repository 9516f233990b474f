"""Files that claim to hold weights, opened without running anything that is in them.

    content = open_safely(Path("model_best.pth"))       # whatever torch.save was given, or a dictionary of tensors

A pickle is a program. torch's restricted unpickler runs only what tensors and plain values need; numpy's scalars are
added, which training scripts like to store beside the weights (`best_acc`) and which are values too. Everything else is
refused, and a file that is something else entirely is named for what it is.
"""

import pickle
import re
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from fairbench.errors import UserError, first_line

_ADVICE = (
    "Where it can be trusted, load it in Python and save the weights alone: torch.save(model.state_dict(), "
    "'weights.pt'), or safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')."
)
_ZIP = b"PK\x03\x04"
_BEFORE_TORCH_1_6 = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # torch.serialization.MAGIC_NUMBER, pickled
_OTHERS = (
    (b"version https://git-lfs", "is a pointer of git-lfs, not the file itself; fetch it with `git lfs pull`."),
    (b"<", "is a web page, not a checkpoint: the server answered the download with a message. Open it and read."),
    (b"\x1f\x8b", "is compressed with gzip; unpack it first."),
    (b"\x89HDF", "is an HDF5 file, as Keras writes it. Weights of torch are needed."),
    (b"\x93NUMPY", "is a single array of numpy. Weights of torch are needed, by name."),
    (b"\x80", f"is a plain pickle, which could run code; nothing of it was run. {_ADVICE}"),
)
_LARGEST_HEADER = 100_000_000  # bytes; the limit of safetensors itself

# A scalar is rebuilt by a function that numpy 2 moved, from a data type and bytes.
_SCALAR = np.float64(0).__reduce__()[0]
_NUMPY_SCALARS: list[Any] = [
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    *{type(np.dtype(code)) for code in np.typecodes["AllInteger"] + np.typecodes["AllFloat"] + "?SU"},
]

# What readers raise for files that are damaged, by chance or on purpose.
_DAMAGED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
)


def open_safely(path: Path) -> object:
    """What a checkpoint holds, on the CPU.

    Raises:
        UserError: if the file cannot be read, is no checkpoint, or could not be loaded without running code.
    """
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise UserError(f"Cannot read the checkpoint {path}: {error.strerror or error}.") from error
    named = path.suffix == ".safetensors" and not head.startswith((_ZIP, _BEFORE_TORCH_1_6))
    if named or (head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < _LARGEST_HEADER):
        return _safetensors(path)
    if problem := _problem(path, head):
        raise UserError(f"{path} {problem}")
    return _torch(path)


def _safetensors(path: Path) -> object:
    try:
        return load_file(path)
    except (SafetensorError, *_DAMAGED) as error:
        raise UserError(
            f"{path} is no readable safetensors file, or it is truncated ({first_line(error)}); copy it again."
        ) from error


def _problem(path: Path, head: bytes) -> str:
    """Why a file is nothing that torch.save wrote; empty if it may be."""
    if head.startswith(_BEFORE_TORCH_1_6):
        return ""
    if head.startswith(_ZIP):
        return _archive_problem(path)
    if not head:
        return "is empty; copy it again."
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    unknown = f"is no checkpoint: neither torch.save nor safetensors writes a file that begins with {head[:16]!r}."
    return next((problem for signature, problem in _OTHERS if start.startswith(signature)), unknown)


def _archive_problem(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.rpartition("/")[2] for name in archive.namelist()}
    except (zipfile.BadZipFile, *_DAMAGED):
        return "is truncated or damaged; copy it again."
    if "constants.pkl" in members:
        return (
            "is a TorchScript archive, which holds code. Save the weights alone, where it can be trusted: "
            "torch.save(torch.jit.load(FILE).state_dict(), 'weights.pt')."
        )
    if any(name.endswith(".npy") for name in members):
        return (
            "holds arrays of numpy (.npz). If they are weights of torch, by its names and in its layout, save them so: "
            "torch.save({name: torch.from_numpy(array) for name, array in numpy.load(FILE).items()}, 'weights.pt'); "
            "those of JAX and TensorFlow have their axes in another order."
        )
    return "" if "data.pkl" in members else "is a zip archive, but torch.save did not write it; unpack it first."


def _torch(path: Path) -> object:
    try:
        with (
            path.open("rb") as file,  # by its content; of a name, torch takes the ending for what is in it
            torch.serialization.safe_globals(_NUMPY_SCALARS),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # what torch warns about here, it refuses or reads correctly
            return torch.load(file, map_location="cpu", weights_only=True)
    except _DAMAGED as error:
        wanted = re.search(r"GLOBAL ([\w.]+)", str(error))
        if wanted is not None:
            problem = (
                f"holds more than tensors: loading it would run {wanted[1]}. It was refused, and nothing of it was run."
            )
        elif isinstance(error, pickle.UnpicklingError):
            problem = "is damaged, or was pickled in a way that cannot be read without running it; nothing was run."
        else:
            raise UserError(f"{path} is truncated or damaged ({first_line(error)}); copy it again.") from error
        raise UserError(f"{path} {problem} {_ADVICE}") from error
