"""Networks of one's own, as suites and the command line name them, and what of them enters a key."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fairbench import UserError, load_suite
from fairbench.outcomes.tuned_rates import tuning_key
from fairbench.protocol.factory import Factory, is_factory, located, parse_arguments, shown
from fairbench.protocol.suite import protocol_description
from fairbench.protocol.suite_file import parse_suite

SUITE = """
model = "nets.py:net"
teacher = "pkg.nets:wide"
dataset = {name = "digits"}
threat = {epsilon = 0.1, step = 0.05}
recipe = {epochs = 1, learning_rate = 0.1}
evaluation = {pgd_step = 0.05}

[model_arguments]
width = 8
depths = [1, 2]
kind = "plain"

[teacher_arguments]
scale = 0.5
"""


def parse(text: str) -> Any:
    return parse_suite(text, name="mine", origin="mine.toml", folder="/somewhere")


def test_a_suite_names_a_factory_and_its_arguments() -> None:
    suite = parse(SUITE)
    assert suite.model_factory == Factory(arguments=(("depths", (1, 2)), ("kind", "plain"), ("width", 8)))
    assert suite.model_factory.keywords == {"depths": [1, 2], "kind": "plain", "width": 8}
    taught = suite.teaching()
    assert (taught.model, taught.model_factory.keywords) == ("pkg.nets:wide", {"scale": 0.5})
    assert suite.has_a_teacher_of_its_own
    same = replace(suite, teacher=suite.model, teacher_factory=suite.model_factory)
    assert not same.has_a_teacher_of_its_own


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("width = 8", "width = {a = 1}", "model_arguments.width = .* is no argument of a factory"),
        ("depths = [1, 2]", "depths = [[1], 2]", "model_arguments.depths"),
        ("[model_arguments]", "[model_argument]", "Unknown field 'model_argument'. Did you mean"),
        ('model = "nets.py:net"', 'model = "digits-cnn"', "model_arguments with model = 'digits-cnn' is not allowed"),
        ("[model_arguments]", "[model_factory]", r"'model_factory' is not written in the file; .*\[model_arguments\]"),
        ('model = "nets.py:net"', 'model_arguments = 3\nmodel = "a:b"', "not valid TOML"),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, said: str) -> None:
    assert old in SUITE
    with pytest.raises(UserError, match=f"mine.toml.*{said}"):
        parse(SUITE.replace(old, new))


def test_a_key_holds_arguments_and_source_and_no_folder() -> None:
    """And nothing of it where the network is ours."""
    suite = parse(SUITE)
    described = [
        protocol_description(replace(suite, model=f"{folder}nets.py:net"), dataset_digest="")
        for folder in ("", "/a/b/")
    ]
    assert described[0] == described[1]
    assert described[0]["model"] == "nets.py:net"
    assert described[0]["network"] == {"arguments": {"depths": [1, 2], "kind": "plain", "width": 8}, "code": ""}
    edited = replace(suite, model_factory=replace(suite.model_factory, code="0f" * 32))
    assert protocol_description(edited, dataset_digest="") != described[0]
    assert "network" not in protocol_description(load_suite("digits"), dataset_digest="")


def test_a_tuning_depends_on_the_networks_of_others() -> None:
    suite = replace(load_suite("digits"), teacher="nets.py:wide")
    keys = {
        tuning_key(one, dataset_digest="")
        for one in (
            suite,
            replace(suite, teacher_factory=Factory(code="0f" * 32)),
            replace(suite, teacher_factory=Factory(arguments=(("width", 2),))),
        )
    }
    assert len(keys) == 3
    assert tuning_key(replace(suite, teacher="/a/nets.py:wide"), dataset_digest="") in keys


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=6", 6),
        ("a = 0.5", 0.5),
        ("a=true", True),
        ("a=[1, 2]", (1, 2)),
        ("a=vit_tiny_patch16_224", "vit_tiny_patch16_224"),
        ('a="6"', "6"),
        ("a=x=y", "x=y"),
        ("a=2026-01-01x", "2026-01-01x"),
    ],
)
def test_arguments_are_typed_as_in_a_suite(text: str, value: object) -> None:
    assert parse_arguments((text,), option="--model-argument") == (("a", value),)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (("a",), "--model-argument 'a' is not understood; write --model-argument NAME=VALUE"),
        (("=3",), "is not understood"),
        (("a=",), "is not understood"),
        (("a-b=3",), "is not understood"),
        (("a=1", "a=2"), "gives 'a' twice"),
        (("a=2026-01-01",), "is no argument of a factory"),
    ],
)
def test_what_is_no_argument_is_refused(texts: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        parse_arguments(texts, option="--model-argument")


def test_names_are_shown_and_located() -> None:
    assert [is_factory(name) for name in ("resnet18", "a.py:b", "a.b:c")] == [False, True, True]
    assert [shown(name) for name in ("resnet18", "x/y/a.py:b", "a.b:c")] == ["resnet18", "a.py:b", "a.b:c"]
    assert located("a.py:b", folder="/x") == f"{Path('/x/a.py')}:b"
    assert located("/y/a.py:b", folder="/x") == "/y/a.py:b"
    assert located("a.b:c", folder="/x") == "a.b:c"
