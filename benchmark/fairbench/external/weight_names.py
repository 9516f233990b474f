"""Names of weights: what wrappers, other spellings and enclosing modules make of them, seen through without a guess.

    matched(expected, held)                     # {"conv1.weight": "module.conv1.weight", ...}, or None
    prefixes(expected, held)                    # ("student", "teacher"): parts of the file that are the whole network

Two names are the same weight if they differ by words of wrappers (`module.`, `_orig_mod.`), by one prefix that every
name of the file has, by how CIFAR networks are usually spelt, or by dots, underscores and capitals; and only if their
shapes agree and nothing is left.
"""

import re
from collections.abc import Callable, Collection, Mapping

from torch import Tensor

from fairbench.external.usual_spellings import usually_spelt

WRAPPERS = {"_orig_mod", "model", "module", "net", "network"}
COUNTERS = {"n_averaged", "num_batches_tracked"}  # of batch norm and of AveragedModel; no prediction depends on them


def matched(expected: Mapping[str, Tensor], held: Mapping[str, Tensor]) -> dict[str, str] | None:
    """The model's name of every weight, with the file's; None if there is no such reading.

    Args:
        expected: weights of the model, by name.
        held: those of the file.
    """
    for read in (without_wrappers, _without_prefix, _usually_spelt, _letters):
        names = _pairs(read(expected), read(held))
        if names is not None and all(held[theirs].shape == expected[ours].shape for ours, theirs in names.items()):
            return names
    return None


def prefixes(expected: Mapping[str, Tensor], held: Collection[str]) -> tuple[str, ...]:
    """What the names of a whole network begin with in a file that holds more than that network, sorted."""
    bare = {name for name in without_wrappers(expected) if not counts(name)}
    first = min(bare, default="")
    starts = {name.removesuffix(f".{first}") for name in held if first and name.endswith(f".{first}")}
    return tuple(sorted(start for start in starts if bare <= {_bare(name) for name in within(held, start)}))


def within(names: Collection[str], prefix: str) -> dict[str, str]:
    """The names that lie below a prefix, without it, with the names in full."""
    return {name[len(prefix) + 1 :]: name for name in names if name.startswith(f"{prefix}.")}


def without_wrappers(names: Collection[str]) -> dict[str, str]:
    """Names without words of wrappers, with the names in full; as they are if two would become one."""
    return _renamed(names, _bare)


def counts(name: str) -> bool:
    """Whether a weight counts batches."""
    return name.rpartition(".")[2] in COUNTERS


def _bare(name: str) -> str:
    return ".".join(word for word in name.split(".") if word not in WRAPPERS)


def _without_prefix(names: Collection[str]) -> dict[str, str]:
    """Names without wrappers and without the first words that all have in common, as those of `nn.Sequential`'s are."""
    bare = without_wrappers(names)
    split = [name.split(".") for name in bare if not counts(name) or "." in name]
    shared = 0
    while split and all(len(words) > shared + 1 for words in split) and len({words[shared] for words in split}) == 1:
        shared += 1
    return _renamed(bare, lambda name: name.split(".", shared)[-1], full=bare)


def _usually_spelt(names: Collection[str]) -> dict[str, str]:
    """Names in one spelling for all."""
    bare = _without_prefix(names)
    return {new: bare[old] for new, old in usually_spelt(bare).items()}


def _letters(names: Collection[str]) -> dict[str, str]:
    """Names without dots, underscores and capitals, which averages and other software leave out."""
    bare = without_wrappers(names)
    return _renamed(bare, lambda name: re.sub(r"[._]", "", name).lower(), full=bare)


def _pairs(ours: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, str] | None:
    """Names in full of what is called the same, if that is everything but counters."""
    if any(not counts(name) for name in ours.keys() ^ theirs.keys()):
        return None
    return {ours[name]: theirs[name] for name in ours if name in theirs}


def _renamed(
    names: Collection[str], rename: Callable[[str], str], *, full: Mapping[str, str] | None = None
) -> dict[str, str]:
    """New names with the names in full; the old ones if two would become one."""
    known = full or {name: name for name in names}
    new = {rename(name): known[name] for name in names}
    return new if len(new) == len(names) else dict(known)
