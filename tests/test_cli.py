"""The command line: its frozen options, its speed at listing, and one clear message for every bad input."""

import json
import subprocess
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from fairbench.cli import main
from fairbench.outcomes.store import read_outcomes
from fairbench.protocol.suite_file import suite_names

OPTIONS = {
    "run-all": "--data-dir --device --dry-run --engine --executor --executor-options --help --jobs --json --method "
    "--model --model-argument --plugin --rerun --results --search --seed --set --shards --site --suite --tier "
    "--track --tuned --work-dir",
    "tune": "--data-dir --device --executor --executor-options --help --jobs --method --model --model-argument "
    "--plugin --set --suite --tuned --work-dir",
    "status": "--engine --help --json --method --model --model-argument --plugin --results --search --seed --set "
    "--suite --tier --tuned --work-dir",
    "evaluate": "--adversarial --attack --batch-size --checkpoint --data-dir --dataset --device --engine --eps --help "
    "--ignore --image-size --key --limit --mean --model --model-argument --name --norm --plugin --results "
    "--search --seed --std --tier --track --transform --work-dir",
    "verify": "--batch-size --checkpoint --data-dir --dataset --device --help --ignore --key --limit --mean --model "
    "--model-argument --record --seed --std --transform",
    "submit": "--by --checkpoint --data-dir --dataset --help --key --licence --link --mean --model --plugin --results "
    "--std --suite --to --work-dir",
    "review": "--batch-size --comment --data-dir --dataset --device --help --limit --record --results --run-code "
    "--seed --suite --tolerance",
    "report": "--check --help --results --site",
    "push": "--checkpoint --help --licence --private --results --to --upload --work-dir",
    "release": "--date --help --note --results",
    "compare": "--board --help --results --suite",
    "export": "--board --format --help --results --suite --top",
    "protocol": "--help --suite",
    "list": "--help --json",
    "new-method": "--directory --help",
    "check-method": "--help",
}

ARGUMENTS = {
    "verify": "FILE.parquet",
    "submit": "RUN|FILE.parquet...",
    "review": "BUNDLE",
    "push": "RUN|FILE.parquet",
    "release": "SUITE",
    "compare": "A B",
    "list": "KIND",
    "new-method": "NAME",
    "check-method": "NAME|FILE",
}

DEFAULTS = {
    "run-all": "--suite=digits --work-dir=runs --results=results --data-dir=data --device=auto --executor=local "
    "--site=site --shards=1 --rerun=never",
    "tune": "--suite=digits --work-dir=runs --data-dir=data --device=auto --executor=local",
    "status": "--suite=digits --work-dir=runs --results=results",
    "evaluate": "--norm=Linf --engine=fairbench --search=fp32 --batch-size=500 --seed=0 --results=results "
    "--work-dir=runs --data-dir=data --device=auto",
    "verify": "--limit=100 --batch-size=500 --data-dir=data --device=auto",
    "submit": "--to=submissions --results=results --work-dir=runs --data-dir=data",
    "review": "--results=results --limit=100 --tolerance=0 --data-dir=data --batch-size=500 --device=auto",
    "report": "--results=results --site=site",
    "push": "--results=results --work-dir=runs",
    "release": "--results=results",
    "compare": "--results=results",
    "export": "--format=csv --results=results",
    "protocol": "--suite=digits",
}


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Cli":
    monkeypatch.chdir(tmp_path)
    return Cli()


class Cli:
    """Calls the command line in this process."""

    def __call__(self, *arguments: str | Path) -> Result:
        return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_options_are_frozen() -> None:
    """A new option is a decision, and belongs into this table."""
    context = click.Context(main)
    found = {
        name: " ".join(
            sorted(option for p in command.get_params(context) for option in p.opts if option.startswith("--"))
        )
        for name, command in main.commands.items()
    }
    assert found == OPTIONS


def test_arguments_and_defaults_are_frozen() -> None:
    """In the order of `--help`; whoever leaves an option out goes on getting what they got."""
    arguments, defaults = {}, {}
    for name, command in main.commands.items():
        context = click.Context(command)
        params = command.get_params(context)
        arguments[name] = " ".join(p.human_readable_name for p in params if isinstance(p, click.Argument))
        values = {p.opts[0]: p.get_default(context) for p in params if isinstance(p, click.Option)}
        said = {
            option: value
            for option, value in values.items()
            if value is not False and isinstance(value, str | int | Path)
        }
        defaults[name] = " ".join(f"{option}={value}" for option, value in said.items() if value != "")
    assert {name: said for name, said in arguments.items() if said} == ARGUMENTS
    assert {name: said for name, said in defaults.items() if said} == DEFAULTS


