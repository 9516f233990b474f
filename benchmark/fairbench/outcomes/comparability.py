"""What decides whether two runs may be compared: their protocol, cut down to what can change a verdict.

    judged_protocol(run.provenance) == judged_protocol(other.provenance)      # rows of one board
    conditions(external.provenance) == conditions(run.provenance)             # a model that was trained elsewhere

A run counts in the tier that it reached: one that `fast` promoted has exactly the verdicts of `full`. What no verdict
depends on, as the batch size of an engine whose noise belongs to the image, separates nobody.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from fairbench.errors import UserError, first_line
from fairbench.fields import build
from fairbench.identity import content_key
from fairbench.outcomes.audit import Audit
from fairbench.outcomes.provenance import Provenance
from fairbench.protocol.attack_names import TIERS
from fairbench.protocol.evaluation import ADDED, Evaluation
from fairbench.protocol.recipe import Recipe
from fairbench.protocol.threat import Threat

UNRECORDED_ENGINE = "4"
"""Version of our engine of outcomes that do not say it: it was recorded from that one on."""

Protocol = dict[str, Any]
"""Plain values, as `fairbench.protocol.suite.protocol_description` makes them."""


def check_description(provenance: Provenance, *, file: str) -> None:
    """Refuse a file that does not say in full under which protocol it was made.

    Raises:
        UserError: naming the file, and what is missing or not allowed.
    """
    description = provenance.description
    try:
        content_key(description)  # refuses NaN
        protocol = description["protocol"]
        conditions(provenance)
        if provenance.role == "external":
            external = description["external"]
            complete = all(isinstance(external[name], str) and external[name] for name in ("name", "model"))
        else:
            build(Threat, protocol["threat"], prefix="threat.")
            build(Recipe, protocol["recipe"], prefix="recipe.")
            complete = "model" in protocol and isinstance(description["parameters"], dict)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{file} does not say in full under which protocol it was made ({first_line(error)})."
        ) from error
    if not complete:
        raise UserError(f"{file} does not say in full under which protocol it was made.")


def asked_tier(provenance: Provenance) -> str:
    """The tier that the protocol of a run asks for."""
    return str(_evaluation(provenance)["tier"])


def reached_tier(provenance: Provenance) -> str:
    """The tier in which a run counts: whose attacks its images faced, or would have faced if it failed."""
    return provenance.tier or asked_tier(provenance)


def engine_of(provenance: Provenance) -> str:
    """Whose AutoAttack judged a run, with its version; boards of different versions are not released as one."""
    if _evaluation(provenance)["engine"] == "reference":
        return f"pyautoattack {provenance.versions.get('pyautoattack', '?')}"
    return f"fairbench {provenance.versions.get('engine', UNRECORDED_ENGINE)}"


def judged_protocol(provenance: Provenance, *, tier: str = "") -> Protocol:
    """The protocol of a run without what no verdict depends on.

    Args:
        provenance: of the run.
        tier: instead of the one that it reached.
    """
    return {**provenance.description["protocol"], "evaluation": _judgement(provenance, tier=tier)}


def conditions(provenance: Provenance) -> Protocol:
    """What a model trained elsewhere has to share with a board: data, threat and judgement, but no training.

    The share of the training set that a suite validates on is none of it.
    """
    protocol = provenance.description["protocol"]
    dataset, threat = protocol["dataset"], protocol["threat"]
    identity = "sha256" if dataset.get("sha256", "") else "name"  # the display name of a file is not its identity
    epsilon = threat["epsilon"]
    shown = build(Threat, {"norm": threat["norm"], "epsilon": epsilon, "step": epsilon}, prefix="threat.")
    return {
        "protocol": protocol["protocol"],
        "dataset": {
            identity: dataset[identity],
            "image_size": dataset.get("image_size", 0),
            "left_out": dataset.get("exclude", {}).get("test", []),
        },
        "threat": {"norm": shown.norm, "epsilon": float(shown.epsilon)},
        "evaluation": _judgement(provenance),
    }


def read_audit(provenance: Provenance, *, file: str) -> Audit | None:
    """What the audit of a run saw; None if there was none.

    Raises:
        UserError: if it says something impossible, or nothing although the tier is `fast`.
    """
    stored = provenance.audit
    if not stored and provenance.tier != "fast":
        return None
    try:
        audit = build(Audit, {name: stored[name] for name in ("survivors", "audited", "breaks")})
    except (KeyError, UserError) as error:
        raise UserError(f"{file} does not say what its audit saw.") from error
    sound = len(audit.survivors) == len(audit.audited) == len(provenance.class_names) and all(
        seen <= found for seen, found in zip(audit.audited, audit.survivors, strict=True)
    )
    if not sound or audit.breaks > (0 if provenance.tier == "fast" else sum(audit.audited)):
        raise UserError(f"{file} has an audit that contradicts itself or its tier {provenance.tier!r}.")
    return audit


def contained(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a description asks for no more than another one (tier, radii, attacks), and for the same otherwise."""
    try:
        asked, evaluation = found["protocol"]["evaluation"], wanted["protocol"]["evaluation"]
        added = {name: evaluation[name] for name in ADDED if name in evaluation}
        fewer = all(set(asked.get(name, ())) <= set(added.get(name, ())) for name in ADDED)
        lower = TIERS.index(asked["tier"]) <= TIERS.index(evaluation["tier"])
        kept = {name: value for name, value in asked.items() if name not in ADDED}
        raised = {**kept, "tier": evaluation["tier"], **added}
        alike = content_key({**found, "protocol": {**found["protocol"], "evaluation": raised}}) == content_key(wanted)
    except (
        LookupError,
        AttributeError,
        TypeError,
        ValueError,
    ):  # a stranger's file; who reads it will say what is wrong
        return False
    return fewer and lower and alike


def _judgement(provenance: Provenance, *, tier: str = "") -> Protocol:
    """What verdicts depend on, of an evaluation in a tier."""
    evaluation = _evaluation(provenance)
    reached = tier or provenance.tier or evaluation["tier"]
    deciding = ["pgd_steps", "pgd_step", "seed"]
    if reached != "screen":
        deciding += ["engine", "search"]
        deciding += ["batch_size"] if evaluation["engine"] == "reference" else []
    if reached == "fast":
        deciding += ["audit"]
    return {"tier": reached, **{name: evaluation[name] for name in deciding}}


def _evaluation(provenance: Provenance) -> Protocol:
    return dict(_built(json.dumps(provenance.description["protocol"]["evaluation"], sort_keys=True)))


@lru_cache(maxsize=64)
def _built(evaluation: str) -> Protocol:
    """With what is not said filled in; most runs of a folder say the same."""
    return asdict(build(Evaluation, json.loads(evaluation), prefix="evaluation."))
