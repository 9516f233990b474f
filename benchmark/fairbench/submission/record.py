"""What is checked of one outcome file from what it says of itself: key, protocol, engine, card, and whose row it is.

    problems(outcomes, suite)       # sentences; none if a keeper would take it so far

Nobody's code is needed for any of it, and no network.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from fairbench.errors import UserError
from fairbench.identity import content_key
from fairbench.outcomes.comparability import UNRECORDED_ENGINE, check_description
from fairbench.outcomes.provenance import Provenance
from fairbench.outcomes.store import Outcomes
from fairbench.protocol.suite import PROTOCOL, Suite, protocol_description
from fairbench.submission.verdicts import contradictions

_CARD = ("title", "authors", "venue", "link", "bibtex", "code_licence")
_MARKUP = re.compile(r"<\s*[/!?]?\s*[A-Za-z]|javascript\s*:|&#|\]\(", re.IGNORECASE)
_DESCRIBED = {"protocol", "method", "parameters", "rate", "seed", "prerequisites", "trials"}
_DESCRIBED_EXTERNAL = {"protocol", "external", "seed"}


def problems(outcomes: Outcomes, suite: Suite | None, *, dataset_digest: str, engine: str) -> list[str]:
    """What speaks against one seed, a sentence each.

    Args:
        outcomes: readable, in the schema.
        suite: of its board, as it is today; None for a model that was trained elsewhere.
        dataset_digest: of the suite's `.npz` file, or "".
        engine: version of our engine of AutoAttack.
    """
    found = outcomes.provenance
    who = f"Seed {found.seed}"
    if found.status != "done":
        return [f"{who} failed in training ({found.reason}); a row needs finished seeds."]
    try:
        check_description(found, file=who)
    except UserError as error:
        return [str(error)]
    sentences = [*_identity(found, who), *_protocol(found, suite, who, dataset_digest=dataset_digest)]
    evaluation = found.description["protocol"]["evaluation"]
    made_by = found.versions.get("engine", UNRECORDED_ENGINE)
    if evaluation.get("engine", "fairbench") == "fairbench" and found.tier != "screen" and made_by != engine:
        sentences.append(
            f"{who} was attacked by version {made_by} of the engine of AutoAttack; today it is {engine}. "
            "Evaluate it again."
        )
    if found.role != "external":
        sentences += _card(found.card, who)
    return [*sentences, *contradictions(outcomes)]


def _identity(found: Provenance, who: str) -> Iterator[str]:
    """Key, seed, method and label, as they follow from the description."""
    description = found.description
    if content_key(description) != found.key:
        key = content_key(description)
        yield f"{who} has the key {found.key}, but what it describes has the key {key}: one of them was edited."
    wanted = _DESCRIBED_EXTERNAL if found.role == "external" else _DESCRIBED
    if strange := sorted(set(description) ^ wanted):
        yield f"{who} describes itself with other fields than a run of this fairbench: {', '.join(strange)}."
    if description.get("seed") != found.seed:
        yield f"{who} describes a training with the seed {description.get('seed')!r}."
    if found.role == "external":
        name = description["external"]["name"]
        if found.label != f"external-{name}":
            yield f"{who} has the label {found.label!r}, but its model is called {name!r}."
        return
    if description.get("method") != found.method:
        yield f"{who} names the method {found.method!r}, but describes {description.get('method')!r}."
    parameters = description["parameters"]
    if any(parameters.get(name) != value for name, value in found.changed.items()):
        yield f"{who} says that it changed hyper-parameters which its description has otherwise."
    label = f"{found.method}-{content_key(found.changed)[:8]}" if found.changed else found.method
    if found.label != label:
        yield f"{who} has the label {found.label!r}; by its method and what it changed it is {label!r}."
    if description.get("trials", 0) != len(found.tuning):
        yield f"{who} describes {description.get('trials')!r} trials of its rate; it holds {len(found.tuning)}."


def _protocol(found: Provenance, suite: Suite | None, who: str, *, dataset_digest: str) -> Iterator[str]:
    """Whether its protocol is that of its suite today, but for what separates boards."""
    stored = found.description["protocol"]
    if stored.get("protocol") != PROTOCOL:
        yield (
            f"{who} follows the rules {stored.get('protocol')!r}, boards of today {PROTOCOL!r}. Results of other "
            "rules stay with the version of the board that they belong to."
        )
        return
    if suite is None:
        return
    if found.seed not in suite.seeds and suite.tuning and found.seed == suite.tuning.seed:
        yield f"{who} is the seed on which {suite.name} tunes; no run is ranked on it."
    today = protocol_description(suite, dataset_digest=dataset_digest)
    differing = sorted(
        name
        for name in {*_leaves(stored), *_leaves(today)}
        - {f"evaluation.{name}" for name in ("tier", "engine", "search", "batch_size")}
        if _leaves(stored).get(name) != _leaves(today).get(name)
    )
    if differing:
        yield (
            f"{who} was made under another protocol than {suite.name} is today; differing: {', '.join(differing[:6])}. "
            "Run it again."
        )


def _leaves(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Plain values by dotted name; a tuple is the list that JSON makes of it."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _leaves(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = list(value) if isinstance(value, tuple) else value
    return found


def _card(card: Mapping[str, Any], who: str) -> Iterator[str]:
    """What a citation needs, as text: nothing that a page or a comment could take for markup."""
    for name in _CARD:
        text = card.get(name)
        if not isinstance(text, str) or not text.strip():
            yield f"{who}: the card has no {name}; complete `card` in the method and train again."
    if not isinstance(card.get("year"), int):
        yield f"{who}: the card has no year, which is a whole number."
    if not str(card.get("link", "")).startswith("https://"):
        yield f"{who}: the card's link does not start with https://."
    for name, text in card.items():
        if isinstance(text, str) and (_MARKUP.search(text) or not text.replace("\n", "").isprintable()):
            yield f"{who}: the card's {name} holds markup or signs that cannot be printed; write plain text."