@pytest.mark.parametrize(
    "arguments", [("--help",), ("list", "methods"), ("list", "models"), ("list", "datasets"), ("list", "suites")]
)
def test_help_and_lists_import_nothing_heavy(arguments: tuple[str, ...]) -> None:
    """They answer at once, because torch, pandas and torchvision are not imported."""
    code = (
        "import sys; from fairbench.cli import main\n"
        f"try: main({list(arguments)!r})\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'torchvision', 'pandas', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_lists_are_json_on_request(cli: Cli) -> None:
    assert "trades" in json.loads(cli("list", "methods", "--json").stdout)
    assert "cifar10-wrn" in json.loads(cli("list", "suites", "--json").stdout)


def test_dry_run_shows_the_plan_and_computes_nothing(cli: Cli, tmp_path: Path) -> None:
    """With --json for machines: every run with its key, its state and what it needs."""
    done = cli("run-all", "--method", "frl", "--seed", "0", "--dry-run", "--json")
    plan = json.loads(done.stdout)["runs"]
    assert [run["label"] for run in plan] == ["trades", "frl"]
    assert plan[1]["prerequisites"] == {"hot start": plan[0]["key"]}
    assert all(run["compute"] and run["state"] == "not run yet" for run in plan)
    words = cli("run-all", "--method", "frl", "--seed", "0", "--dry-run").stdout
    assert "2 of 2 runs would be computed" in words
    assert "needs hot start: trades, seed 0" in words
    assert not list(tmp_path.iterdir())


@pytest.fixture
def tuned(tmp_path: Path) -> Callable[[str], Path]:
    """The digits suite with more lines."""

    def write(lines: str) -> Path:
        text = (resources.files("fairbench.protocol") / "suites" / "digits.toml").read_text(encoding="utf-8")
        (tmp_path / "tuned.toml").write_text(f"{text}\n{lines}\n", encoding="utf-8")
        return tmp_path / "tuned.toml"

    return write


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("selection_step = 5", "Unknown hyper-parameter of HAM 'selection_step'. Did you mean 'selection_steps'"),
        ("selection_steps = 0", "selection_steps=0 is not allowed; allowed: at least 1"),
    ],
)
def test_defaults_of_a_suite_are_checked_when_it_is_planned(
    cli: Cli, tuned: Callable[[str], Path], line: str, message: str
) -> None:
    done = cli("run-all", "--suite", tuned(f"[methods.ham]\n{line}"), "--method", "ham", "--dry-run")
    assert done.exit_code == 2
    assert f"[methods.ham] of the suite tuned: {message}" in " ".join(done.output.split()).replace("HAM: ", "")


def test_a_suite_may_know_methods_that_are_not_installed(cli: Cli, tuned: Callable[[str], Path]) -> None:
    """It says so where all methods are asked for, and is nobody's business where one of the others is."""
    suite = tuned("[methods.hamm]\nselection_steps = 5")
    everything = cli("run-all", "--suite", suite, "--dry-run")
    assert everything.exit_code == 1
    message = "[methods.hamm] of the suite tuned: Unknown method 'hamm'. Did you mean 'ham'?"
    assert message in " ".join(everything.output.split())
    assert cli("run-all", "--suite", suite, "--method", "trades", "--dry-run").exit_code == 0


@pytest.mark.parametrize("suite", suite_names())
def test_every_suite_that_ships_can_be_planned(cli: Cli, suite: str) -> None:
    """Its model, its dataset, and what it sets of its methods' hyper-parameters exist and are allowed."""
    done = cli("run-all", "--suite", suite, "--dry-run")
    assert done.exit_code == 0, done.output
    assert "runs would be computed" in done.stdout


def test_another_engine_is_another_protocol(cli: Cli) -> None:
    """Whoever arbitrates with the reference, or searches in half precision, gets rows of their own."""

    def key(*options: str) -> str:
        done = cli("run-all", "--method", "trades", "--seed", "0", "--dry-run", "--json", *options)
        return str(json.loads(done.stdout)["runs"][0]["key"])

    assert key() == key("--engine", "fairbench") != key("--engine", "reference")
    assert key("--search", "fp32") == key() != key("--search", "bf16") != key("--engine", "reference")
    done = cli("run-all", "--search", "bf16", "--engine", "reference", "--dry-run")
    assert done.exit_code == 2
    assert "allowed: fp32 with the reference engine" in " ".join(done.output.split())


