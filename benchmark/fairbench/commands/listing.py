"""`fairbench list`: what there is. Nothing is loaded for it, so a broken plug-in is listed too."""

import json
import sys

from fairbench.data.sources import dataset_names
from fairbench.method import attack_registry, registry
from fairbench.models import describe, model_names
from fairbench.outcomes.tuned_rates import rates_of
from fairbench.protocol.suite_file import load_suite, suite_names


def listing(kind: str, *, as_json: bool) -> None:
    """Print names with one line about each."""
    entries = {
        "methods": _methods,
        "attacks": attack_registry.origins,
        "suites": _suites,
        "datasets": _datasets,
        "models": _models,
        "zoo": _zoo,
    }[kind]()
    if as_json:
        sys.stdout.write(json.dumps(entries, indent=2) + "\n")
        return
    width = max((len(name) for name in entries), default=0)
    sys.stdout.writelines(f"{name:{width}}  {about}".rstrip() + "\n" for name, about in entries.items())


def _methods() -> dict[str, str]:
    return registry.origins()


def _suites() -> dict[str, str]:
    suites = (load_suite(name) for name in suite_names())
    return {suite.name: f"{suite.title}{'' if rates_of(suite) else ' (not tuned yet)'}" for suite in suites}


def _datasets() -> dict[str, str]:
    return dict.fromkeys(dataset_names(), "")


def _models() -> dict[str, str]:
    return {name: describe(name) for name in model_names()}


def _zoo() -> dict[str, str]:
    """What RobustBench has for the datasets of ours; the one list that takes seconds, because it asks RobustBench."""
    from fairbench.external.zoo import BOARDS, zoo_names  # noqa: PLC0415  imports torch and the extra

    boards: dict[str, list[str]] = {}
    for dataset, norm in BOARDS:
        for name in zoo_names(dataset=dataset, norm=norm):
            boards.setdefault(name, []).append(f"{dataset} {norm}")
    return {f"robustbench:{name}": ", ".join(of) for name, of in sorted(boards.items())}
