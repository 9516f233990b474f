"""Suite files: those that ship, fractions, and every way in which a file can be wrong."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairbench.errors import UserError
from fairbench.identity import content_key
from fairbench.protocol.suite import Suite, protocol_description
from fairbench.protocol.suite_file import load_suite, parse_suite, suite_names

LINES: dict[str, dict[str, str]] = {
    "": {"title": '"Flowers"', "model": '"cifar-cnn"', "teacher": '"resnet18"', "seeds": "[0, 1]"},
    "dataset": {"name": '"cifar10"', "validation": '"1/10"'},
    "threat": {"norm": '"Linf"', "epsilon": '"8/255"', "step": "0.01", "steps": "7"},
    "recipe": {"epochs": "30", "schedule": '"steps"', "drops": "[0.5, 0.75]", "flip": "false"},
    "evaluation": {"pgd_step": '"2/255"', "tier": '"screen"'},
}
"""A valid file: TOML values by table and field; the table "" is the top."""


def written(tables: dict[str, dict[str, str]]) -> str:
    """TOML text with the tables and their fields in the given order; the top must come first in TOML."""
    top = [f"{field} = {value}" for field, value in tables.get("", {}).items()]
    rest = [
        "\n".join([f"[{table}]", *(f"{field} = {value}" for field, value in fields.items())])
        for table, fields in tables.items()
        if table
    ]
    return "\n".join(top + rest)


def changed(field: str, value: str | None) -> str:
    """The valid file with one field set to some TOML, or without it."""
    table, _, name = field.rpartition(".")
    fields = {other: text for other, text in LINES.get(table, {}).items() if other != name}
    return written({**LINES, table: fields if value is None else {**fields, name: value}})


def parsed(text: str) -> Suite:
    return parse_suite(text, name="flowers", origin="flowers.toml")


def test_a_file_becomes_a_suite() -> None:
    suite = parsed(written(LINES))
    assert suite.threat.epsilon == 8 / 255
    assert suite.dataset.validation == 0.1
    assert suite.recipe.drops == (0.5, 0.75)
    assert suite.evaluation.tier == "screen"
    assert suite.seeds == (0, 1)
    assert suite.name == "flowers"


@given(order=st.randoms(use_true_random=False))
def test_the_order_of_tables_and_fields_never_changes_the_key(order: Random) -> None:
    def shuffled(fields: dict[str, str]) -> dict[str, str]:
        return dict(order.sample(list(fields.items()), len(fields)))

    tables = {table: shuffled(LINES[table]) for table in order.sample(list(LINES), len(LINES))}
    suite, reference = parsed(written(tables)), parsed(written(LINES))
    assert suite == reference
    keys = {content_key(protocol_description(each, dataset_digest="")) for each in (suite, reference)}
    assert len(keys) == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"8/255"', 8 / 255),
        ('" 8 / 255 "', None),
        ("0.03", 0.03),
        ('"0.03"', 0.03),
        ("1", 1.0),
        ('"0.5/255"', None),
        ("0.031372549019607843", 8 / 255),
    ],
)
def test_epsilon_is_a_fraction_of_255_or_a_decimal(text: str, value: float | None) -> None:
    if value is None:
        with pytest.raises(UserError, match=r"threat\.epsilon"):
            parsed(changed("threat.epsilon", text))
    else:
        assert parsed(changed("threat.epsilon", text)).threat.epsilon == value


REFUSED: list[tuple[str, str | None, list[str]]] = [
    # epsilon and its relatives
    ("threat.epsilon", '"8/256"', ["'8/256'", "not a fraction of 255", "'8/255'"]),
    ("threat.epsilon", '"16/510"', ["'16/510'", "not a fraction of 255"]),
    ("threat.step", '"2/256"', ["threat.step", "'2/256'", "not a fraction of 255"]),
    ("evaluation.pgd_step", '"2/256"', ["evaluation.pgd_step", "'2/256'"]),
    ("evaluation.curve", '["2/255", "4/256"]', ["evaluation.curve[1]", "'4/256'", "not a fraction of 255"]),
    ("evaluation.curve", '["4/255", "2/255"]', ["evaluation.curve", "rising radii above 0"]),
    ("evaluation.curve", "[0.5, 1.5]", ["evaluation.curve", "at most 1 where the norm is Linf"]),
    ("evaluation.attacks", '["targeted", "targeted"]', ["evaluation.attacks", "each of them once"]),
    ("threat.epsilon", "-1", ["-1.0", "allowed: a number in (0, 1]"]),
    ("threat.epsilon", '"-8/255"', ["-0.03", "allowed: a number in (0, 1]"]),
    ("threat.epsilon", "0", ["0.0 is not allowed"]),
    ("threat.epsilon", "2", ["2.0 is not allowed", "(0, 1]"]),
    ("threat.epsilon", "8", ["8.0 is not allowed", "'8/255'"]),
    ("threat.epsilon", "nan", ["nan", "not a finite number"]),
    ("threat.epsilon", "inf", ["inf", "not a finite number"]),
    ("threat.epsilon", '"nan"', ["'nan'", "not a finite number"]),
    ("threat.epsilon", '"abc"', ["'abc'", "not a finite number"]),
    ("threat.epsilon", '"1/0"', ["'1/0'", "not a finite number"]),
    ("threat.epsilon", '"1e999"', ["'1e999'", "not a finite number"]),
    ("threat.epsilon", "true", ["True", "not a finite number"]),
    ("threat.epsilon", "[0.1]", ["[0.1]", "not a finite number"]),
    ("threat.epsilon", None, ["'threat.epsilon' is missing"]),
    # unknown and missing
    ("recipe.epocs", "3", ["Unknown field 'recipe.epocs'", "Did you mean 'recipe.epochs'?"]),
    ("modell", '"resnet18"', ["Unknown field 'modell'", "Did you mean 'model'?"]),
    ("model", None, ["'model' is missing", "required"]),
    ("recipe.epochs", None, ["'recipe.epochs' is missing"]),
    ("evaluation.pgd_step", None, ["'evaluation.pgd_step' is missing"]),
    ("name", '"mine"', ["'name' is not written in the file", "named after its file"]),
    ("folder", '"/"', ["'folder' is not written in the file"]),
    # wrong types
    ("recipe.epochs", "true", ["recipe.epochs = True is true or false; it must be an integer"]),
    ("recipe.epochs", "30.0", ["recipe.epochs = 30.0 is a number; it must be an integer"]),
    ("recipe.epochs", '"30"', ["recipe.epochs = '30' is a string; it must be an integer"]),
    ("recipe.flip", "1", ["recipe.flip = 1 is an integer; it must be true or false"]),
    ("model", "18", ["model = 18 is an integer; it must be a string"]),
    ("seeds", "3", ["seeds = 3 must be a list"]),
    ("seeds", "[0, true]", ["seeds[1] = True is true or false; it must be an integer"]),
    ("seeds", "[0.5]", ["seeds[0] = 0.5 is a number; it must be an integer"]),
    ("recipe.drops", "0.5", ["recipe.drops = 0.5 must be a list"]),
    # values
    ("threat.norm", '"linf"', ["value of threat.norm 'linf'", "Known: L2, Linf"]),
    ("recipe.schedule", '"cosine"', ["value of recipe.schedule 'cosine'", "one-cycle, steps"]),
    ("evaluation.tier", '"ful"', ["value of evaluation.tier 'ful'", "Did you mean 'full'"]),
    ("evaluation.audit", "1.5", ["evaluation.audit = 1.5", "(0, 1]"]),
    ("evaluation.search", '"fp16"', ["value of evaluation.search 'fp16'", "bf16, fp32"]),
    ("recipe.drops", "[0.75, 0.5]", ["recipe.drops = [0.75, 0.5]", "rising fractions"]),
    ("recipe.drops", "[0.5, 1.0]", ["recipe.drops = [0.5, 1.0]", "(0, 1)"]),
    ("seeds", "[0, 1, 0]", ["seeds = [0, 1, 0]", "distinct"]),
    ("seeds", "[-1]", ["seeds = [-1]", "0 to 2^31 - 1"]),
    ("seeds", "[]", ["seeds = []"]),
    ("recipe.epochs", "0", ["recipe.epochs = 0", "1 to 100000"]),
    ("recipe.learning_rate", "-0.1", ["recipe.learning_rate = -0.1", "a positive number"]),
    ("dataset.validation", "0.6", ["dataset.validation = 0.6", "(0, 0.5]"]),
    ("dataset.image_size", "4", ["dataset.image_size = 4", "at least 8"]),
    ("dataset.train_images", "-1", ["dataset.train_images = -1", "or 0 for all"]),
    ("dataset.exclude", "[1, 2]", ["dataset.exclude = [1, 2] must be a table", "[dataset.exclude]"]),
    ("dataset.exclude.tset", "[1]", ["Unknown field 'dataset.exclude.tset'", "Did you mean 'dataset.exclude.test'"]),
    ("dataset.exclude.why", '"Bad."', ["dataset.exclude.why = 'Bad.'", "none without images"]),
    ("dataset.exclude.test", "[1.5]", ["dataset.exclude.test[0] = 1.5 is a number; it must be an integer"]),
    ("dataset.exclude.test", "[2, 2]", ["dataset.exclude.test = [2, 2]", "each of them once"]),
    ("dataset.pixels.test", '"12"', ["dataset.pixels.test = '12'", "64 lower-case hexadecimal digits"]),
    ("threat.step", "0.1", ["threat.step = 0.1", "at most twice epsilon"]),
]


@pytest.mark.parametrize(
    ("field", "value", "fragments"), REFUSED, ids=[f"{field}={value}" for field, value, _ in REFUSED]
)
def test_a_wrong_field_is_refused_by_name(field: str, value: str | None, fragments: list[str]) -> None:
    with pytest.raises(UserError) as refused:
        parsed(changed(field, value))
    for fragment in ["flowers.toml: ", field.rpartition(".")[2], *fragments]:
        assert fragment in str(refused.value)


@pytest.mark.parametrize("table", ["dataset", "threat", "recipe", "evaluation"])
def test_a_missing_or_flat_table_is_named(table: str) -> None:
    rest = {name: fields for name, fields in LINES.items() if name != table}
    with pytest.raises(UserError, match=f"field '{table}' is missing"):
        parsed(written(rest))
    with pytest.raises(UserError, match=rf"{table} = 3 must be a table, written as \[{table}\]"):
        parsed(written({**rest, "": {**LINES[""], table: "3"}}))
    with pytest.raises(UserError, match=f"{table} = .* must be a table"):
        parsed(written({f"[{name}]" if name == table else name: fields for name, fields in LINES.items()}))


@pytest.mark.parametrize("text", ["model =", "model = 'a'\nmodel = 'b'", "[threat\n", "= 3", "\x00"])
def test_text_that_is_no_toml_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"^flowers\.toml is not valid TOML: .*\."):
        parsed(text)


def test_a_file_is_read_by_its_path_and_named_after_it(tmp_path: Path) -> None:
    path = tmp_path / "my-flowers.toml"
    path.write_text(written(LINES), encoding="utf-8")
    suite = load_suite(str(path))
    assert (suite.name, suite.folder) == ("my-flowers", str(tmp_path))


@pytest.mark.parametrize("name", ["Flowers.toml", "my flowers.toml", "blumenwieße.toml"])
def test_a_file_whose_name_cannot_name_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(written(LINES), encoding="utf-8")
    with pytest.raises(UserError, match=rf"{name}: name = '{name[:-5]}' is not allowed; allowed: lower-case letters"):
        load_suite(str(path))


def test_a_file_that_cannot_be_read_is_named_with_the_suites_that_ship(tmp_path: Path) -> None:
    folder = tmp_path / "folder.toml"
    folder.mkdir()
    binary = tmp_path / "binary.toml"
    binary.write_bytes(bytes(range(256)))
    for path, reason in ((tmp_path / "absent.toml", "No such file"), (folder, "directory"), (binary, "decode")):
        with pytest.raises(UserError) as refused:
            load_suite(str(path))
        for fragment in (f"Cannot read the suite file {path}", reason, "cifar10-fast, cifar10-small, cifar10-wrn"):
            assert fragment in str(refused.value)


def test_a_file_without_read_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.toml"
    path.write_text(written(LINES), encoding="utf-8")

    def refuse(*_arguments: object, **_settings: object) -> str:
        raise PermissionError(13, "Permission denied", str(path))  # chmod would not stop a test that runs as root

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(UserError, match=r"Cannot read the suite file .*secret\.toml: .*Permission denied"):
        load_suite(str(path))


@pytest.mark.parametrize(
    ("given_name", "close"), [("digit", "digits"), ("CIFAR-10", "cifar10"), ("cifar10_fast", "cifar10-fast")]
)
def test_an_unknown_suite_gets_a_suggestion(given_name: str, close: str) -> None:
    with pytest.raises(UserError, match=f"Unknown suite '{given_name}'. Did you mean '{close}'?.*path that ends in"):
        load_suite(given_name)


def test_ten_suites_ship_and_follow_the_protocol() -> None:
    colour = ["cifar10", "cifar10-fast", "cifar10-small", "cifar10-wrn", "cifar100", "imagenette", "svhn"]
    assert suite_names() == sorted([*colour, "digits", "fashion-mnist", "mnist"])
    for suite in map(load_suite, suite_names()):
        assert suite.protocol == "fairbench-2"
        assert suite.threat.steps == 10
        assert suite.threat.step == suite.evaluation.pgd_step == pytest.approx(suite.threat.epsilon / 4)
        small = suite.name in {
            "cifar10-small",
            "fashion-mnist",
        }  # FAB and Square on 3,000 survivors take a core for hours
        assert (suite.evaluation.tier, suite.evaluation.engine) == ("fast" if small else "full", "fairbench")
        assert suite.evaluation.search == "fp32"
        assert suite.evaluation.pgd_steps == 20
        assert len(suite.seeds) >= 3
        assert suite.recipe.flip == (suite.name not in {"digits", "fashion-mnist", "mnist", "svhn"})


@pytest.mark.parametrize(("name", "epsilon"), [("digits", 0.15), ("mnist", 0.3), ("cifar10", 8 / 255)])
def test_a_shipped_suite_has_the_radius_of_the_protocol(name: str, epsilon: float) -> None:
    assert load_suite(name).threat.epsilon == epsilon


def test_defaults_of_methods() -> None:
    """What authors chose by dataset is written in the suite, and is nobody's change of the protocol."""
    plain = parsed(written(LINES))
    suite = parsed(
        written(LINES) + "\n[methods.ham]\nselection_steps = 5\n[methods.frl]\ntau1 = '7/100'\nanti_windup = true"
    )
    assert suite.defaults_of("ham") == {"selection_steps": 5}
    assert suite.defaults_of("frl") == {"tau1": 0.07, "anti_windup": True}
    assert suite.defaults_of("trades") == plain.defaults_of("ham") == {}
    assert protocol_description(suite, dataset_digest="") == protocol_description(plain, dataset_digest="")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[methods]\nham = 5", "written as \\[methods.NAME\\]"),
        ("[[methods]]\nham = 5", "written as \\[methods.NAME\\]"),
        ("[methods.ham]\nselection_steps = [5]", "methods.ham.selection_steps = \\[5\\] is no hyper-parameter"),
    ],
)
def test_defaults_of_methods_are_tables_of_values(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parsed(f"{written(LINES)}\n{text}")


def test_files_as_windows_writes_them_are_read(tmp_path: Path) -> None:
    """With a mark at the beginning, line ends of two characters, and an ending in capitals."""
    path = tmp_path / "mine.TOML"
    path.write_bytes(b"\xef\xbb\xbf" + written(LINES).replace("\n", "\r\n").encode())
    plain = tmp_path / "mine.toml"
    plain.write_text(written(LINES), encoding="utf-8")
    assert load_suite(str(path)) == load_suite(str(plain))
    (tmp_path / "mine").write_text(written(LINES), encoding="utf-8")
    with pytest.raises(UserError, match=r"path that ends in \.toml\. Rename .*mine\."):
        load_suite(str(tmp_path / "mine"))
