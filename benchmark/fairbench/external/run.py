"""A model that others trained, as the unit of work: what it is, on which images it is judged, and by which protocol.

    run = ExternalRun(name="mine", model=model, specification="models.py:net", sample=sample, threat=threat,
                      evaluation=evaluation)
    run.result_file(Path("results"))            # results/cifar10/external-mine/seed0.parquet

Of its training nothing is known, so nothing is described; two evaluations are the same if model, images, threat and
settings are.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from fairbench.errors import UserError
from fairbench.external.sample import Sample
from fairbench.fields import check_fields
from fairbench.identity import content_key
from fairbench.models.fingerprint import weights_sha256
from fairbench.protocol.evaluation import Evaluation, Seed, check_curve, evaluation_description
from fairbench.protocol.suite import PROTOCOL
from fairbench.protocol.threat import Threat


@dataclass(frozen=True, kw_only=True, eq=False)
class ExternalRun:
    """One model, one sample, one way to judge.

    Attributes:
        name: of the row: letters, digits, `.`, `_` and `-`.
        seed: of the training that made the model, if there are several.
        model: images in [0, 1] to logits, on the device where it is to be attacked.
        specification: where it comes from.
        code_sha256: of the file that builds it, if that is one; weights alone do not say what is done with them.
        file_sha256: of its checkpoint, if there is one.
        remarks: sentences on what a reader of the numbers should know.
        transform: what was done to its weights, see `fairbench.external.head_norm`; "" for nothing.
        sample: test images.
        threat: norm and radius.
        evaluation: tier, engine, search, batch size, and what is judged beside.
        further: the attacks that the evaluation names, see `fairbench.attacks.further.contract`.

    Raises:
        UserError: for a name that is no folder, or a negative seed.
    """

    name: str
    seed: Seed = 0
    model: nn.Module
    specification: str
    code_sha256: str = ""
    file_sha256: str = ""
    remarks: tuple[str, ...] = ()
    transform: str = ""
    sample: Sample
    threat: Threat
    evaluation: Evaluation
    further: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name)
        check_fields(self)
        check_curve(self.threat, self.evaluation)

    @cached_property
    def key(self) -> str:
        """Sixteen hexadecimal digits; equal for equal content."""
        return content_key(self.description())

    def description(self) -> dict[str, object]:
        """What the key is the hash of, as plain values."""
        threat = {"norm": self.threat.norm, "epsilon": self.threat.epsilon}
        return {
            "protocol": {
                "protocol": PROTOCOL,
                "dataset": dict(self.sample.identity),
                "threat": threat,
                "evaluation": evaluation_description(self.evaluation),
            },
            "external": self._model,
            "seed": self.seed,
        }

    @cached_property
    def _model(self) -> dict[str, object]:
        code = {"code": self.code_sha256} if self.code_sha256 else {}
        transform = {"transform": self.transform} if self.transform else {}
        return {
            "name": self.name,
            "model": self.specification,
            **code,
            **transform,
            "weights": weights_sha256(self.model),
            "images": content_key({"indices": self.sample.indices.tolist()}),
        }

    @property
    def role(self) -> Literal["external"]:
        """What the row is on a board."""
        return "external"

    @property
    def label(self) -> str:
        """Name of the row."""
        return f"external-{self.name}"

    def result_file(self, results: Path) -> Path:
        """Where the outcomes belong."""
        return results / self.sample.name / self.label / f"seed{self.seed}.parquet"

    def work_folder(self, work_dir: Path) -> Path:
        """Where partial verdicts lie: one folder for all tiers and engines, so that a higher tier takes up a lower."""
        protocol = self.description()["protocol"]
        assert isinstance(protocol, Mapping)
        judged = {"external": self._model, "dataset": protocol["dataset"], "threat": protocol["threat"]}
        return work_dir / "external" / f"{self.name}-{content_key(judged)[:8]}"

    @property
    def device(self) -> torch.device:
        """Of the model."""
        return device_of(self.model)


def check_name(name: str) -> None:
    """Refuse a name that is no folder.

    Raises:
        UserError: if it is not made of letters, digits, `.`, `_` and `-`, or begins with one of the last three.
    """
    if not (isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name)):
        raise UserError(
            f"The name {name!r} is not allowed; allowed: up to 100 letters, digits, '.', '_' and '-', a letter or "
            "digit first."
        )


def device_of(model: nn.Module) -> torch.device:
    """Where a model computes; the CPU if it has no tensors of its own."""
    return next((tensor.device for tensor in [*model.parameters(), *model.buffers()]), torch.device("cpu"))
