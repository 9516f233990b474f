"""Models of the zoo: the right architecture, exactly the weights of the right file, and what a reader should know."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fairbench.errors import UserError
from fairbench.external.zoo import zoo_model, zoo_names

WEB_PAGE = b"<!DOCTYPE html><html><title>Google Drive - Quota exceeded</title></html>"


def load(name: str, folder: Path, **changed: Any) -> tuple[nn.Module, tuple[str, ...]]:
    """A model of the CIFAR-10 board under L-inf."""
    settings: dict[str, Any] = {"dataset": "cifar10", "norm": "Linf", "checkpoint": None, "key": ""}
    return zoo_model(name, folder=folder, **(settings | changed))


def build(name: str) -> nn.Module:
    """A network of the small RobustBench, with weights of its own and a normalisation that is not the default."""
    networks = import_module("robustbench.model_zoo.networks")
    made: nn.Module = getattr(networks, name)()
    for buffer in made.buffers():
        buffer.uniform_(0.1, 0.9)
    return made


def state(model: nn.Module, *, without: str = "(?!)", prefix: str = "") -> dict[str, Tensor]:
    """A state dict, without the names in which a pattern is found."""
    return {prefix + name: value for name, value in model.state_dict().items() if not re.search(without, name)}


def same_weights(model: nn.Module, expected: dict[str, Tensor]) -> bool:
    found = model.state_dict()
    return all(torch.equal(found[name], value) for name, value in expected.items())


@pytest.fixture(autouse=True)
def _small(small_robustbench: Path) -> None:
    """All of this without the network and without the extra; the real package comes in `test_real_models`."""
    del small_robustbench
    from fairbench.external.zoo.robustbench_import import robustbench

    robustbench()


@pytest.fixture
def drive(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the server sends for an address: bytes, or an object that torch.save writes; an unknown one is refused."""
    served: dict[str, Any] = {}

    def download(*, url: str, output: str, use_cookies: bool) -> None:
        assert not use_cookies, "gdown would write into the user's home"
        if url not in served:
            raise import_module("gdown.exceptions").FileURLRetrievalError("Cannot retrieve\n  the public link.")
        content = served.pop(url)
        if isinstance(content, bytes):
            Path(output).write_bytes(content)
        else:
            torch.save(content, output)

    monkeypatch.setattr(import_module("gdown"), "download", download)
    return served


@pytest.mark.usefixtures("no_network")
def test_a_local_checkpoint_gives_the_logits_of_the_model_that_was_saved(tmp_path: Path) -> None:
    original, images = build("Plain"), torch.rand(3, 3, 2, 2)
    torch.save({"epoch": 3, "state_dict": state(original, prefix="module.")}, tmp_path / "mine.pth")
    model, _ = load("Wong2020Fast", tmp_path / "unused", checkpoint=tmp_path / "mine.pth")
    assert not model.training
    assert torch.equal(model(images), original(images))
    assert not (tmp_path / "unused").exists()


def test_a_local_checkpoint_of_an_ensemble_is_one_file(tmp_path: Path) -> None:
    original = build("Ensemble")
    torch.save(original.state_dict(), tmp_path / "mine.pth")
    model, _ = load("Chen2020Adversarial", tmp_path, checkpoint=tmp_path / "mine.pth")
    assert same_weights(model, original.state_dict())


@pytest.mark.parametrize("absent", ["mu|sigma", "sigma"])
def test_without_a_normalisation_in_the_file_the_architecture_keeps_its_own(tmp_path: Path, absent: str) -> None:
    original = state(build("Plain"), without=absent)
    torch.save(original, tmp_path / "mine.pth")
    model, remarks = load("Wong2020Fast", tmp_path, checkpoint=tmp_path / "mine.pth")
    assert same_weights(model, original)
    assert model.get_buffer("sigma").tolist() == [[[[0.25]], [[0.25]], [[0.25]]]]
    assert "sigma; RobustBench's own values" in remarks[0]
    assert {"mu", "sigma"} <= set(model.state_dict()), "hidden from fitting, not from those who save the model"


