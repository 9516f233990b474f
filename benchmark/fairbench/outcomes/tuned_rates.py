"""What tuning found: per method the learning rate that trains it best, with every trial that this was picked from.

    found = read_tuned_rates(Path("digits.tuned.json"))
    found.methods["absld"].rate         # 10.0, times the suite's learning rate
    found.methods["absld"].trials[0]    # Trial(rate=0.333, average=0.51, worst=0.27, epoch=39)

One small file per suite. It belongs to one protocol, one tuning seed and one length of the trials, which its `key`
covers; a file of another one is refused. Every accuracy in it is one of the validation split.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from importlib import resources
from pathlib import Path

from fairbench.atomic import atomic
from fairbench.errors import UserError
from fairbench.identity import content_key
from fairbench.protocol.factory import is_factory, shown
from fairbench.protocol.suite import Suite, described_factory, protocol_description, trained_by
from fairbench.protocol.tuning import TunedMethod
from fairbench.typed_json import read_object

TUNED_SCHEMA = 1

ENDING = ".tuned.json"
"""Of such a file, after the name of its suite."""


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
    methods: dict[str, TunedMethod] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


def tuning_key(suite: Suite, *, dataset_digest: str) -> str:
    """Of a trial's protocol: data, networks, threat, recipe, length and tuning seed."""
    assert suite.tuning is not None
    protocol = trained_by(protocol_description(suite.trial(), dataset_digest=dataset_digest))
    networks = {"teacher_network": described_factory(suite.teacher_factory)} if is_factory(suite.teacher) else {}
    described = {"protocol": protocol, "teacher": shown(suite.teacher), **networks, "tuning": asdict(suite.tuning)}
    return content_key(described)


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
    return read_object(TunedRates, text, origin=origin, schema=TUNED_SCHEMA)


def known_rates(suite: Suite, given: Path | None = None, *, dataset_digest: str) -> TunedRates | None:
    """What is known of a suite's rates: what it brings, and what a user's file says of other rows.

    Args:
        suite: one that ships brings a file in the package, another one has it beside its own file.
        given: by the user; its rows come before those of the suite.
        dataset_digest: of the suite's `.npz` file, or "".

    Returns:
        None if the suite is not tuned, or says nothing on tuning.

    Raises:
        UserError: if a file cannot be read, or was made under another protocol.
    """
    if suite.tuning is None:
        if given is not None:
            raise UserError(f"{given} cannot be used: the suite {suite.name} has no table [tuning].")
        return None
    own, origin = rates_of(suite), f"the tuned rates of the suite {suite.name}"
    found = [checked_rates(own, suite, dataset_digest=dataset_digest, origin=origin)] if own else []
    if given is not None:
        found.append(checked_rates(read_tuned_rates(given), suite, dataset_digest=dataset_digest, origin=str(given)))
    if not found:
        return None
    return replace(found[-1], methods={label: method for one in found for label, method in one.methods.items()})


def rates_of(suite: Suite) -> TunedRates | None:
    """What the suite brings; None if nobody has tuned it yet."""
    if suite.folder:
        path = own_file(suite)
        return read_tuned_rates(path) if path.exists() else None
    shipped = resources.files("fairbench.protocol") / "suites" / f"{suite.name}{ENDING}"
    if not shipped.is_file():
        return None
    return parse_tuned_rates(shipped.read_bytes(), origin=f"the tuned rates of the suite {suite.name}")


def own_file(suite: Suite) -> Path:
    """Where tuning writes: beside the suite's own file; for a suite that ships into the current folder."""
    return Path(suite.folder) / f"{suite.name}{ENDING}"


def write_tuned_rates(path: Path, found: TunedRates) -> None:
    """Write atomically, one trial a line, so that a difference can be read."""
    head = {"schema": TUNED_SCHEMA, **asdict(replace(found, methods={}))}
    del head["methods"]
    lines = [f"  {json.dumps(name)}: {json.dumps(value, sort_keys=True)}," for name, value in head.items()]
    rows = []
    for label, method in sorted(found.methods.items()):
        trials = ",\n".join(f"      {json.dumps(asdict(trial), allow_nan=False)}" for trial in method.trials)
        rows.append(f'    {json.dumps(label)}: {{"trials": [\n{trials}\n    ]}}')
    lines.append('  "methods": {\n' + ",\n".join(rows) + "\n  }")
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
