"""What a run cost and where it comes from, as tables: one line for each fact, one text for each seed.

    costs(row)          # [Fact(name="Cost", texts=("1.17×", "1.17×", "1.17×")), ...]
    origin(row)         # versions, commit, hardware, checksums

A fact that no seed has is left out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from fairbench.boards.row import Row
from fairbench.report.phrases import NOTHING, multiple

MEBIBYTE = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """A line of a table.

    Attributes:
        name: of the fact.
        texts: for each seed.
        code: whether they are names or hashes rather than words.
    """

    name: str
    texts: tuple[str, ...]
    code: bool = False

    @property
    def shared(self) -> bool:
        """Whether all of several seeds say the same."""
        return len(self.texts) > 1 and len(set(self.texts)) == 1


def costs(row: Row) -> list[Fact]:
    """Relative cost, wall time, memory and image passes of every seed; failed ones cost something too."""
    found = [result.provenance for result in row.results]
    kinds = ("forwards", "input_backwards", "weight_backwards")
    facts = {
        "Training, × PGD-10 AT": [
            "" if result.external else multiple(result.provenance.cost) for result in row.results
        ],
        "Hot start, × PGD-10 AT": [_positive(each.prerequisite_cost, multiple) for each in found],
    }
    for network in _names(each.passes for each in found):
        for kind in kinds:
            passes = [each.passes.get(network, {}).get(kind, 0) for each in found]
            facts[f"Passes of {network}: {kind.replace('_', ' ')}"] = [
                _positive(one, "{:,.0f}".format) for one in passes
            ]
    for stage in _names(each.seconds for each in found):
        facts[f"Seconds: {stage}"] = [_positive(each.seconds.get(stage, 0), "{:,.1f}".format) for each in found]
    facts["Peak memory, MiB"] = [_positive(each.peak_memory // MEBIBYTE, "{:,}".format) for each in found]
    return known(facts)


def origin(row: Row) -> list[Fact]:
    """File, key, commit, versions, hardware and checksums of every seed."""
    found = [result.provenance for result in row.results]
    names = {"File": [result.file for result in row.results], "Key": [each.key for each in found]}
    words = {
        "Selected epoch": [_positive(each.selected_epoch + 1, str) for each in found],
        "Hardware": [each.hardware for each in found],
        "Device": [each.device for each in found],
        "Threads": [str(each.threads) for each in found],
    }
    for name in _names(each.versions for each in found):
        words[f"Version: {name}"] = [each.versions.get(name, "") for each in found]
    hashes = {"Commit": [each.source for each in found]}
    for rule in _names(each.checkpoints for each in found):
        hashes[f"SHA-256: {rule}"] = [each.checkpoints.get(rule, "") for each in found]
    return [*known(names, code=True), *known(words), *known(hashes, code=True)]


def known(facts: Mapping[str, Sequence[str]], *, code: bool = False) -> list[Fact]:
    """The facts that any seed has, from their texts for each seed; "" for a seed that has none."""
    return [
        Fact(name=name, texts=tuple(text or NOTHING for text in texts), code=code)
        for name, texts in facts.items()
        if any(texts)
    ]


def _names(found: Iterable[Iterable[str]]) -> list[str]:
    return sorted({name for names in found for name in names})


def _positive(value: float, show: Callable[[float], str]) -> str:
    return show(value) if value > 0 else ""