def test_a_head_for_training_is_left_out_and_anything_else_is_not(tmp_path: Path) -> None:
    original = build("Plain").state_dict()
    torch.save(original | {"model_preact_hl1.1.weight": torch.ones(2)}, tmp_path / "mine.pth")
    model, remarks = load("Wong2020Fast", tmp_path, checkpoint=tmp_path / "mine.pth")
    assert same_weights(model, original)
    assert "head that served only in training" in remarks[0]
    torch.save(original | {"another.weight": torch.ones(2)}, tmp_path / "mine.pth")
    with pytest.raises(UserError, match=r"another\.weight"):
        load("Wong2020Fast", tmp_path, checkpoint=tmp_path / "mine.pth")


def test_of_several_entries_the_one_that_robustbench_takes_unless_another_is_asked_for(tmp_path: Path) -> None:
    last, best = build("Plain").state_dict(), build("Plain").state_dict()
    torch.save({"last": last, "best": best}, tmp_path / "mine.pth")
    taken, remarks = load("Andriushchenko2020Understanding", tmp_path, checkpoint=tmp_path / "mine.pth")
    asked, _ = load("Andriushchenko2020Understanding", tmp_path, checkpoint=tmp_path / "mine.pth", key="best")
    assert same_weights(taken, last)
    assert same_weights(asked, best)
    assert "'last'" in remarks[0]
    with pytest.raises(UserError, match="'best', 'last'"):
        load("Wong2020Fast", tmp_path, checkpoint=tmp_path / "mine.pth")
    with pytest.raises(UserError, match="'none'"):
        load("Andriushchenko2020Understanding", tmp_path, checkpoint=tmp_path / "mine.pth", key="none")


def test_a_download_is_pinned_where_robustbench_would_look_and_read_from_there(
    tmp_path: Path, drive: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    original = build("Plain").state_dict()
    drive["https://drive.google.com/uc?id=drive-wong"] = original
    capsys.readouterr()
    model, first = load("Wong2020Fast", tmp_path)
    assert same_weights(model, original)
    folder = tmp_path / "robustbench" / "cifar10" / "Linf"
    assert (folder / "Wong2020Fast.pt.sha256").exists()
    assert "pinned at the first download" in first[0]
    assert same_weights(load("Wong2020Fast", tmp_path)[0], original)
    (folder / "Wong2020Fast.pt").write_bytes(b"exchanged")
    with pytest.raises(UserError, match="records"):
        load("Wong2020Fast", tmp_path)
    assert capsys.readouterr().out == "", "the standard output belongs to the command"


@pytest.mark.parametrize(
    ("name", "kind", "members", "addresses"),
    [
        ("Chen2020Adversarial", "Ensemble", ("models.0", "models.1"), ("drive-first", "drive-second")),
        ("Bai2024MixedNUTS", "Mixture", ("std_model", "rob_model"), ("drive-standard", "drive-robust")),
    ],
)
def test_every_member_of_an_ensemble_has_its_file(
    tmp_path: Path,
    drive: dict[str, Any],
    *,
    name: str,
    kind: str,
    members: tuple[str, ...],
    addresses: tuple[str, ...],
) -> None:
    original = build(kind)
    for member, address in zip(members, addresses, strict=True):
        drive[f"https://drive.google.com/uc?id={address}"] = original.get_submodule(member).state_dict()
    model, remarks = load(name, tmp_path)
    assert same_weights(model, original.state_dict())
    folder = tmp_path / "robustbench" / "cifar10" / "Linf"
    assert {path.name for path in folder.glob("*.pt")} == {f"{name}.pt_m0.pt", f"{name}.pt_m1.pt"}
    assert len(remarks) == 2


def test_a_model_of_timm_is_taken_as_published_and_as_saved(tmp_path: Path, drive: dict[str, Any]) -> None:
    timm = import_module("timm")
    original = timm.create_model("debenedetti2022light_xcit_s12_cifar10_linf", num_classes=10)
    published = {name.replace("pos_embed.", "pos_embeder."): value for name, value in state(original.model).items()}
    drive["https://example.org/xcit.pth.tar"] = {"model": published, "model_ema": original.model.state_dict()}
    images = torch.rand(2, 3, 2, 2)
    model, remarks = load("Debenedetti2022Light_XCiT-S12", tmp_path)
    assert torch.equal(model(images), original(images))
    assert any("normalize.mean and no normalize.std" in remark for remark in remarks)
    torch.save(original.state_dict(), tmp_path / "mine.pth")
    model, _ = load("Debenedetti2022Light_XCiT-S12", tmp_path, checkpoint=tmp_path / "mine.pth")
    assert torch.equal(model(images), original(images))


@pytest.mark.parametrize("content", [WEB_PAGE, b"", b"PK\x03\x04 broke off", {"epoch": 3}])
def test_what_is_no_checkpoint_is_not_kept(tmp_path: Path, drive: dict[str, Any], content: object) -> None:
    drive["https://drive.google.com/uc?id=drive-wong"] = content
    with pytest.raises(UserError, match=r"id=drive-wong sent was not kept\. Wong2020Fast\.pt ") as caught:
        load("Wong2020Fast", tmp_path)
    path = tmp_path / "robustbench" / "cifar10" / "Linf" / "Wong2020Fast.pt"
    assert f"put the file at {path}" in str(caught.value)
    assert [found.name for found in path.parent.iterdir()] == [".lock"]


def test_without_a_network_the_error_says_what_to_fetch_and_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"Network is unreachable\. .* fetch https://drive\.google\.com/uc\?id=drive-wo"
    ):
        load("Wong2020Fast", tmp_path)


