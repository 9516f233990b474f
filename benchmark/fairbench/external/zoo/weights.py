"""One file of weights and the network that takes it: fetched if it is not there, read without running anything, fitted.

Fitting is strict, but for three differences between RobustBench's files and its architectures, which RobustBench passes
over too: files without the normalisation that the architecture holds as buffers, files with a head that served only in
training, and XCiT under the names that timm gave its parts in the past.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

from torch import Tensor, nn

from fairbench.errors import UserError, first_line
from fairbench.external.foreign_weights import ForeignWeights, fit, read_weights
from fairbench.external.zoo.pinned import pinned

_NORMALISATION = ("mean", "std", "mu", "sigma")
_CHANNELS = 3
_TRAINING_HEAD = "model_preact_hl1."


@dataclass(frozen=True)
class Weights:
    """The weights of a network, or of one member of an ensemble.

    Attributes:
        module: takes them.
        path: where the file belongs.
        address: where it is published; "" if nowhere.
        entry: what RobustBench takes of a file with several sets of weights.
    """

    module: nn.Module
    path: Path
    address: str = ""
    entry: str = "state_dict"

    def ensure(self, *, key: str) -> str:
        """Fetch the file if it is not there; returns a sentence with its checksum.

        Raises:
            UserError: if it cannot be fetched or is no checkpoint; with what to fetch by hand, and where to put it.
        """
        by_hand = f"Where there is a network, fetch {self.address} and put the file at {self.path}."

        def fetch(path: Path) -> None:
            unavailable = import_module("gdown.exceptions").FileURLRetrievalError
            try:
                import_module("gdown").download(url=self.address, output=str(path), use_cookies=False)
            except (OSError, LookupError, unavailable) as error:
                reason = " ".join(str(error).split()) or type(error).__name__
                raise UserError(f"{path.name} cannot be downloaded: {reason.rstrip('.')}. {by_hand}") from error
            if not path.exists():
                raise UserError(f"{path.name} cannot be downloaded: nothing arrived. {by_hand}")

        def check(path: Path) -> None:
            try:
                self._read(path, key=key)
            except UserError as error:
                reason = first_line(error).replace(str(path), path.name)
                raise UserError(f"What {self.address} sent was not kept. {reason} {by_hand}") from error

        return pinned(self.path, fetch=fetch, check=check)

    def load(self, *, key: str) -> list[str]:
        """Read the file into the module; returns sentences on what was done for it.

        Raises:
            UserError: if the file is no checkpoint, or belongs to another architecture.
        """
        weights = self._read(self.path, key=key)
        remarks = list(weights.remarks)
        tensors = {name: tensor for name, tensor in weights.tensors.items() if _TRAINING_HEAD not in name}
        if len(tensors) < len(weights.tensors):
            remarks.append(f"{self.path.name}: a head that served only in training ({_TRAINING_HEAD}*) was left out.")
        with _without_absent_normalisation(self.module, tensors) as own:
            if own:
                remarks.append(f"{self.path.name} holds no {' and no '.join(own)}; RobustBench's own values are used.")
            weights = replace(weights, tensors=_current_names(self.module, tensors))
            remarks += fit(self.module, weights, origin=str(self.path))
        return remarks

    def _read(self, path: Path, *, key: str) -> ForeignWeights:
        try:
            return read_weights(path, key=key)
        except UserError as error:
            if key:
                raise
            try:
                return read_weights(path, key=self.entry)
            except UserError:
                raise error from None


def _current_names(model: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names of an XCiT that was saved without its normalising wrapper, as timm has them today."""
    if not (hasattr(model, "model") and any(name.startswith("cls_attn_blocks.") for name in tensors)):
        return tensors
    renamed: dict[str, Tensor] = import_module("timm.models.xcit").checkpoint_filter_fn(dict(tensors), model.model)
    return renamed


@contextmanager
def _without_absent_normalisation(model: nn.Module, tensors: Mapping[str, object]) -> Iterator[list[str]]:
    """Hide from a model's state dict the normalisation that a file does not hold, so that all the rest must fit."""
    held = {name.rpartition(".")[2] for name in tensors}
    state = model.state_dict()
    own = {
        name: buffer
        for name, buffer in model.named_buffers()
        if name in state and buffer.numel() == _CHANNELS and (last := name.rpartition(".")[2]) in _NORMALISATION
        if last not in held
    }

    def register(*, persistent: bool) -> None:
        for name, buffer in own.items():
            owner, _, last = name.rpartition(".")
            model.get_submodule(owner).register_buffer(last, buffer, persistent=persistent)

    register(persistent=False)
    try:
        yield list(own)
    finally:
        register(persistent=True)
