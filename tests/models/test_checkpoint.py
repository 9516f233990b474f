"""Weights and states on disk."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from fairbench import UserError
from fairbench.identity import file_sha256
from fairbench.models.checkpoint import load_state, load_weights, save_state, save_weights


@pytest.fixture
def model() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


def test_weights_return_bit_for_bit_and_equal_weights_give_equal_files(model: nn.Module, tmp_path: Path) -> None:
    save_weights(tmp_path / "a.safetensors", model.state_dict())
    save_weights(tmp_path / "b.safetensors", dict(reversed(model.state_dict().items())))
    assert file_sha256(tmp_path / "a.safetensors") == file_sha256(tmp_path / "b.safetensors")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    load_weights(tmp_path / "a.safetensors", model)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("content", [None, b"", b"not weights", b"\x08\0\0\0\0\0\0\0{broken}"])
def test_a_file_that_is_no_checkpoint_is_named(content: bytes | None, model: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "selected.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"selected\.safetensors is not a readable checkpoint .*delete it"):
        load_weights(path, model)


def test_another_architecture_is_refused_by_its_first_keys(model: nn.Module, tmp_path: Path) -> None:
    save_weights(tmp_path / "w.safetensors", nn.Linear(8, 3).state_dict())
    with pytest.raises(UserError, match=r"another architecture; differing keys begin with 0\.bias, 0\.weight"):
        load_weights(tmp_path / "w.safetensors", model)
    wider = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 4))
    save_weights(tmp_path / "w.safetensors", wider.state_dict())
    with pytest.raises(UserError, match=r"3\.(weight|bias) has shape .*, the model wants"):
        load_weights(tmp_path / "w.safetensors", model)


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files, as a full disk does")
def test_a_full_disk_is_one_message_and_keeps_the_old_file(model: nn.Module, tmp_path: Path) -> None:
    """Neither weights nor states leave half a file; what was there before still is."""
    path = tmp_path / "w.safetensors"
    save_weights(path, model.state_dict())
    before = path.read_bytes()
    code = f"""
import resource, signal, torch
from pathlib import Path
from fairbench.models.checkpoint import save_state, save_weights
from fairbench.errors import UserError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for save in (save_weights, save_state):
    try:
        save(Path({str(path)!r}), {{"weight": torch.rand(1000)}})
    except UserError as error:
        assert "Cannot write" in str(error) and "too large" in str(error), error
    else:
        raise AssertionError("it was written")
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("executed"),))  # type: ignore[return-value]


def test_a_state_cannot_run_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle that wants to call something is refused unread."""
    monkeypatch.chdir(tmp_path)
    torch.save({"epoch": _Evil()}, tmp_path / "state.pt")
    with pytest.raises(UserError, match="not a readable training state"):
        load_state(tmp_path / "state.pt")
    assert not Path("executed").exists()


def test_a_state_returns_as_it_was(tmp_path: Path) -> None:
    state = {"epoch": 3, "tensor": torch.arange(4), "history": [{"loss": None, "values": [0.5]}]}
    save_state(tmp_path / "state.pt", state)
    found = load_state(tmp_path / "state.pt")
    assert torch.equal(found.pop("tensor"), state.pop("tensor"))  # type: ignore[arg-type]
    assert found == state
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(UserError, match="is not a training state"):
        load_state(tmp_path / "list.pt")


def test_weights_that_layers_share_are_stored_for_each(tmp_path: Path) -> None:
    """As tied embeddings are; safetensors itself refuses them, which would be found after a whole training."""
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    save_weights(tmp_path / "tied.safetensors", nn.Sequential(first, second).state_dict())
    one, other = nn.Linear(3, 3), nn.Linear(3, 3)
    load_weights(tmp_path / "tied.safetensors", nn.Sequential(one, other))
    assert torch.equal(one.weight, first.weight)
    assert torch.equal(other.weight, first.weight)