@pytest.mark.usefixtures("drive")
def test_what_the_server_refuses_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Cannot retrieve the public link\. Where there is a network"):
        load("Wong2020Fast", tmp_path)


def test_a_download_that_brings_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("gdown"), "download", lambda **_: None)
    with pytest.raises(UserError, match="nothing arrived"):
        load("Wong2020Fast", tmp_path)


@pytest.mark.parametrize(("name", "shown"), [("Zhang2019Theoretically", True), ("Wong2020Fast", False)])
def test_the_epsilon_of_publication_is_shown_where_it_is_not_8_255(tmp_path: Path, name: str, *, shown: bool) -> None:
    torch.save(build("Plain").state_dict(), tmp_path / "mine.pth")
    _, remarks = load(name, tmp_path, checkpoint=tmp_path / "mine.pth")
    assert any("0.031 = 7.905/255" in remark for remark in remarks) == shown


def test_the_callers_random_state_is_left_alone(tmp_path: Path) -> None:
    torch.save(build("Plain").state_dict(), tmp_path / "mine.pth")
    before = torch.get_rng_state()
    load("Wong2020Fast", tmp_path, checkpoint=tmp_path / "mine.pth")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        ("Wong2020Fats", {}, "Did you mean 'Wong2020Fast'"),
        ("wong2020fast", {}, "Did you mean 'Wong2020Fast'"),
        ("Augustin2020Adversarial", {}, "exists for cifar10 under L2"),
        ("nothing like it", {}, r"robustbench\.github\.io"),
        ("Bai2023Improving_edm", {}, "CUDA device only"),
        ("Wong2020Fast", {"dataset": "imagenet"}, "cifar10 and cifar100, not for 'imagenet'"),
        ("Wong2020Fast", {"dataset": "cifar100", "norm": "L2"}, "no models for cifar100 under L2"),
    ],
)
def test_what_the_zoo_has_not_is_refused_with_what_it_has(
    tmp_path: Path, name: str, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        load(name, tmp_path, **changed)


def test_names_are_those_that_can_be_loaded() -> None:
    assert zoo_names(dataset="cifar10", norm="L2") == ["Augustin2020Adversarial"]
    names = zoo_names(dataset="cifar10", norm="Linf")
    assert names == sorted(names)
    assert "Chen2020Adversarial" in names
    assert "Bai2023Improving_edm" not in names
