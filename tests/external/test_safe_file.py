"""Files that claim to hold weights: read where they do, named for what they are where they do not, never run."""

import argparse
import gzip
import os
import pickle
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from fairbench.errors import UserError
from fairbench.external.safe_file import open_safely

WEIGHTS = {"weight": torch.arange(6.0).view(2, 3), "bias": torch.tensor([1.0, -2.0])}


def write_torch(content: object, path: Path) -> None:
    torch.save(content, path)


def write_legacy(content: object, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


TORCH = pytest.mark.parametrize("write", [write_torch, write_legacy])
Write = Callable[[object, Path], None]


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.witness}",)


class TestRead:
    @TORCH
    def test_tensors_and_plain_values(self, write: Write, tmp_path: Path) -> None:
        write({"state_dict": WEIGHTS, "epoch": 3, "arch": "resnet18"}, tmp_path / "best.pth.tar")
        content = open_safely(tmp_path / "best.pth.tar")
        assert isinstance(content, dict)
        assert (content["epoch"], content["arch"]) == (3, "resnet18")
        assert all(torch.equal(content["state_dict"][name], WEIGHTS[name]) for name in WEIGHTS)

    @TORCH
    @pytest.mark.parametrize(
        "value", [np.float64(0.5), np.float32(0.5), np.int64(7), np.bool_(True), np.str_("best"), np.dtype("float32")]
    )
    def test_scalars_of_numpy_are_values(self, write: Write, value: object, tmp_path: Path) -> None:
        write({"best": value}, tmp_path / "w.pt")
        assert open_safely(tmp_path / "w.pt") == {"best": value}
        assert np.dtype not in torch.serialization.get_safe_globals(), "what is allowed for one file must not stay"

    def test_scalars_that_numpy_1_pickled(self, tmp_path: Path) -> None:
        """With version 2, numpy moved the function that rebuilds them; published files name the old place."""
        write_legacy({"best": np.float64(0.5)}, tmp_path / "new.pt")
        old = (tmp_path / "new.pt").read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
        (tmp_path / "old.pt").write_bytes(old)
        assert open_safely(tmp_path / "old.pt") == {"best": 0.5}

    @TORCH
    def test_what_torch_saved_under_the_other_name(self, write: Write, tmp_path: Path) -> None:
        write(WEIGHTS, tmp_path / "w.safetensors")
        content = open_safely(tmp_path / "w.safetensors")
        assert isinstance(content, dict)
        assert list(content) == list(WEIGHTS)

    @pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
    def test_safetensors_by_name_or_content(self, name: str, tmp_path: Path) -> None:
        save_file(WEIGHTS, tmp_path / name)
        content = open_safely(tmp_path / name)
        assert isinstance(content, dict)
        assert all(torch.equal(content[name], WEIGHTS[name]) for name in WEIGHTS)