SUITE = """
title = "t"
model = "digits-cnn"
teacher = "digits-cnn"
[dataset]
name = "mine"
file = "mine.npz"
validation = 0.1
[threat]
epsilon = 0.15
step = 0.03
[recipe]
epochs = 1
[evaluation]
pgd_step = 0.03
"""


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (("--method", "trads"), ("Unknown method 'trads'", "Did you mean 'trades'?")),
        (("--suite", "cifar11"), ("Unknown suite 'cifar11'", "Did you mean 'cifar10'?")),
        (("--suite", "nowhere.toml"), ("Cannot read the suite file nowhere.toml",)),
        (("--suite", "broken.toml"), ("broken.toml is not valid TOML",)),
        (("--suite", "field.toml"), ("Unknown field 'recipe.epoch'", "Did you mean 'recipe.epochs'?")),
        (("--suite", "epsilon.toml"), ("threat.epsilon = '8/256' is not a fraction of 255",)),
        (("--suite", "model.toml"), ("Unknown model 'digits-cn'", "Did you mean 'digits-cnn'?")),
        (("--seed", "-1"), ("-1 is not in the range",)),
        (("--method", "trades", "--set", "beta=high"), ("TRADES: beta='high' is not a number",)),
        (("--method", "trades", "--set", "betta=3"), ("Unknown hyper-parameter of TRADES 'betta'", "'beta'")),
        (("--method", "trades", "--set", "beta"), ("write --set FIELD=VALUE",)),
        (("--set", "beta=3"), ("needs --method",)),
        (("--seed", "0", "--device", "cuda:99"), ("--device cuda:99 is not available",)),
        (("--plugin", "raises.py"), ("raises.py", "ZeroDivisionError")),
        (("--plugin", "empty.py"), ("empty.py",)),
        (("--json",), ("--json goes with --dry-run",)),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_message(
    cli: Cli, tmp_path: Path, arguments: tuple[str, ...], fragments: tuple[str, ...]
) -> None:
    """What was given, what is allowed, what to do; no traceback, nothing written."""
    (tmp_path / "broken.toml").write_text("epochs = = 3")
    (tmp_path / "field.toml").write_text(SUITE.replace("epochs = 1", "epoch = 1"))
    (tmp_path / "epsilon.toml").write_text(SUITE.replace("epsilon = 0.15", 'epsilon = "8/256"'))
    (tmp_path / "model.toml").write_text(SUITE.replace("digits-cnn", "digits-cn"))
    (tmp_path / "raises.py").write_text("x = 1 / 0")
    (tmp_path / "empty.py").write_text("x = 1")
    files = set(tmp_path.iterdir())
    done = cli("run-all", *arguments)
    assert done.exit_code == 2, done.output
    assert all(fragment in done.output for fragment in fragments), done.output
    assert "Traceback" not in done.output
    assert {path for path in tmp_path.iterdir() if path.name != "__pycache__"} == files


@pytest.mark.parametrize(
    ("arrays", "fragment"),
    [
        ({"train_labels": [0, 1, 2, -1] * 10}, "train_labels"),
        ({"train_labels": [0, 1, 2, 9] * 10, "class_names": ["a", "b", "c", "d"]}, "train_labels"),
        ({"test_images": "missing"}, "test_images"),
        ({"train_images": "float"}, "train_images"),
    ],
)
def test_bad_data_are_refused_before_anything_is_trained(
    cli: Cli, tmp_path: Path, arrays: dict[str, object], fragment: str
) -> None:
    """Labels outside the range and wrong arrays: the file and the array are named, and no run exists afterwards."""
    import numpy as np

    content: dict[str, object] = {
        "train_images": np.zeros((40, 8, 8), np.uint8),
        "train_labels": np.arange(40) % 4,
        "test_images": np.zeros((8, 8, 8), np.uint8),
        "test_labels": np.arange(8) % 4,
    }
    for name, value in arrays.items():
        if value == "missing":
            del content[name]
        else:
            content[name] = np.zeros((40, 8, 8), np.float32) if value == "float" else np.array(value)
    np.savez(tmp_path / "mine.npz", **content)  # type: ignore[arg-type]  # its second argument is a flag
    (tmp_path / "mine.toml").write_text(SUITE)
    done = cli("run-all", "--suite", "mine.toml", "--method", "pgd-at")
    assert done.exit_code == 2, done.output
    assert "mine.npz" in done.output
    assert fragment in done.output
    assert not list(tmp_path.glob("runs/*/*"))


