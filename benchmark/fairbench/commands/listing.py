"""`fairbench list`: what there is. Nothing is loaded for it, so a broken plug-in is listed too."""

import json
import sys

from fairbench import methods
from fairbench.data.sources import dataset_names
from fairbench.models import describe, model_names
from fairbench.suite_file import load_suite, suite_names


def listing(kind: str, *, as_json: bool) -> None:
    """Print names with one line about each."""
    entries = {"methods": _methods, "suites": _suites, "datasets": _datasets, "models": _models}[kind]()
    if as_json:
        sys.stdout.write(json.dumps(entries, indent=2) + "\n")
        return
    width = max((len(name) for name in entries), default=0)
    sys.stdout.writelines(f"{name:{width}}  {about}".rstrip() + "\n" for name, about in entries.items())


def _methods() -> dict[str, str]:
    return methods.origins()


def _suites() -> dict[str, str]:
    return {name: load_suite(name).title for name in suite_names()}


def _datasets() -> dict[str, str]:
    return dict.fromkeys(dataset_names(), "")


def _models() -> dict[str, str]:
    return {name: describe(name) for name in model_names()}
