"""Where a result comes from: all about a run that is not a verdict, as JSON in the metadata of its file.

The history is most of it and few want it, so it is an object of its own; files from before have it in the other.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from fairbench.errors import UserError
from fairbench.typed_json import read_object

SCHEMA_VERSION = 2

Privilege = Literal["teacher", "hot start", "weight averaging", "validation accuracies", "validation images"]
"""What a run may have beyond the training split: larger or earlier networks, an average of its weights, and the split
that is held out, as accuracies by which it steers or as images."""

METADATA_KEY = b"fairbench"
HISTORY_KEY = b"fairbench-history"


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """The origin of one outcome file; plain values only.

    Attributes:
        status: `done`, or `failed` in training.
        reason: why it failed, in one sentence; "" if done.
        failed_epoch: 0-based; -1 if done.
        key: the run's content key.
        description: what the key is the hash of: protocol, method, resolved hyper-parameters, seed, prerequisites.
        suite: name of the suite.
        suite_title: one line for people.
        baseline: the method with which the suite compares every other one.
        method: registered name.
        label: directory name of the row, `method` or `method-<hash>`.
        role: `method`; `teacher` for a run on the suite's teacher architecture; `external` for a model that was not
            trained here.
        changed: hyper-parameters that differ from the method's defaults in the suite.
        code: of the method: `package` and `version`, or `file` and `sha256`, see `fairbench.method.registry`; {} of a
            model that was not trained here, and of runs from before it was recorded.
        card: the method's card, so that a board can be shown where the method is not installed; see
            `fairbench.method.explanation`.
        hyperparameters: what the method says of each, by name: description, default, and what is allowed.
        seed: training seed.
        class_names: by label.
        train_counts: training images per class.
        selected_epoch: 0-based epoch of the selected checkpoint.
        history: one entry per epoch: learning rate, loss, per-class validation accuracies, what the method reports.
        tier: whose attacks every image has faced; "" for a failed run.
        promotion: why that is more than the protocol asks for, as a sentence; "" if it is not.
        audit: what the audit of tier `fast` saw and what it bounds, see `fairbench.outcomes.audit`; {} without one.
        tried: what is known of every further attack, by its text: image passes (`forwards`, `backwards`), `unverified`
            points, and `norm` and `radius` of a ball of its own, in which alone it counts. Stored only where any is.
        flags: raised by the evaluation, by name: numbers, booleans or text; see `fairbench.evaluation.judgement`.
        warnings: sentences for people, raised anywhere on the way.
        passes: image passes by network: forwards, input_backwards, weight_backwards, relative_cost of one pass.
        privileges: what it had beyond the training split.
        tuning: the trials by which its learning rate was found, as in a file of tuned rates; none if it is not tuned.
        cost: training cost of this run as a multiple of PGD-10 adversarial training in the same suite.
        prerequisite_cost: the same for its hot start, which nobody can do without.
        teacher_cost: the same for its teacher, which serves all its students.
        seconds: wall time by stage: training, pgd20, autoattack.
        peak_memory: bytes.
        checkpoints: SHA-256 by rule, `selected` and `last`.
        versions: of fairbench, Python and the libraries, and of our `engine` of AutoAttack.
        source: commit of the working tree and whether it was dirty; "" outside one.
        hardware: processor or accelerator.
        device: `cpu` or `cuda`.
        threads: of the CPU.
    """

    status: Literal["done", "failed"]
    reason: str = ""
    failed_epoch: int = -1
    key: str
    description: dict[str, Any]
    suite: str
    suite_title: str = ""
    baseline: str = "pgd-at"
    method: str
    label: str
    role: Literal["method", "teacher", "external"] = "method"
    changed: dict[str, Any] = field(default_factory=dict)
    code: dict[str, str] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)
    hyperparameters: dict[str, dict[str, Any]] = field(default_factory=dict)
    seed: int
    class_names: list[str]
    train_counts: list[int] = field(default_factory=list)
    selected_epoch: int = -1
    history: list[dict[str, Any]] = field(default_factory=list)
    tier: Literal["", "screen", "fast", "full"] = ""
    promotion: str = ""
    audit: dict[str, Any] = field(default_factory=dict)
    tried: dict[str, dict[str, Any]] = field(default_factory=dict)
    flags: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    passes: dict[str, dict[str, float]] = field(default_factory=dict)
    privileges: list[Privilege] = field(default_factory=list)
    tuning: list[dict[str, Any]] = field(default_factory=list)
    cost: float = 0.0
    prerequisite_cost: float = 0.0
    teacher_cost: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory: int = 0
    checkpoints: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    source: str = ""
    hardware: str = ""
    device: str = ""
    threads: int = 1


def curve_of(provenance: Provenance) -> tuple[float, ...]:
    """Radii of the curve that a run's protocol asks for, rising; none without one, or where nonsense is written."""
    try:
        radii = provenance.description["protocol"]["evaluation"].get("curve", ())
        return tuple(float(radius) for radius in radii)
    except (LookupError, TypeError, ValueError, AttributeError):
        return ()


def attacks_of(provenance: Provenance) -> tuple[str, ...]:
    """Texts of the further attacks that a run's protocol asks for, in its order; as `curve_of`."""
    try:
        attacks = provenance.description["protocol"]["evaluation"].get("attacks", ())
        return tuple(str(attack) for attack in attacks)
    except (LookupError, TypeError, AttributeError):
        return ()


def to_metadata(provenance: Provenance) -> dict[bytes, bytes]:
    """As the schema metadata of a parquet file."""
    values = asdict(provenance)
    if not provenance.tried:
        del values["tried"]
    history = values.pop("history")
    stored = {METADATA_KEY: _as_json(values)}
    return stored | {HISTORY_KEY: _as_json({"history": history})} if history else stored


def _as_json(values: Mapping[str, Any]) -> bytes:
    return json.dumps({"schema": SCHEMA_VERSION, **values}, sort_keys=True, allow_nan=False).encode()


def from_metadata(metadata: Mapping[bytes, bytes] | None, *, origin: str, history: bool = True) -> Provenance:
    """From the schema metadata of a parquet file, checked field by field.

    Args:
        metadata: of the file.
        origin: names it.
        history: whether to read that; without it the run seems to have none.

    Raises:
        UserError: if they are not ours, of another schema, incomplete, or of wrong types.
    """
    key = METADATA_KEY.decode()
    if not metadata or METADATA_KEY not in metadata:
        raise UserError(f"{origin} is a parquet file, but not one of fairbench: it has no {key!r} metadata.")
    content = metadata[METADATA_KEY]
    found = read_object(Provenance, content, origin=origin, schema=SCHEMA_VERSION, content=f"{key!r} metadata")
    if not history:
        return replace(found, history=[]) if found.history else found
    if HISTORY_KEY not in metadata:
        return found
    content, key = metadata[HISTORY_KEY], HISTORY_KEY.decode()
    told = read_object(_History, content, origin=origin, schema=SCHEMA_VERSION, content=f"{key!r} metadata")
    return replace(found, history=told.history)


@dataclass(frozen=True, kw_only=True)
class _History:
    history: list[dict[str, Any]]
