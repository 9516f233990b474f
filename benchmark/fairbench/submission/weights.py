"""The weights of a submission: the file that the run names, or, of a model trained elsewhere, the very same tensors.

problem(bundle.weights(run), outcomes.provenance)
"""

from pathlib import Path

from torch import nn

from fairbench.errors import UserError
from fairbench.external.foreign_weights import read_weights
from fairbench.identity import file_sha256
from fairbench.models.fingerprint import weights_sha256
from fairbench.outcomes.provenance import Provenance


def problem(path: Path | None, found: Provenance) -> str:
    """What speaks against a checkpoint before a model is built; "" if nothing does. Runs nothing that is in it.

    Args:
        path: of the safetensors file; None if the bundle brings none.
        found: of the run.
    """
    who = f"Seed {found.seed}"
    if path is None:
        model = str(found.description["external"]["model"]) if found.role == "external" else ""
        return (
            ""
            if model.startswith(("robustbench:", "hf:"))
            else f"{who} brings no weights; without them nobody can attack its model again."
        )
    try:
        read_weights(path)
    except UserError as error:
        return f"{who}: {str(error).replace(str(path), f'{path.parent.name}/{path.name}')}"
    claimed = found.checkpoints.get("selected", "")
    if found.role != "external" and file_sha256(path) != claimed:
        return f"{who} was judged with the checkpoint of SHA-256 {claimed[:16]}..., and the bundle brings another one."
    return ""


def problem_of_model(model: nn.Module, found: Provenance) -> str:
    """The same of a model trained elsewhere, once it is built: its weights are those that were judged."""
    if found.role != "external":
        return ""
    claimed = str(found.description["external"].get("weights", ""))
    if weights_sha256(model) != claimed:
        return (
            f"Seed {found.seed} was judged with weights of the digest {claimed[:16]}..., and the bundle brings others."
        )
    return ""
