"""The card of a model on a hub: what it is, how robust every class of it is, and how to use it.

hub_card(result, repo="ann/robust-cnn", licence="MIT")      # README.md, with a header for the hub
"""

import json

from fairbench.boards.seed_result import SeedResult
from fairbench.outcomes.metrics import average, worst
from fairbench.protocol.attack_names import Attack
from fairbench.report.paper.markdown import escape
from fairbench.report.phrases import percent

_TITLES: dict[Attack, str] = {"clean": "clean", "pgd20": "PGD-20", "autoattack": "AutoAttack"}


def hub_card(result: SeedResult, *, repo: str, licence: str) -> str:
    """As Markdown with a YAML header.

    Args:
        result: a finished run.
        repo: `org/name` on the hub.
        licence: of the weights, as SPDX spells it.
    """
    found = result.provenance
    protocol = found.description["protocol"]
    card = {name: str(value) for name, value in found.card.items()}
    title = card.get("title") or found.label
    dataset = str(protocol["dataset"].get("name", found.suite))
    header = {
        "license": licence.lower(),
        "library_name": "fairbench",
        "tags": ["adversarial-robustness", "robust-fairness", "image-classification"],
        "datasets": [dataset],
    }
    lines = ["---", *(f"{name}: {json.dumps(value)}" for name, value in header.items()), "---", ""]
    lines += [f"# {escape(title)}, {escape(found.suite)}, seed {found.seed}", ""]
    lines += [escape(card.get("idea", "")), ""] if card.get("idea") else []
    threat, model = protocol["threat"], escape(str(protocol["model"]))
    rules, norm = escape(str(protocol["protocol"])), escape(str(threat["norm"]))
    about = (
        f"{model} on {escape(dataset)}, trained by `{found.method}` of "
        f"[fairbench](https://github.com/fairbench/fairbench) under the protocol {rules} and judged within {norm} "
        f"{float(threat['epsilon']):.6g}. Accuracies are percent of the test images of a class, and upper bounds on "
        "true robustness."
    )
    lines += [
        about,
        "",
        *_table(result),
        "",
        "```sh",
        f"fairbench evaluate --dataset {dataset} --model hf:{repo} --name mine",
        "```",
        "",
        f"Images are in \\[0, 1\\]; the model normalises them itself. Key of the run: `{found.key}`.",
    ]
    if card.get("bibtex"):
        lines += ["", "```bibtex", card["bibtex"].replace("```", ""), "```"]
    return "\n".join(lines) + "\n"


def _table(result: SeedResult) -> list[str]:
    attacks = list(result.accuracies)
    names = result.provenance.class_names
    lines = [
        f"| class | images | {' | '.join(_TITLES[attack] for attack in attacks)} |",
        f"| --- | ---: |{' ---: |' * len(attacks)}",
    ]
    counts = result.accuracies["clean"].counts
    for k, name in enumerate(names):
        cells = [percent(result.accuracies[attack].values[k]) if counts[k] else "–" for attack in attacks]
        lines.append(f"| {escape(name)} | {int(counts[k])} | {' | '.join(cells)} |")
    for title, metric in (("average", average), ("worst class", worst)):
        cells = [percent(metric(result.accuracies[attack].values)) for attack in attacks]
        lines.append(f"| **{title}** | | {' | '.join(cells)} |")
    return lines
