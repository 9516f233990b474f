"""Attacks on a share of the images, and the verdicts of all shares as those of one evaluation.

    attack_share(model, images, labels, number=1, of=4, folder=Path("attacks/shard-1-of-4"), ...)
    gather(Path("attacks"), evaluation)         # then `judge` finds them known

Every share is attacked under the fingerprint of all images, so that only what belongs together is ever put together.
"""

import shutil
from pathlib import Path

import torch
from torch import Tensor, nn

from fairbench.atomic import atomic
from fairbench.attacks.autoattack import AutoAttack, log_name
from fairbench.evaluation.screening import screen
from fairbench.progress import Progress, silent
from fairbench.protocol.attack_names import AUDITED, WHITE_BOX
from fairbench.protocol.evaluation import Evaluation
from fairbench.protocol.threat import Threat

SHARES = "shard-*-of-*"


def attack_share(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    number: int,
    of: int,
    classes: int,
    threat: Threat,
    evaluation: Evaluation,
    folder: Path,
    indices: Tensor | None = None,
    progress: Progress = silent,
) -> None:
    """Run the attacks that the tier has for every image on every `of`-th of them; the verdicts stay in the folder.

    Args:
        model: the checkpoint that is ranked; images in [0, 1] to logits, on the device of the images.
        images: all of them, (n, channels, height, width), float32 in [0, 1] or uint8.
        labels: (n,).
        number: which share, from 1.
        of: how many there are.
        classes: number of classes.
        threat: norm and radius.
        evaluation: attacks, their steps, seed and batch size; not of the engine `reference`.
        folder: where the verdicts are kept.
        indices: positions in the test set if these are not all of it; 0 to n - 1 by default.
        progress: told the name of an attack, images done, and their total.

    Raises:
        UserError: if the folder belongs to another evaluation, or cannot be written.
    """
    assert evaluation.engine != "reference", "its verdicts depend on the batch"
    screened = screen(
        model,
        images,
        labels.long(),
        classes=classes,
        threat=threat,
        evaluation=evaluation,
        indices=indices,
        progress=progress,
        stage="pgd20",
    )
    attacking = AutoAttack(
        model,
        images,
        labels,
        clean=screened.clean,
        classes=classes,
        threat=threat,
        evaluation=evaluation,
        folder=folder,
        indices=indices,
        progress=progress,
    )
    share = torch.zeros(len(labels), dtype=torch.bool, device=labels.device)
    share[number - 1 :: of] = True
    names = (*WHITE_BOX, *AUDITED) if evaluation.tier == "full" else WHITE_BOX
    attacking.attack(*names, among=share)


def gather(folder: Path, evaluation: Evaluation) -> None:
    """Put the verdicts of all shares into the log of the whole, and remove the shares.

    Args:
        folder: of the whole; the shares lie in it.
        evaluation: whose verdicts they are.

    Raises:
        UserError: if the folder cannot be written.
    """
    name = log_name(evaluation)
    logs = [path for path in sorted(folder.glob(f"{SHARES}/attacks/{name}")) if path.is_file()]
    whole = folder / name
    parts = [_lines(path) for path in ([whole] if whole.exists() else []) + logs]
    parts = [part for part in parts if part]
    if logs and parts:
        head = parts[0][0]  # the fingerprint; a share of another evaluation is left out
        known = dict.fromkeys(line for part in parts if part[0] == head for line in part[1:])
        with atomic(whole) as temporary:
            temporary.write_bytes(b"".join([head, *known]))
    for share in folder.glob(SHARES):
        shutil.rmtree(share, ignore_errors=True)


def _lines(path: Path) -> list[bytes]:
    """Those that are whole."""
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
