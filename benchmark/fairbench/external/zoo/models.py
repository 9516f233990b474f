"""A name of the zoo -> a network with its weights.

A local checkpoint is one file with the whole model. Without one, files are looked for, and put if they are not there,
where RobustBench has them below its own folder of models:

    <folder>/robustbench/<dataset>/<norm>/<name>.pt

Supported are plain models, ensembles (one file per member: `<name>.pt_m0.pt` and so on) and the models that RobustBench
takes from timm; not Bai2023Improving, whose architecture is built on a CUDA device and cannot leave it.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fairbench.errors import UserError, unknown
from fairbench.external.zoo.robustbench_import import quiet, robustbench
from fairbench.external.zoo.weights import Weights
from fairbench.protocol.threat import Norm

BOARDS: tuple[tuple[str, Norm], ...] = (("cifar10", "Linf"), ("cifar10", "L2"), ("cifar100", "Linf"))
"""Boards of RobustBench, by dataset and norm, whose models can be evaluated here."""

_CLASSES = {"cifar10": 10, "cifar100": 100}
_CUDA_ONLY = "Bai2023Improving"

# Cards of RobustBench (model_info/<dataset>/Linf/<name>.json, not in its wheel): `eps` is 0.031, or is 8/255 with the
# footnote "Uses 0.031 = 7.9/255 instead of 8/255" (Zhang2020Geometry and those of CIFAR-100). The field `eps` of all
# other CIFAR-10 cards is 8/255; of the CIFAR-100 cards, not every footnote was read.
_PUBLISHED_AT_0_031 = {
    "cifar10": (
        "Cui2020Learnable_34_10",
        "Cui2020Learnable_34_20",
        "Huang2020Self",
        "Zhang2019Theoretically",
        "Zhang2020Geometry",
    ),
    "cifar100": (
        "Cui2020Learnable_34_10_LBGAT0",
        "Cui2020Learnable_34_10_LBGAT6",
        "Cui2020Learnable_34_20_LBGAT6",
    ),
}

_Entry = Mapping[
    str, Any
]  # RobustBench's: `model`, which builds the architecture, and `gdrive_id`, where its weights are


def zoo_names(*, dataset: str, norm: Norm) -> list[str]:
    """Names that `zoo_model` takes for a dataset and a norm, sorted.

    Raises:
        UserError: if there are none, or RobustBench is not installed.
    """
    return sorted(name for name in _board(dataset, norm) if not name.startswith(_CUDA_ONLY))


def zoo_model(
    name: str, *, dataset: str, norm: Norm, checkpoint: Path | None, key: str, folder: Path
) -> tuple[nn.Module, tuple[str, ...]]:
    """Build a model of the zoo and give it its weights.

    Args:
        name: RobustBench's, such as `Wong2020Fast`.
        dataset: `cifar10` or `cifar100`.
        norm: whose board the model is on.
        checkpoint: a file with the weights; with it, nothing is downloaded.
        key: the entry of the file that holds the weights, where there are several; "" takes what RobustBench takes.
        folder: for downloads.

    Returns:
        The model on the CPU in eval mode, from images in [0, 1] to logits; and sentences on what a reader of its
        numbers should know.

    Raises:
        UserError: if RobustBench is missing or does not know the name, or if the weights cannot be had or do not fit.
    """
    board = _board(dataset, norm)
    if name not in board:
        raise unknown(f"model of RobustBench for {dataset} under {norm}", name, board, advice=_elsewhere(name))
    if name.startswith(_CUDA_ONLY):
        raise UserError(f"{name} cannot be used: RobustBench's code for it works on one CUDA device only.")
    with quiet(), torch.random.fork_rng(devices=[]):  # weights that are drawn only to be replaced
        model = _architecture(name, board[name], dataset=dataset, norm=norm)
    parts = _parts(name, board[name], model, folder=folder / "robustbench" / dataset / norm)
    remarks: list[str] = []
    if checkpoint is not None:
        remarks += Weights(model, path=checkpoint, entry=parts[0].entry).load(key=key)
    else:
        for part in parts:
            remarks += [part.ensure(key=key), *part.load(key=key)]
    if norm == "Linf" and name in _PUBLISHED_AT_0_031[dataset]:
        remarks.append(
            f"{name} was trained and published at epsilon 0.031 = 7.905/255, not at 8/255; its robust accuracy here is "
            "measured at the epsilon of this evaluation, and may differ from the published one by up to about a point."
        )
    return model.eval(), tuple(dict.fromkeys(remarks))


def _board(dataset: str, norm: Norm) -> Mapping[str, _Entry]:
    if dataset not in _CLASSES:
        raise UserError(f"Models of RobustBench can be used for {' and '.join(_CLASSES)}, not for {dataset!r}.")
    zoo = robustbench().model_zoo
    boards = {threat.value: board for threat, board in zoo.model_dicts[zoo.enums.BenchmarkDataset(dataset)].items()}
    if norm not in boards:
        raise UserError(f"RobustBench has no models for {dataset} under {norm}; it has some under Linf.")
    board: Mapping[str, _Entry] = boards[norm]
    return board


def _elsewhere(name: str) -> str:
    boards = [
        f"{dataset.value} under {threat.value}"
        for dataset, boards in robustbench().model_zoo.model_dicts.items()
        for threat, board in boards.items()
        if name in board
    ]
    return f"{name} exists for {' and '.join(boards)}." if boards else "They are described on robustbench.github.io."


def _architecture(name: str, entry: _Entry, *, dataset: str, norm: Norm) -> nn.Module:
    made: nn.Module
    if entry["gdrive_id"] is None:  # in the registry of timm, which RobustBench extends
        registered = f"{name.lower().replace('-', '_')}_{dataset}_{norm.lower()}"
        made = import_module("timm").create_model(registered, num_classes=_CLASSES[dataset])
    else:
        made = entry["model"]()
    return made


def _parts(name: str, entry: _Entry, model: Any, *, folder: Path) -> list[Weights]:
    source, path = entry["gdrive_id"], folder / f"{name}.pt"
    if source is None:
        return [Weights(model, path=path, address=model.model.pretrained_cfg["url"], entry="model")]
    if isinstance(source, str):
        entry_taken = "last" if name == "Andriushchenko2020Understanding" else "state_dict"
        return [Weights(model, path=path, address=_drive(source), entry=entry_taken)]
    members = (model.std_model, model.rob_model) if name == "Bai2024MixedNUTS" else model.models
    return [
        Weights(member, path=Path(f"{path}_m{i}.pt"), address=_drive(part), entry="state_dict")
        for i, (part, member) in enumerate(zip(source, members, strict=True))
    ]


def _drive(identity: str) -> str:
    return f"https://drive.google.com/uc?id={identity}"
