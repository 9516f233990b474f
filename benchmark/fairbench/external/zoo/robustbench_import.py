"""RobustBench, imported although its package on PyPI no longer imports by itself.

robustbench 1.1.1 wants three modules that an environment of today may lack: `pkg_resources`, which setuptools 82
removed; `autoattack`, which PyPI has under the name `pyautoattack` and with another constructor than RobustBench calls;
and `autoattack.state`. While RobustBench is being imported, and only then, stand-ins for those that are missing are in
the table of modules:

    zoo = robustbench().model_zoo.model_dicts

Afterwards the table, the filters of warnings and the standard output are as they were. Nothing here happens when
fairbench is imported, or this module: only when a model of the zoo is asked for.
"""

import importlib
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

import pyautoattack
import pyautoattack.state
import torch
from torch import Tensor, nn

from fairbench.errors import UserError, first_line

INSTALL = "pip install 'fairbench[zoo]'"
"""What to type where RobustBench is missing, or one of the versions it insists on."""


def robustbench() -> Any:
    """The package `robustbench` with the submodules it loads: `model_zoo`, `utils`, `eval`.

    Raises:
        UserError: if it is not installed, or cannot be imported in this environment.
    """
    with _stand_ins(), quiet():
        try:
            return importlib.import_module("robustbench")
        except ModuleNotFoundError as error:
            raise UserError(
                f"Models of RobustBench need the extra `zoo`: there is no module {error.name!r}. Type: {INSTALL}"
            ) from error
        except ImportError as error:
            raise UserError(
                f"RobustBench is installed but cannot be imported ({first_line(error)}). It insists on old versions of "
                f"some libraries; in a fresh environment, type: {INSTALL}"
            ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """What RobustBench prints goes to the standard error; what its libraries deprecate is not the user's affair."""
    with warnings.catch_warnings(), redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        yield


class OldAutoAttack(pyautoattack.AutoAttack):  # type: ignore[misc]  # pyautoattack has no types
    """pyautoattack behind the interface of the original AutoAttack, so that `robustbench.eval.benchmark` runs.

    Args:
        model: images (n, channels, height, width) in [0, 1] -> logits (n, classes).
        norm: `Linf`, `L2` or `L1`.
        eps: radius in units of the images.
        seed: of every attack; the time if absent.
        verbose: ignored; pyautoattack logs.
        attacks_to_run: only with version `custom`.
        version: `standard`, `plus`, `rand` or `custom`.
        is_tf_model: ignored.
        device: where the attacks run.
        log_path: ignored.
    """

    def __init__(  # noqa: PLR0917  the original's order
        self,
        model: nn.Module,
        norm: str = "Linf",
        eps: float = 0.3,
        seed: int | None = None,
        verbose: bool = True,
        attacks_to_run: Sequence[str] = (),
        version: str = "standard",
        is_tf_model: bool = False,
        device: torch.device | str = "cuda",
        log_path: str | None = None,
    ) -> None:
        del verbose, is_tf_model, log_path
        attacks = list(attacks_to_run) or None
        super().__init__(model, norm=norm, eps=eps, seed=seed, attacks=attacks, version=version, device=device)

    def run_standard_evaluation(
        self,
        x_orig: Tensor,
        y_orig: Tensor,
        bs: int = 250,
        return_labels: bool = False,
        state_path: Path | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """The adversarial images, with their predicted labels only if asked for."""
        images, labels = super().run_standard_evaluation(x_orig, y_orig, batch_size=bs, state_path=state_path)
        return (images, labels) if return_labels else images


@contextmanager
def _stand_ins() -> Iterator[None]:
    """Whatever of the three is not there stands in the table of modules, for as long as the block lasts."""
    added: dict[str, ModuleType] = {}
    if not _importable("pkg_resources"):
        added["pkg_resources"] = _module("pkg_resources", resource_filename=_resource_filename)
    if not _importable("autoattack.state"):
        added["autoattack"] = _module("autoattack", AutoAttack=OldAutoAttack)
        added["autoattack.state"] = pyautoattack.state
    before = {name: sys.modules[name] for name in added if name in sys.modules}
    sys.modules.update(added)
    try:
        yield
    finally:
        for name in added:
            del sys.modules[name]
        sys.modules.update(before)


def _importable(name: str) -> bool:
    with quiet():  # pkg_resources says at every import that it will go
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            return False
    return True


def _module(name: str, **content: Any) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(content)
    return made


def _resource_filename(module: str, resource: str) -> str:
    """Path of a file beside a module: the one function of `pkg_resources` that RobustBench calls."""
    location = sys.modules[module].__file__
    assert location is not None
    return str(Path(location).parent / resource)
