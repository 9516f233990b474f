"""A network of somebody's own, to be trained here: built by their code, normalised by ours, looked at beforehand.

    suite = with_sources(load_suite("my-suite.toml"))       # planning: what the keys depend on
    network = build_network(suite, classes=10, channels=3, size=(32, 32), mean=dataset.mean, std=dataset.std)
    check_trainable(network, called="nets.py:vit_tiny", last_batch=80)

The factory is called with the arguments of the suite, and with `classes`, `channels` and `size` where it has parameters
of these names. Images in [0, 1] are normalised before the network, by mean and deviation of the training split.
"""

import copy
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from textwrap import shorten

import torch
from torch import Tensor, nn

from fairbench.errors import UserError
from fairbench.external.factory import call_factory
from fairbench.external.first_look import look
from fairbench.foreign_code import ForeignFile
from fairbench.models.normalised import Normalised
from fairbench.protocol.factory import is_factory, located, shown
from fairbench.protocol.suite import Suite

_NORMALISING = {"mean", "std", "mu", "sigma"}


def with_sources(suite: Suite) -> Suite:
    """The suite with the SHA-256 of the source of every network in it that is not ours.

    Raises:
        UserError: if the source cannot be found, or a file cannot be imported.
    """
    model, teacher = suite.model_factory, suite.teacher_factory
    if is_factory(suite.model):
        model = replace(model, code=source_sha256(suite.model, folder=suite.folder))
    if is_factory(suite.teacher):
        teacher = replace(teacher, code=source_sha256(suite.teacher, folder=suite.folder))
    return replace(suite, model_factory=model, teacher_factory=teacher)


def source_sha256(given: str, *, folder: str = "") -> str:
    """What the code of a network is recognised by, wherever it lies.

    Of a file, its bytes and those of what it imports from beside it; of a package, all its Python files.

    Args:
        given: `path/to/file.py:factory` or `package.module:factory`.
        folder: against which a path is resolved.

    Raises:
        UserError: if there is no such file or package, or the file cannot be imported.
    """
    target, _, _ = located(given, folder=folder).rpartition(":")
    if target.endswith(".py"):
        file = ForeignFile.read(Path(target), called="the model")
        with file.passing_module() as module:
            return file.code_sha256(module)
    top = target.partition(".")[0]
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise UserError(
            f"The model {given} cannot be imported: there is no package {top!r} here. Install it or set PYTHONPATH; a "
            "network in a file that is not installed is given as path/to/file.py:factory."
        )
    digest = hashlib.sha256()
    for name, path in sorted(_sources(spec)):
        digest.update(f"{name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def build_network(
    suite: Suite, *, classes: int, channels: int, size: tuple[int, int], mean: Sequence[float], std: Sequence[float]
) -> nn.Module:
    """The suite's network with fresh weights, drawn from torch's global generator; the caller seeds it.

    Args:
        suite: whose model is a factory.
        classes: number of logits.
        channels: of the images.
        size: height and width of the images.
        mean: per channel, in units of [0, 1].
        std: per channel, same unit.

    Raises:
        UserError: if it cannot be built, or is no classifier of such images.
    """
    called = shown(suite.model)
    network = call_factory(
        located(suite.model, folder=suite.folder),
        arguments=suite.model_factory.keywords,
        offered={"classes": classes, "channels": channels, "size": size},
    ).model.cpu()
    for name, buffer in network.named_buffers():
        if name.rpartition(".")[2] in _NORMALISING and buffer.numel() in {1, channels}:
            raise UserError(
                f"{called} normalises images itself, by its buffer {name!r}; a network that is trained here is given "
                "images that are normalised already. Build it without."
            )
    model = Normalised(network, mean=mean, std=std)
    looked = look(model, torch.zeros(2, channels, *size), called=called)
    if looked.classes != classes:
        raise UserError(
            f"{called} distinguishes {looked.classes} classes, the dataset has {classes}. Tell its factory, as in "
            f"num_classes = {classes} under [model_arguments] of the suite, or --model-argument num_classes={classes}."
        )
    return model


def check_trainable(network: nn.Module, *, called: str, image: Tensor, last_batch: int) -> None:
    """Refuse a network that a training would break on, at its first step, at its last or when it is stored.

    Args:
        network: left as it is.
        called: what it is to the user.
        image: one, (channels, height, width), on its device.
        last_batch: images of the shortest batch.

    Raises:
        UserError: if it keeps something in its state that is no tensor, or fails in train mode.
    """
    state = network.state_dict()
    if strange := [name for name, value in state.items() if not isinstance(value, Tensor)]:
        raise UserError(f"{called} keeps {strange[0]!r} in its state, which is no tensor; it cannot be stored.")
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise UserError(f"{called} has no weight that can be trained; none has `requires_grad`.")
    count = min(last_batch, 2)
    with torch.random.fork_rng(devices=[image.device] if image.device.type == "cuda" else []), torch.enable_grad():
        try:
            trained = copy.deepcopy(network).train()
            logits = trained(image.expand(count, *image.shape))
            if isinstance(logits, Tensor):
                logits.sum().backward()  # type: ignore[no-untyped-call]
        except Exception as error:  # the border to foreign code: the user shall see whatever it raises
            single = "The last batch of an epoch has one image: choose another batch_size." if count == 1 else ""
            raise UserError(
                f"{called} cannot be trained on a batch of {count} images: {type(error).__name__}: "
                f"{shorten(str(error), 300).rstrip('.')}. {single}".rstrip()
            ) from error
    if not isinstance(logits, Tensor):
        raise UserError(
            f"{called} returns a {type(logits).__name__} in train mode; a model returns logits alone. Switch auxiliary "
            "outputs off, or write a factory that drops them."
        )
    if added := sorted(set(trained.state_dict()) ^ set(state)):
        raise UserError(
            f"{called} changes its own layers when it is called in train mode ({added[0]!r}), so that its weights fit "
            "no other. Build all layers in the constructor."
        )


def _sources(spec: ModuleSpec) -> Iterator[tuple[str, Path]]:
    """Python files of a package, by their path inside it; of a module, the one."""
    if spec.submodule_search_locations is None:
        if spec.origin and Path(spec.origin).is_file():
            yield Path(spec.origin).name, Path(spec.origin)
        return
    for location in spec.submodule_search_locations:
        for path in Path(location).rglob("*.py"):
            yield path.relative_to(location).as_posix(), path
