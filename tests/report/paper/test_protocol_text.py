"""The protocol in words says everything that the protocol is: whatever is changed there changes the text."""

from dataclasses import fields, replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fairbench import load_suite
from fairbench.cli import main
from fairbench.protocol.dataset_source import Exclusion, PixelDigests
from fairbench.protocol.factory import Factory
from fairbench.protocol.suite import MethodDefaults, Suite
from fairbench.protocol.suite_file import suite_names
from fairbench.report.paper.protocol_text import KEY_NAMES, protocol_text
from fairbench.statistics import KEYS

CHANGES: dict[str, dict[str, Any]] = {
    "": {
        "name": "other",
        "title": "Another title",
        "protocol": "fairbench-9",
        "model": "wrn-28-10",
        "teacher": "wrn-28-10",
        "seeds": (0, 1, 2, 3),
        "baseline": "trades",
        "methods": (MethodDefaults(method="dafa", parameters=(("strength", 7.5),)),),
        "model_factory": Factory(arguments=(("width", 8),)),
        "teacher_factory": Factory(arguments=(("width", 8),)),
    },
    "dataset": {
        "name": "svhn",
        "file": "",
        "validation": 0.1,
        "image_size": 64,
        "train_images": 500,
        "exclude": Exclusion(why="Two are damaged.", train=(7, 3)),
        "pixels": PixelDigests(test="ab" * 32),
    },
    "threat": {"norm": "L2", "epsilon": 0.5, "step": 3 / 255, "steps": 7, "attack_precision": "bf16"},
    "recipe": {
        "epochs": 55,
        "batch_size": 64,
        "learning_rate": 0.3,
        "momentum": 0.8,
        "weight_decay": 1e-4,
        "schedule": "one-cycle",
        "drops": (0.5,),
        "drop_factor": 0.2,
        "warmup": 0.45,
        "crop_padding": 2,
        "flip": False,
        "averaging": "none",
        "averaging_decay": 0.9,
        "averaging_start": 0.6,
        "precision": "bf16",
    },
    "evaluation": {
        "tier": "screen",
        "pgd_steps": 33,
        "pgd_step": 1 / 255,
        "curve": (2 / 255, 16 / 255),
        "attacks": ("targeted",),
        "seed": 5,
        "batch_size": 123,
        "engine": "reference",
        "search": "bf16",
        "audit": 0.25,
    },
    "tuning": {"rates": (0.5, 2.0), "fraction": 0.7, "seed": 4711},
}
NEEDS: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {
    ("recipe", "warmup"): ("recipe", {"schedule": "one-cycle"}),
    ("", "model_factory"): ("", {"model": "nets.py:net"}),
    ("", "teacher_factory"): ("", {"teacher": "nets.py:net"}),
}
"""What has to be set before a field has an effect."""


@pytest.fixture
def suite() -> Suite:
    suite = load_suite("cifar10")
    recipe = replace(suite.recipe, averaging="ema")
    return replace(suite, recipe=recipe, evaluation=replace(suite.evaluation, tier="fast"))


def changed(suite: Suite, part: str, values: dict[str, Any]) -> Suite:
    return replace(suite, **({part: replace(getattr(suite, part), **values)} if part else values))


def without_key(suite: Suite, *, digest: str = "") -> str:
    """The key changes with everything, and would hide what the words leave out."""
    return protocol_text(suite, dataset_digest=digest).split("## Keys")[0]


@pytest.mark.parametrize(("part", "name"), [(part, name) for part, values in CHANGES.items() for name in values])
def test_every_field_is_in_the_text(suite: Suite, part: str, name: str) -> None:
    if (part, name) in NEEDS:
        suite = changed(suite, *NEEDS[part, name])
    if name == "file":  # known by its content
        assert without_key(suite, digest="ab" * 32) != without_key(suite)
        return
    assert without_key(changed(suite, part, {name: CHANGES[part][name]})) != without_key(suite)


def test_no_field_is_forgotten(suite: Suite) -> None:
    for part, values in CHANGES.items():
        known = {field.name for field in fields(getattr(suite, part) if part else suite)}
        assert known - {"dataset", "threat", "recipe", "evaluation", "tuning", "folder"} == values.keys()


def test_every_sort_key_is_named() -> None:
    assert KEY_NAMES.keys() == KEYS.keys()


def test_numbers_are_written_as_people_write_them() -> None:
    text = protocol_text(load_suite("cifar10"), dataset_digest="")
    for fragment in (
        "L∞ ball of radius 8/255",
        "10 steps of 2/255",
        "multiplied by 0.1 after 100 and 105 epochs",
        "the 9 likeliest wrong classes",
        "Square (5,000 queries)",
        "with seeds 0, 1 and 2",
        "2,000 draws",
    ):
        assert fragment in text


def test_what_a_suite_leaves_out_and_insists_on_is_said(suite: Suite) -> None:
    source = replace(
        suite.dataset,
        train_images=20_000,
        exclude=Exclusion(why="Copies of them are damaged.", train=(1259, 3), test=(5,)),
        pixels=PixelDigests(train="ab" * 32, test="cd" * 32),
    )
    text = without_key(replace(suite, dataset=source))
    for sentence in (
        "Left out are the training images 3 and 1259 and the test image 5, counted from 0: Copies of them are damaged.",
        f"What is left has the SHA-256 {'ab' * 32} (training) and {'cd' * 32} (test), of pixels and labels.",
        "Of the training images 20,000 are used, every class in its share, by a fixed draw.",
        "Of these, 6 % of every class are held out for validation",
    ):
        assert sentence in text


@pytest.mark.parametrize("name", suite_names())
def test_every_suite_that_ships_can_be_told(name: str) -> None:
    found = CliRunner().invoke(main, ["protocol", "--suite", name])
    assert found.exit_code == 0, found.output
    assert found.stdout.startswith("# ")
    assert "None" not in found.stdout


def test_a_suite_file_is_told_too(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    shipped = (resources.files("fairbench.protocol") / "suites" / "digits.toml").read_text(encoding="utf-8")
    file.write_text(shipped.replace("epochs = 40", "epochs = 41"), encoding="utf-8")
    found = CliRunner().invoke(main, ["protocol", "--suite", str(file)])
    assert "for 41 epochs" in found.stdout


def test_an_unknown_suite_is_an_error() -> None:
    found = CliRunner().invoke(main, ["protocol", "--suite", "digit"])
    assert found.exit_code == 2
    assert "Did you mean 'digits'?" in found.output
