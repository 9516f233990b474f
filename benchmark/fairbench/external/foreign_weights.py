"""Weights that others trained: found in their files, and fitted to a model whose names differ only by wrappers.

    weights = read_weights(Path("model_best.pth"))              # {"epoch": 199, "state_dict": {"module.conv1...": ...}}
    remarks = fit(model, weights, origin="model_best.pth")      # strictly: every weight, every shape

Training scripts store state dicts inside other dictionaries, several networks in one of them, and `DataParallel`,
`torch.compile` and wrapper classes put words into the names of the weights (`fairbench.external.weight_names`). It is
seen through where only one reading is possible; whatever was done is a remark, and nothing is ever left as it was
initialised. What the model's own `load_state_dict` accepts, strictly, is accepted as well.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from fairbench.errors import UserError
from fairbench.external.safe_file import open_safely
from fairbench.external.weight_names import WRAPPERS, counts, matched, prefixes, within, without_wrappers
from fairbench.identity import file_sha256

_OUTERMOST = "."
_NORMALISING = {"mean", "std", "mu", "sigma", "new_mean", "new_std"}


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


def read_weights(path: Path, *, key: str = "", ignored: Sequence[str] = ()) -> ForeignWeights:
    """Find the weights in a checkpoint, at any depth of dictionaries. No code in it is run.

    Args:
        path: a safetensors file, or one that torch.save wrote.
        key: the entry that holds the weights, dotted where it lies deeper (`ema.shadow`), or `.` for the
            outermost dictionary itself, or what the names of one of several networks begin with (`student`,
            `module.model`); empty if only one of all holds weights.
        ignored: weights to leave out, by name or by what their names begin with.

    Raises:
        UserError: if the file is no checkpoint, could run code, has no weights, or has several sets of them and `key`
            names none; and if there is nothing to ignore.
    """
    content = open_safely(path)
    found = dict(_state_dicts(content))
    if not found:
        raise UserError(f"{path} holds no weights: {_instead(content)}")
    chosen = [key] if key in found else [name for name in found if not key or name.startswith(f"{key}.")]
    parts = [(name, "") for name in chosen] or _parts(found, key)
    if len(parts) != 1:
        raise _undecided(path, key, found=list(found), chosen=[name for name, _ in parts])
    ((name, part),) = parts
    tensors = {entry: value for entry, value in found[name].items() if isinstance(value, Tensor)}
    remarks = [f"The weights are the entry {name!r} of {path.name}."] if name != _OUTERMOST else []
    if dropped := [entry for entry in found[name] if entry not in tensors]:
        remarks.append(f"Entries of {path.name} that are no tensors were left out: {_listed(dropped)}.")
    if part:
        inside = within(tensors, part)
        others = [entry for entry in tensors if entry not in inside.values()]
        remarks.append(f"Of these, the weights below {part!r} were taken; left out: {_listed(others) or 'none'}.")
        remarks += _normalising({entry: tensors[entry] for entry in others})
        tensors = {entry: tensors[full] for entry, full in inside.items()}
    for start in ignored:
        left_out = [entry for entry in tensors if _begins(entry, start)]
        if not left_out:
            raise UserError(f"{path} has no weight to ignore that begins with {start!r}; it has {_listed([*tensors])}.")
        remarks.append(f"Left out on purpose, because of --ignore {start}: {_listed(left_out)}.")
        tensors = {entry: value for entry, value in tensors.items() if entry not in left_out}
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
    names = matched(expected, weights.tensors)
    if names is None:
        return _fitted_by_the_model(model, weights, expected, origin=origin)
    fitted: dict[str, Tensor] = {}
    remarks = _renamed(names) + _recast(names, expected, weights.tensors)
    for name, foreign in names.items():
        tensor, like = weights.tensors[foreign], expected[name]
        other_kind = tensor.is_floating_point() != like.is_floating_point() and not counts(name)
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


def _instead(content: object) -> str:
    """What a file has in place of weights, as the rest of a sentence."""
    values = list(content.values()) if isinstance(content, Mapping) else [content]
    if any(isinstance(v, list | tuple) and any(isinstance(one, Tensor) for one in v) for v in values):
        return (
            "it has a list of tensors without names. If they are a model's parameters in order, as averages are kept, "
            "copy them into the model and save its state_dict."
        )
    if kinds := sorted({_type(value) for value in values if isinstance(value, Tensor)}):
        return f"its tensors are of type {', '.join(kinds)}, and weights are floating-point numbers by name."
    return "there is no dictionary of named tensors in it."


def _undecided(path: Path, key: str, *, found: list[str], chosen: list[str]) -> UserError:
    if found == [_OUTERMOST]:
        return UserError(f"{path} has no entry {key!r}: it holds the weights directly. Leave out --key.")
    known = ", ".join(repr(name) for name in sorted(chosen or found))
    if chosen:
        return UserError(f"{path} holds several sets of weights; choose one with --key: {known}.")
    return UserError(f"{path} has no weights in {key!r}; give --key one of {known}.")


def _parts(found: Mapping[str, Mapping[str, object]], key: str) -> list[tuple[str, str]]:
    """Dictionaries in which the names of some weights begin with a key, or with its rest behind that of an entry."""
    return [
        (name, start)
        for name, entries in found.items()
        for start in dict.fromkeys((key, key.removeprefix(f"{name}.")))
        if any(isinstance(entries[full], Tensor) for full in within(entries, start).values())
    ]


def _normalising(left_out: Mapping[str, Tensor]) -> list[str]:
    """A remark if what was left out normalised the images."""
    values = [
        f"{name} = {','.join(f'{value:.4g}' for value in tensor.flatten().tolist())}"
        for name, tensor in left_out.items()
        if name.rpartition(".")[2] in _NORMALISING and tensor.numel() in {1, 3}
    ]
    if not values:
        return []
    return [f"What was left out normalises images ({'; '.join(values)}): give it with --mean and --std."]


def _begins(name: str, start: str) -> bool:
    """Whether a name, or what is left of it without the wrappers in front, is a start or lies below it."""
    words = name.split(".")
    while words and words[0] in WRAPPERS:
        words = words[1:]
    return any(f"{found}.".startswith(f"{start}.") for found in (name, ".".join(words)))


def _fitted_by_the_model(
    model: nn.Module, weights: ForeignWeights, expected: Mapping[str, Tensor], *, origin: str
) -> tuple[str, ...]:
    """Load by what the model itself makes of other names, as hooks and torch's old weight norm do.

    Raises:
        UserError: if it refuses them too; the model is unchanged then.
    """
    before = {name: tensor.clone() for name, tensor in expected.items()}
    held = weights.tensors
    for names in (held, {bare: held[full] for bare, full in without_wrappers(held).items()}):
        try:
            model.load_state_dict(dict(names), strict=True)
        except Exception:  # noqa: BLE001  hooks are foreign code; ours says better what does not fit
            _restore(model, before)
            continue
        loaded = {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
        if broken := [name for name, v in loaded.items() if v.is_floating_point() and not bool(v.isfinite().all())]:
            _restore(model, before)
            raise UserError(
                f"{origin}: {broken[0]!r} contains NaN or infinity. The training diverged; use an earlier checkpoint."
            )
        return ("The weights have other names, which the model itself understands.",)
    raise _unfit(expected, held, origin=origin)


def _restore(model: nn.Module, before: Mapping[str, Tensor]) -> None:
    """Values as they were, without the hooks, which may refuse these as well."""
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if isinstance(value, Tensor):
                value.copy_(before[name])


def _unfit(expected: Mapping[str, Tensor], held: Mapping[str, Tensor], *, origin: str) -> UserError:
    """What does not fit, and what to do about it."""
    ours, theirs = without_wrappers(expected), without_wrappers(held)
    missing = [name for bare, name in ours.items() if bare not in theirs and not counts(name)]
    unexpected = {bare: name for bare, name in theirs.items() if bare not in ours and not counts(name)}
    names = {name: theirs[bare] for bare, name in ours.items() if bare in theirs}
    misshapen = [name for name, foreign in names.items() if held[foreign].shape != expected[name].shape]
    problems, advice = [], []
    if missing:
        problems.append(f"the file lacks {_listed(missing)}")
    if unexpected:
        problems.append(f"the model has no {_listed([*unexpected.values()])}")
    if misshapen:
        name = misshapen[0]
        problems.append(
            f"{names[name]!r} has shape {tuple(held[names[name]].shape)} where the model wants "
            f"{tuple(expected[name].shape)}"
        )
    if parts := prefixes(expected, held):
        advice.append(f"The whole network lies below {_listed([*parts])}; take one of these parts with --key.")
    if unexpected and not missing and not misshapen:
        starts = dict.fromkeys(bare.partition(".")[0] for bare in unexpected)
        options = " ".join(f"--ignore {start}" for start in [*starts][:3])
        advice.append(f"If no image passes through what the model has not, leave it out with {options}.")
    alike = sorted(tuple(held[n].shape) for n in unexpected.values()) == sorted(
        tuple(expected[n].shape) for n in missing
    )
    if missing and alike and not misshapen and not parts:
        advice.append("The shapes are the same, so it may be that only the names differ; rename them in the file.")
    advice.append(
        "Check that the architecture, the number of classes and the size of the images are those of the training."
    )
    return UserError(f"{origin} does not fit the model: {'; '.join(problems)}. {' '.join(advice)}")


def _renamed(names: Mapping[str, str]) -> list[str]:
    different = [(ours, theirs) for ours, theirs in names.items() if ours != theirs]
    return [f"{len(different)} weights have other names, as {b!r} for {a!r}." for a, b in different[:1]]


def _recast(names: Mapping[str, str], expected: Mapping[str, Tensor], held: Mapping[str, Tensor]) -> list[str]:
    pairs = {(_type(held[b]), _type(expected[a])) for a, b in names.items() if not counts(a)}
    return [f"Weights were converted from {given} to {wanted}." for given, wanted in sorted(pairs) if given != wanted]


def _described(tensor: Tensor) -> str:
    storage = "without values" if tensor.is_meta else str(tensor.layout).removeprefix("torch.")
    return f"of type {_type(tensor)}, {storage}"


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _listed(names: list[str]) -> str:
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(repr(name) for name in names[:3]) + rest