def test_a_truncated_result_is_named_and_left_alone(cli: Cli, tmp_path: Path) -> None:
    """It blocks its own run only, and nothing overwrites it unless asked to."""
    path = tmp_path / "results/digits/pgd-at/seed0.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PAR1 and then nothing")
    done = cli("run-all", "--method", "pgd-at", "--seed", "0")
    assert done.exit_code == 1
    assert "seed0.parquet is not a readable parquet file" in done.output
    assert path.read_bytes() == b"PAR1 and then nothing"
    assert "compute" in cli("run-all", "--method", "pgd-at", "--seed", "0", "--rerun", "failed", "--dry-run").output
    report = cli("report")
    assert report.exit_code == 1
    assert "Left out:" in report.output


def test_a_report_of_a_folder_that_is_not_there_keeps_the_page(cli: Cli, tmp_path: Path) -> None:
    """A typo must not replace a good page by an empty one."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site/index.html").write_text("a good page")
    done = cli("report", "--results", "resutls")
    assert done.exit_code == 2
    assert "There is no folder resutls" in done.output
    assert (tmp_path / "site/index.html").read_text() == "a good page"


def test_a_checkpoint_that_is_none_fails_its_run_only(cli: Cli, tmp_path: Path) -> None:
    """A state file of garbage is named, and left as it is."""
    import torch

    from fairbench import load_suite
    from fairbench.execution.plan import Planner
    from fairbench.method import registry

    suite = tmp_path / "mine.toml"
    suite.write_text(SUITE.replace('name = "mine"\nfile = "mine.npz"', 'name = "digits"'))
    chosen = [("pgd-at", registry.create("pgd-at", {}))]
    run = Planner(suite=load_suite(str(suite)), create=registry.create).plan(chosen, seeds=(0,))[0]
    folder = run.work_folder(tmp_path / "runs")
    folder.mkdir(parents=True)
    torch.save({"weights": [1, 2]}, folder / "state.pt")
    done = cli("run-all", "--suite", suite, "--method", "pgd-at", "--seed", "0")
    assert done.exit_code == 1
    assert "state.pt belongs to another run" in done.output
    (folder / "state.pt").write_bytes(b"garbage")
    assert (
        "is not a readable training state"
        in cli("run-all", "--suite", suite, "--method", "pgd-at", "--seed", "0").output
    )
    assert (folder / "state.pt").read_bytes() == b"garbage"


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder that not even root can write: /sys")
@pytest.mark.parametrize("option", ["--results", "--work-dir"])
def test_a_read_only_folder_is_one_message(cli: Cli, tmp_path: Path, option: str) -> None:
    """Nobody can write there, and the message says where."""
    suite = tmp_path / "mine.toml"
    suite.write_text(SUITE.replace('name = "mine"\nfile = "mine.npz"', 'name = "digits"'))
    done = cli("run-all", "--suite", suite, "--method", "pgd-at", "--seed", "0", option, "/sys/fairbench")
    assert done.exit_code == 2, done.output
    assert done.output.count("Cannot write /sys/fairbench") == 1
    assert "Traceback" not in done.output


def test_a_plugin_from_a_file_is_a_method_like_any_other(cli: Cli, tmp_path: Path) -> None:
    """The example of the README, run as it stands there."""
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    code = readme.partition("```python\n# mine.py")[2].partition("```")[0]
    (tmp_path / "mine.py").write_text(code)
    suite = tmp_path / "quick.toml"
    text = SUITE.replace('name = "mine"\nfile = "mine.npz"', 'name = "digits"').replace("epochs = 1", "epochs = 2")
    suite.write_text(text.replace("[evaluation]", "[evaluation]\ntier = 'screen'\npgd_steps = 2"))
    done = cli(
        "run-all",
        "--suite",
        suite,
        "--plugin",
        "mine.py",
        "--method",
        "smooth-at",
        "--set",
        "smoothing=0.2",
        "--seed",
        "0",
    )
    assert done.exit_code == 0, done.output
    (path,) = (tmp_path / "results/quick").glob("smooth-at-*/seed0.parquet")
    provenance = read_outcomes(path).provenance
    assert provenance.changed == {"smoothing": 0.2}
    assert provenance.card["title"] == "Smooth AT"
