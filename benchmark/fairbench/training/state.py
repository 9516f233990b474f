"""Everything a training carries from one epoch to the next, and its copy on disk.

Whatever is not in this state (or in the run's frozen description) cannot influence the next epoch, which is why a
training that was killed and resumed equals an undisturbed one bit for bit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fairbench.errors import UserError
from fairbench.method.contract import ClassStatistics, Method
from fairbench.models.checkpoint import load_state, save_state
from fairbench.protocol.run import Run
from fairbench.seeding import derived_seed, generator
from fairbench.training.averaging import WeightAverage
from fairbench.training.hook_answers import kept
from fairbench.training.passes import Passes


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectedEpoch:
    """The best epoch so far.

    Attributes:
        epoch: 0-based; -1 before the first.
        score: average plus worst robust accuracy on the validation split.
        single_class: whether that model predicts one class for every image; such an epoch is taken only while there is
            no other.
    """

    epoch: int = -1
    score: float = -1.0
    single_class: bool = True


class TrainingState:
    """A training between two epochs.

    Args:
        run: what is trained.
        method: the configured method, whose state is part of this one.
        model: the network, on its device.
        networks: names of all networks whose passes are counted.
    """

    def __init__(self, run: Run, method: Method, *, model: nn.Module, networks: tuple[str, ...]) -> None:
        self._key = run.training_key
        self.method = method
        self.model = model
        self.device = next(model.parameters()).device
        self.optimiser = torch.optim.SGD(
            model.parameters(),
            lr=run.recipe.learning_rate,
            momentum=run.recipe.momentum,
            weight_decay=run.recipe.weight_decay,
        )
        self.average = WeightAverage(run.recipe)
        self.generators = {"order": generator(run.seed, "order")} | {
            name: generator(run.seed, name, device=self.device) for name in ("augmentation", "views", "noise", "method")
        }
        torch.manual_seed(derived_seed(run.seed, "global"))  # for models with dropout
        self.passes = {name: Passes() for name in networks}
        self.epoch = 0  # completed epochs
        self.step = 0  # completed steps
        self.updates = 0  # steps that gave a weight a gradient
        self.history: list[dict[str, Any]] = []
        self.best = SelectedEpoch()
        self.selected: dict[str, Tensor] = {}  # weights of the selected epoch, on the CPU
        self.statistics: ClassStatistics | None = None  # of the model as it is, where the method steers by it
        self.seconds = 0.0
        self.peak_memory = 0

    def save(self, path: Path) -> None:
        """Write the state atomically."""
        found = self.statistics
        save_state(
            path,
            {
                "key": self._key,
                "model": self.model.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "average": self.average.weights,
                "method": kept(self.method.state_dict(), method=self.method),
                "generators": {name: stream.get_state() for name, stream in self.generators.items()},
                "global_generators": self._global_generators(),
                "passes": {n: [p.forwards, p.input_backwards, p.weight_backwards] for n, p in self.passes.items()},
                "epoch": self.epoch,
                "step": self.step,
                "updates": self.updates,
                "history": self.history,
                "selected": self.selected,
                "selection": [self.best.epoch, self.best.score, self.best.single_class],
                "statistics": None if found is None else [found.counts, found.clean, found.robust],
                "seconds": self.seconds,
                "peak_memory": self.peak_memory,
            },
        )

    def resume(self, path: Path) -> None:
        """Take up a state that was saved; without a file, begin.

        Raises:
            UserError: if the file is not a state, or is one of another run.
        """
        if not path.exists():
            return
        state = load_state(path)
        if state.get("key") != self._key:
            raise UserError(
                f"{path} belongs to another run ({state.get('key')}); delete it to train from the beginning."
            )
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.weights = self._here(state["average"])
        self.method.load_state_dict(self._here(state["method"]))
        for name, stream in self.generators.items():
            stream.set_state(state["generators"][name])
        torch.set_rng_state(state["global_generators"]["cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["global_generators"]["cuda"], self.device)
        for name, (forwards, inputs, weights) in state["passes"].items():
            self.passes[name] = Passes(forwards=forwards, input_backwards=inputs, weight_backwards=weights)
        self.epoch, self.step, self.history = state["epoch"], state["step"], state["history"]
        self.updates = state.get("updates", self.step)  # states of earlier versions do not say it
        self.selected = state["selected"]
        epoch, score, single_class = state["selection"]
        self.best = SelectedEpoch(epoch=epoch, score=score, single_class=single_class)
        if state["statistics"] is not None:
            counts, clean, robust = (tensor.to(self.device) for tensor in state["statistics"])
            self.statistics = ClassStatistics(counts=counts, clean=clean, robust=robust)
        self.seconds, self.peak_memory = state["seconds"], state["peak_memory"]

    def _here(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor.to(self.device) for name, tensor in tensors.items()}

    def _global_generators(self) -> dict[str, Tensor]:
        states = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.device)
        return states
