"""A model that others trained, from what the user says about it: one function for every way to say it.

    load_external("resnet18", checkpoint=Path("best.pth"), ...)          # an architecture of ours, their weights
    load_external("experiments/models.py:robust_resnet", ...)            # code that builds it
    load_external("robustbench:Wong2020Fast", ...)                       # from the zoo
    load_external("hf:ann/robust-cnn@v1", ...)                           # from a hub

Whatever comes back takes images in [0, 1] and has been called once, so that a network for other images or another
number of classes is a sentence now, and not a traceback or a wrong number in an hour.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from torch import nn

from fairbench.errors import UserError, unknown
from fairbench.external.factory import call_factory
from fairbench.external.first_look import look
from fairbench.external.foreign_weights import fit, read_weights
from fairbench.external.hub import PREFIX, hub_model
from fairbench.external.normalisation import Normalisation
from fairbench.external.weight_names import without_wrappers
from fairbench.identity import file_sha256
from fairbench.models import build_model, model_names
from fairbench.models.normalised import Normalised
from fairbench.protocol.factory import shown
from fairbench.protocol.threat import Norm

_ZOO = "robustbench:"
_NORMALISING = {"mean", "std", "mu", "sigma"}
_NORMALISED = ("mean", "std")
_AS_IT_IS = Normalisation(mean=(0.0,), std=(1.0,))
_FORMS = (
    "A model is also given as package.module:factory, path/to/file.py:factory, robustbench:NAME or hf:org/repo, and a "
    "file with weights by --checkpoint."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class External:
    """A model that is ready to be evaluated.

    Attributes:
        model: on the CPU in eval mode, from images in [0, 1] to logits.
        specification: as given, without folders.
        code_sha256: of the file that builds it; empty without one.
        file_sha256: of the checkpoint; empty without one.
        remarks: sentences on what a reader of its numbers should know.
        transform: of its weights, see `fairbench.external.head_norm`; empty for none.
    """

    model: nn.Module
    specification: str
    code_sha256: str
    file_sha256: str
    remarks: tuple[str, ...]
    transform: str = ""


def load_external(
    given: str,
    *,
    arguments: Mapping[str, object] = MappingProxyType({}),
    checkpoint: Path | None = None,
    key: str = "",
    ignored: Sequence[str] = (),
    normalisation: Normalisation | None = None,
    dataset: str,
    classes: int,
    channels: int,
    size: tuple[int, int],
    norm: Norm,
    folder: Path,
) -> External:
    """Build a model and give it its weights; the caller's random state stays as it is.

    Args:
        given: a name of `fairbench list models`, `package.module:factory`, `path/to/file.py:factory`,
            `robustbench:NAME`, or `hf:org/repo[@revision][/file]`.
        arguments: with which a factory is called.
        checkpoint: a file with the weights; needed for the first form, optional for the others.
        key: the entry of the checkpoint that holds them, or the prefix of their names, where there are several.
        ignored: weights of the checkpoint to leave out, by what their names begin with.
        normalisation: for a network that does not normalise images itself.
        dataset: name of the dataset; with `norm` it says which board of RobustBench is meant.
        classes: number of logits.
        channels: of the images.
        size: height and width of the images.
        norm: of the attack.
        folder: of downloads.

    Raises:
        UserError: saying what does not fit, and what to give instead.
    """
    if key and checkpoint is None:
        raise UserError(f"--key {key} names an entry of a checkpoint; give the file with --checkpoint.")
    if ignored and (checkpoint is None or given.startswith((_ZOO, PREFIX))):
        raise UserError(
            f"--ignore {ignored[0]} names weights of a checkpoint of yours; give the file with --checkpoint."
        )
    if arguments and (":" not in given or given.startswith((_ZOO, PREFIX))):
        raise UserError(f"--model-argument {next(iter(arguments))} is for a factory; {given} is none.")
    code, named = "", ""
    if given.startswith(PREFIX):
        if checkpoint is not None:
            raise UserError(f"{given} brings its weights; leave out --checkpoint {checkpoint}.")
        fetched = hub_model(given, folder=folder)
        given, checkpoint, named = fetched.architecture, fetched.weights, fetched.specification
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # a factory that draws weights draws the same ones every time
        if given.startswith(_ZOO):
            from fairbench.external.zoo import zoo_model  # noqa: PLC0415  an extra, for those who ask for it

            if normalisation is not None:
                raise UserError(f"{given} normalises images itself; leave out {normalisation}.")
            name = given.removeprefix(_ZOO)
            model, remarks = zoo_model(name, dataset=dataset, norm=norm, checkpoint=checkpoint, key=key, folder=folder)
        elif ":" in given:
            built = call_factory(given, arguments=arguments)
            model, code = built.model, built.code_sha256
            model, remarks = _of_theirs(
                given,
                model,
                checkpoint,
                key=key,
                ignored=ignored,
                normalisation=normalisation,
                channels=channels,
            )
        elif given in model_names():
            model, remarks = _of_ours(
                given,
                checkpoint,
                key=key,
                ignored=ignored,
                normalisation=normalisation,
                classes=classes,
                channels=channels,
                size=size,
            )
        else:
            raise unknown("model", given, model_names(), advice=_FORMS)
        model = model.cpu().eval()
        looked = look(model, torch.zeros(2, channels, *size), called=given, classes=classes)
    called = ", ".join(f"{name}={value!r}" for name, value in sorted(arguments.items()))
    return External(
        model=looked.model,
        specification=named or (f"{shown(given)}({called})" if called else shown(given)),
        code_sha256=code,
        file_sha256="" if checkpoint is None else file_sha256(checkpoint),
        remarks=(*remarks, *looked.remarks),
    )


def _of_ours(
    given: str,
    checkpoint: Path | None,
    *,
    key: str,
    ignored: Sequence[str],
    normalisation: Normalisation | None,
    classes: int,
    channels: int,
    size: tuple[int, int],
) -> tuple[nn.Module, tuple[str, ...]]:
    """An architecture of `fairbench list models`; our own checkpoints hold a normalisation, others do not."""
    if checkpoint is None:
        raise UserError(f"{given} is an architecture without weights; give a file of them with --checkpoint.")
    weights = read_weights(checkpoint, key=key, ignored=ignored)
    values = (normalisation or _AS_IT_IS).for_channels(channels)
    model = build_model(given, classes=classes, channels=channels, size=size, mean=values.mean, std=values.std)
    assert isinstance(model, Normalised)
    if not {name.rpartition(".")[2] for name in weights.tensors} & {"mean", "std"}:
        remarks = fit(model.network, weights, origin=str(checkpoint))
        if normalisation is None:
            raise UserError(
                f"{checkpoint} fits, but does not say with which normalisation it was trained. Give it per channel, in "
                "units of [0, 1]: for CIFAR-10 mostly --mean 0.4914,0.4822,0.4465 --std 0.2471,0.2435,0.2616; for a "
                "network that takes [0, 1] as it is, --mean 0 --std 1."
            )
        return model, (*weights.remarks, *remarks, f"Images are normalised as given: {values}.")
    remarks = fit(model, weights, origin=str(checkpoint))
    held = Normalisation.of(model)
    if normalisation is not None and not values.agrees_with(held):
        raise UserError(f"{values} contradicts {checkpoint}, which holds {held}. Leave the options out to use that.")
    return model, (*weights.remarks, *remarks)


def _of_theirs(
    given: str,
    model: nn.Module,
    checkpoint: Path | None,
    *,
    key: str,
    ignored: Sequence[str],
    normalisation: Normalisation | None,
    channels: int,
) -> tuple[nn.Module, tuple[str, ...]]:
    """What somebody's code builds, with other weights or behind a normalisation where that is asked for."""
    if checkpoint is None:
        remarks: tuple[str, ...] = ("No checkpoint was given: the weights are those that the factory gave the model.",)
    else:
        weights = read_weights(checkpoint, key=key, ignored=ignored)
        if set(_NORMALISED) <= set(without_wrappers(weights.tensors)) and not set(_NORMALISED) & set(
            model.state_dict()
        ):
            model = Normalised(model, mean=(0.0,) * channels, std=(1.0,) * channels)  # it was trained here
        remarks = (*weights.remarks, *fit(model, weights, origin=str(checkpoint)))
    if normalisation is None:
        return model, remarks
    for name, buffer in model.named_buffers():
        if name.rpartition(".")[2] in _NORMALISING and buffer.numel() in {1, channels}:
            raise UserError(
                f"{given} normalises images itself, by its buffer {name!r}; behind {normalisation} they would be "
                "normalised twice. Leave the options out."
            )
    values = normalisation.for_channels(channels)
    return Normalised(model, mean=values.mean, std=values.std), (*remarks, f"Images are normalised as given: {values}.")
