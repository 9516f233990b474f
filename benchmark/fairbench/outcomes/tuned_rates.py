"""What tuning found: per method the learning rate that trains it best, with every trial that this was picked from.

    found = read_tuned_rates(Path("digits.tuned.json"))
    found.methods["absld"].rate         # 10.0, times the suite's learning rate
    found.methods["absld"].trials[0]    # Trial(rate=0.333, average=0.51, worst=0.27, epoch=39)

One small file per suite. It belongs to one protocol, one tuning seed and one length of the trials, which its `key`
covers; a file of another one is refused. Every accuracy in it is one of the validation split.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fairbench.atomic import atomic
from fairbench.errors import UserError
from fairbench.identity import content_key
from fairbench.protocol.suite import Suite, protocol_description, trained_by
from fairbench.typed_json import from_object, read_object

TUNED_SCHEMA = 1

ENDING = ".tuned.json"
"""Of such a file, after the name of its suite."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One training at one learning rate.

    Attributes:
        rate: times the suite's learning rate.
        average: robust accuracy on the validation split at the selected epoch, mean over classes; 0 if it failed.
        worst: the same of the worst class.
        epoch: the selected one, 0-based; -1 if it failed.
        reason: why the training failed, which spends the trial all the same; "" if it did not.
    """

    rate: float
    average: float = 0.0
    worst: float = 0.0
    epoch: int = -1
    reason: str = ""

    @property
    def score(self) -> float:
        """What trials are picked by, as checkpoints are: average plus worst; below every other if it failed."""
        return -1.0 if self.reason else self.average + self.worst


@dataclass(frozen=True, kw_only=True, slots=True)
class TunedMethod:
    """The trials of one method, or of one row that differs in hyper-parameters or network, in the order of their rates.

    Attributes:
        trials: at least one.
    """

    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial:
        """The trial with the best score, the lowest rate of equals."""
        return max(self.trials, key=lambda trial: (trial.score, -trial.rate))

    @property
    def rate(self) -> float:
        """Times the suite's learning rate; 1 if training failed at every one that was tried."""
        return 1.0 if self.best.reason else self.best.rate


@dataclass(frozen=True, kw_only=True)
class TunedRates:
    """What was found in one suite.

    Attributes:
        suite: its name.
        protocol: version of its rules.
        key: of everything that a trial depends on, but for the method and its rate.
        methods: by label of the row.
        versions: of the libraries that trained.
    """

    suite: str
    protocol: str
    key: str
    methods: Mapping[str, TunedMethod] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _File:
    """The same as plain values."""

    suite: str
    protocol: str
    key: str
    methods: dict[str, list[dict[str, Any]]]
    versions: dict[str, str]


def tuning_key(suite: Suite, *, dataset_digest: str) -> str:
    """Of a trial's protocol: data, networks, threat, recipe, length and tuning seed."""
    protocol = trained_by(protocol_description(suite.trial(), dataset_digest=dataset_digest))
    return content_key({"protocol": protocol, "teacher": suite.teacher, "seed": list(suite.trial().seeds)})


def no_rates(suite: Suite, *, dataset_digest: str) -> TunedRates:
    """Before anything was found."""
    key = tuning_key(suite, dataset_digest=dataset_digest)
    return TunedRates(suite=suite.name, protocol=suite.protocol, key=key)


def read_tuned_rates(path: Path) -> TunedRates:
    """Read and check one file.

    Raises:
        UserError: if it cannot be read, is of another schema, or not what it claims to be.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UserError(f"Cannot read the tuned rates {path}: {error.strerror or error}.") from error
    return parse_tuned_rates(text, origin=str(path))


def parse_tuned_rates(text: str | bytes, *, origin: str) -> TunedRates:
    """The same from the content of a file.

    Args:
        text: of the file.
        origin: where it came from, for messages.
    """
    values = read_object(text, origin=origin, schema=TUNED_SCHEMA)
    file = from_object(_File, values, origin=origin, schema=TUNED_SCHEMA)
    methods = {label: _tuned_method(trials, origin=f"{origin}, {label},") for label, trials in file.methods.items()}
    return TunedRates(
        suite=file.suite, protocol=file.protocol, key=file.key, methods=methods, versions=file.versions
    )


def write_tuned_rates(path: Path, found: TunedRates) -> None:
    """Write atomically, one trial a line, so that a difference can be read."""
    lines = [
        f'  "{name}": {json.dumps(value)},'
        for name, value in (("schema", TUNED_SCHEMA), ("suite", found.suite), ("protocol", found.protocol))
    ]
    lines += [f'  "key": "{found.key}",', f'  "versions": {json.dumps(dict(found.versions), sort_keys=True)},']
    methods = []
    for label, method in sorted(found.methods.items()):
        trials = ",\n".join(f"      {json.dumps(asdict(trial), allow_nan=False)}" for trial in method.trials)
        methods.append(f"    {json.dumps(label)}: [\n{trials}\n    ]")
    lines.append('  "methods": {\n' + ",\n".join(methods) + "\n  }")
    with atomic(path) as temporary:
        temporary.write_text("{\n" + "\n".join(lines) + "\n}\n", encoding="utf-8")


def checked_rates(found: TunedRates, suite: Suite, *, dataset_digest: str, origin: str) -> TunedRates:
    """The same, if it was found under this protocol.

    Raises:
        UserError: if not, naming the file and what differs.
    """
    asked = no_rates(suite, dataset_digest=dataset_digest)
    for name in ("suite", "protocol"):
        there, here = getattr(found, name), getattr(asked, name)
        if there != here:
            raise UserError(
                f"{origin} holds the rates of {name} {there}, and this is {name} {here}. Tune again: "
                f"fairbench tune --suite {suite.name}."
            )
    if found.key != asked.key:
        raise UserError(
            f"{origin} holds rates that were found before the suite {suite.name} changed (another dataset, network, "
            f"threat, recipe, grid or tuning seed). Tune again: fairbench tune --suite {suite.name}."
        )
    return found


def _tuned_method(trials: list[dict[str, Any]], *, origin: str) -> TunedMethod:
    read = tuple(from_object(Trial, one, origin=origin, schema=TUNED_SCHEMA, content="a trial") for one in trials)
    if not read:
        raise UserError(f"{origin} holds no trial; remove the entry and tune again.")
    for one in read:
        possible = 0 < one.rate < math.inf and 0 <= one.worst <= one.average <= 1 and one.epoch >= -1
        if not possible or (one.epoch == -1) != bool(one.reason):
            raise UserError(f"{origin} holds an impossible trial ({one}); remove the entry and tune again.")
    return TunedMethod(trials=tuple(sorted(read, key=lambda one: one.rate)))