class TestRefused:
    @TORCH
    @pytest.mark.parametrize("depth", [0, 1, 2])
    def test_a_command_is_named_and_does_not_run(self, write: Write, depth: int, tmp_path: Path) -> None:
        content: object = Bomb(tmp_path / "executed")
        for _ in range(depth):
            content = {"state_dict": content, **WEIGHTS}
        write(content, tmp_path / "bomb.pt")
        with pytest.raises(UserError, match=r"would run \w+\.system\. It was refused, and nothing of it was run"):
            open_safely(tmp_path / "bomb.pt")
        assert not (tmp_path / "executed").exists()

    @pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
    def test_a_plain_pickle_does_not_run(self, protocol: int, tmp_path: Path) -> None:
        (tmp_path / "bomb.pkl").write_bytes(pickle.dumps({"a": Bomb(tmp_path / "executed")}, protocol=protocol))
        with pytest.raises(UserError, match="plain pickle, which could run code; nothing of it was run"):
            open_safely(tmp_path / "bomb.pkl")
        assert not (tmp_path / "executed").exists()

    def test_the_bomb_of_these_tests_is_one(self, tmp_path: Path) -> None:
        write_torch(Bomb(tmp_path / "executed"), tmp_path / "bomb.pt")
        torch.load(tmp_path / "bomb.pt", weights_only=False)
        assert (tmp_path / "executed").exists()

    @TORCH
    @pytest.mark.parametrize(
        ("content", "wanted"),
        [
            (nn.Linear(2, 2), r"torch\.nn\.modules\.linear\.Linear"),
            ({"args": argparse.Namespace(lr=0.1), **WEIGHTS}, r"argparse\.Namespace"),
            ({"mean": np.zeros(3)}, r"numpy\S*\._reconstruct"),
        ],
    )
    def test_whatever_is_no_value_is_named_with_advice(
        self, write: Write, content: object, wanted: str, tmp_path: Path
    ) -> None:
        write(content, tmp_path / "w.pt")
        with pytest.raises(UserError, match=wanted + r".*torch\.save\(model\.state_dict\(\), 'weights\.pt'\)"):
            open_safely(tmp_path / "w.pt")

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "is empty"),
            (b"\n<!DOCTYPE html><html>Quota exceeded</html>", "is a web page"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n", "pointer of git-lfs"),
            (gzip.compress(b"weights", mtime=0), "compressed with gzip; unpack"),
            (b"import torch\n", "is no checkpoint: .*'import torch"),
            (b'{"error": "not found"}', "is no checkpoint"),
        ],
    )
    def test_something_else_is_named(self, content: bytes, said: str, tmp_path: Path) -> None:
        (tmp_path / "w.pt").write_bytes(content)
        with pytest.raises(UserError, match=rf"w\.pt .*{said}"):
            open_safely(tmp_path / "w.pt")

    def test_another_archive_is_named(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
            archive.writestr("readme.txt", "no weights")
        with pytest.raises(UserError, match=r"a zip archive, but torch\.save did not write it"):
            open_safely(tmp_path / "w.zip")

    def test_arrays_of_numpy_are_named(self, tmp_path: Path) -> None:
        """Unpacking them would help nobody."""
        np.savez(tmp_path / "w.npz", a=np.zeros(3))
        with pytest.raises(
            UserError, match=r"holds arrays of numpy \(\.npz\).*torch\.from_numpy.*axes in another order"
        ):
            open_safely(tmp_path / "w.npz")
        np.save(tmp_path / "w.npy", np.zeros(3))
        with pytest.raises(UserError, match="is a single array of numpy"):
            open_safely(tmp_path / "w.npy")
        (tmp_path / "w.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(600))
        with pytest.raises(UserError, match="is an HDF5 file, as Keras writes it"):
            open_safely(tmp_path / "w.h5")
        with zipfile.ZipFile(tmp_path / "scripted.pt", "w") as archive:  # the members of torch.jit.save
            for member in ("data.pkl", "constants.pkl", "code/__torch__.py"):
                archive.writestr(f"scripted/{member}", b"")
        with pytest.raises(UserError, match=r"TorchScript archive, which holds code.*torch\.jit\.load"):
            open_safely(tmp_path / "scripted.pt")

    def test_a_folder_or_nothing_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"Cannot read the checkpoint .*Is a directory"):
            open_safely(tmp_path)
        with pytest.raises(UserError, match=r"Cannot read the checkpoint .*No such file"):
            open_safely(tmp_path / "missing.pt")

    @pytest.mark.parametrize("write", [write_torch, write_legacy, save_file])
    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
    def test_a_truncated_file_is_named(self, write: Write, share: float, tmp_path: Path) -> None:
        path = tmp_path / "w.pt"
        write({"weight": torch.rand(100, 100)}, path)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        with pytest.raises(UserError, match=r"w\.pt is .*truncated"):
            open_safely(path)

    @pytest.mark.parametrize("write", [write_torch, write_legacy, save_file])
    @settings(max_examples=150)
    @given(data=st.data())
    def test_a_damaged_file_is_read_or_refused(
        self, write: Write, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """Whatever bytes are changed: no other error, and nothing runs."""
        path = tmp_path_factory.mktemp("damaged") / "w.pt"
        write(WEIGHTS, path)
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        with suppress(UserError):
            open_safely(path)
