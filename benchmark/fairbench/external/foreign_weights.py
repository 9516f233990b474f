"""Weights that others trained: found in their files, and fitted to a model whose names differ only by wrappers.

    weights = read_weights(Path("model_best.pth"))              # {"epoch": 199, "state_dict": {"module.conv1...": ...}}
    remarks = fit(model, weights, origin="model_best.pth")      # strictly: every weight, every shape

Training scripts store state dicts inside other dictionaries, and `DataParallel`, `torch.compile` and wrapper classes
put words into the names of the weights. Both are seen through where only one reading is possible; whatever was done is
a remark, and nothing is ever left as it was initialised.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from fairbench.errors import UserError
from fairbench.external.safe_file import open_safely
from fairbench.identity import file_sha256

_WRAPPERS = {"_orig_mod", "model", "module", "net", "network"}
_OUTERMOST = "."
_COUNTERS = {"n_averaged", "num_batches_tracked"}  # of batch norm and of AveragedModel; no prediction depends on them


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ForeignWeights:
    """The state dict of a file.

    Attributes:
        tensors: by the names that the file gives them.
        sha256: of the file.
        remarks: sentences on what was done to find them.
    """

    tensors: dict[str, Tensor]
    sha256: str
    remarks: tuple[str, ...] = ()


def read_weights(path: Path, *, key: str = "") -> ForeignWeights:
    """Find the weights in a checkpoint, at any depth of dictionaries. No code in it is run.

    Args:
        path: a safetensors file, or one that torch.save wrote.
        key: the entry that holds the weights, dotted where it lies deeper (`ema.shadow`), or `.` for the
            outermost dictionary itself; empty if only one of all holds weights.

    Raises:
        UserError: if the file is no checkpoint, could run code, has no weights, or has several sets of them and `key`
            names none.
    """
    found = dict(_state_dicts(open_safely(path)))
    chosen = [key] if key in found else [name for name in found if not key or name.startswith(f"{key}.")]
    if len(chosen) != 1:
        raise _undecided(path, key, found=list(found), chosen=chosen)
    (name,) = chosen
    tensors = {entry: value for entry, value in found[name].items() if isinstance(value, Tensor)}
    remarks = [f"The weights are the entry {name!r} of {path.name}."] if name != _OUTERMOST else []
    if dropped := [entry for entry in found[name] if entry not in tensors]:
        remarks.append(f"Entries of {path.name} that are no tensors were left out: {_listed(dropped)}.")
    return ForeignWeights(tensors=tensors, sha256=file_sha256(path), remarks=tuple(remarks))


def fit(model: nn.Module, weights: ForeignWeights, *, origin: str) -> tuple[str, ...]:
    """Load weights into a model, all of them and nothing else.

    Args:
        model: changed in place.
        weights: with the model's names, up to wrapper words such as `module.`.
        origin: of the weights, for messages.

    Returns:
        Sentences on what was done.

    Raises:
        UserError: if a weight is missing, left over, of another shape, or not finite; the model is unchanged then.
    """
    expected = {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    names = _matched(expected, weights.tensors, origin=origin)
    fitted: dict[str, Tensor] = {}
    remarks = _renamed(names) + _recast(names, expected, weights.tensors)
    for name, foreign in names.items():
        tensor, like = weights.tensors[foreign], expected[name]
        other_kind = tensor.is_floating_point() != like.is_floating_point() and not _counts(name)
        if other_kind or tensor.is_meta or tensor.layout != torch.strided:
            raise UserError(
                f"{origin}: {foreign!r} is {_described(tensor)}; the model wants {_described(like)}. Quantised, sparse "
                "and empty weights cannot be loaded; use the checkpoint from before that."
            )
        fitted[name] = tensor.to(like.dtype)
        if like.is_floating_point() and not bool(torch.isfinite(fitted[name]).all()):
            raise UserError(
                f"{origin}: {foreign!r} contains NaN or infinity. The training diverged; use an earlier checkpoint."
            )
    model.load_state_dict(model.state_dict() | fitted)
    return tuple(remarks)


def _state_dicts(content: object) -> Iterator[tuple[str, dict[str, object]]]:
    """Dictionaries that hold weights, by dotted path.

    What an optimiser keeps is numbered, not named; scores are no arrays, and states of random generators no floats.
    """
    seen: set[int] = set()
    waiting = [(_OUTERMOST, content)]
    while waiting:
        path, found = waiting.pop()
        if not isinstance(found, Mapping):
            continue
        named = {name: value for name, value in found.items() if isinstance(name, str)}
        if any(isinstance(v, Tensor) and v.is_floating_point() and v.ndim for v in named.values()):
            yield path, named
        if id(found) in seen:  # a pickle may well contain itself
            continue
        seen.add(id(found))
        waiting += [(name if path == _OUTERMOST else f"{path}.{name}", value) for name, value in named.items()]


def _undecided(path: Path, key: str, *, found: list[str], chosen: list[str]) -> UserError:
    if not found:
        return UserError(f"{path} holds no weights: there is no dictionary of named tensors in it.")
    if found == [_OUTERMOST]:
        return UserError(f"{path} has no entry {key!r}: it holds the weights directly. Leave out --key.")
    known = ", ".join(repr(name) for name in sorted(chosen or found))
    if chosen:
        return UserError(f"{path} holds several sets of weights; choose one with --key: {known}.")
    return UserError(f"{path} has no weights in {key!r}; give --key one of {known}.")


def _matched(expected: Mapping[str, Tensor], held: Mapping[str, Tensor], *, origin: str) -> dict[str, str]:
    """The model's name of every weight, with the file's."""
    ours, theirs = _without_wrappers(expected), _without_wrappers(held)
    missing = [name for bare, name in ours.items() if bare not in theirs and not _counts(name)]
    unexpected = [name for bare, name in theirs.items() if bare not in ours and not _counts(name)]
    names = {name: theirs[bare] for bare, name in ours.items() if bare in theirs}
    misshapen = [name for name, foreign in names.items() if held[foreign].shape != expected[name].shape]
    problems = []
    if missing:
        problems.append(f"the file lacks {_listed(missing)}")
    if unexpected:
        problems.append(f"the model has no {_listed(unexpected)}")
    if misshapen:
        name = misshapen[0]
        problems.append(
            f"{names[name]!r} has shape {tuple(held[names[name]].shape)} where the model wants "
            f"{tuple(expected[name].shape)}"
        )
    if problems:
        raise UserError(
            f"{origin} does not fit the model: {'; '.join(problems)}. Check that the architecture, the number of "
            "classes and the size of the images are those of the training."
        )
    return names


def _without_wrappers(names: Collection[str]) -> dict[str, str]:
    """Names without words of wrappers, with the names in full; as they are if two would become one."""
    bare = {".".join(word for word in name.split(".") if word not in _WRAPPERS): name for name in names}
    return bare if len(bare) == len(names) else {name: name for name in names}


def _renamed(names: Mapping[str, str]) -> list[str]:
    different = [(ours, theirs) for ours, theirs in names.items() if ours != theirs]
    return [f"{len(different)} weights have other names, as {b!r} for {a!r}." for a, b in different[:1]]


def _recast(names: Mapping[str, str], expected: Mapping[str, Tensor], held: Mapping[str, Tensor]) -> list[str]:
    pairs = {(_type(held[b]), _type(expected[a])) for a, b in names.items() if not _counts(a)}
    return [f"Weights were converted from {given} to {wanted}." for given, wanted in sorted(pairs) if given != wanted]


def _counts(name: str) -> bool:
    return name.rpartition(".")[2] in _COUNTERS


def _described(tensor: Tensor) -> str:
    storage = "without values" if tensor.is_meta else str(tensor.layout).removeprefix("torch.")
    return f"of type {_type(tensor)}, {storage}"


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _listed(names: list[str]) -> str:
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(repr(name) for name in names[:3]) + rest
