"""From what the user says about a model and its weights to the model, as `evaluate` and `verify` share it."""

from pathlib import Path

from fairbench.commands.options.weights import Weights
from fairbench.external.normalisation import Normalisation
from fairbench.external.sample import Sample
from fairbench.external.specification import External, load_external
from fairbench.protocol.factory import parse_arguments
from fairbench.protocol.suite import Norm


def given_model(given: str, weights: Weights, *, sample: Sample, norm: Norm, data_dir: Path) -> External:
    """Load a model for images like these.

    Args:
        given: as `fairbench.external.specification` reads it.
        weights: and normalisation.
        sample: the images.
        norm: of the threat.
        data_dir: of downloads.

    Raises:
        UserError: saying what does not fit.
    """
    return load_external(
        given,
        dataset=sample.name,
        classes=len(sample.class_names),
        channels=sample.images.shape[1],
        size=(sample.images.shape[2], sample.images.shape[3]),
        arguments=dict(parse_arguments(weights.arguments, option="--model-argument")),
        checkpoint=weights.checkpoint,
        key=weights.key,
        ignored=weights.ignored,
        normalisation=Normalisation.parse(weights.mean, weights.std) if weights.mean else None,
        norm=norm,
        folder=data_dir,
    )
