"""From what the user says about a model and its weights to the model, as `evaluate` and `verify` share it."""

from dataclasses import replace
from pathlib import Path

from fairbench.commands.options.weights import Weights
from fairbench.external.head_norm import HeadNorm
from fairbench.external.normalisation import Normalisation
from fairbench.external.sample import Sample
from fairbench.external.specification import External, load_external
from fairbench.protocol.factory import parse_arguments
from fairbench.protocol.threat import Norm


def given_model(given: str, weights: Weights, *, sample: Sample, norm: Norm, data_dir: Path) -> External:
    """Load a model for images like these.

    Args:
        given: as `fairbench.external.specification` reads it.
        weights: normalisation, and what is done to them.
        sample: the images.
        norm: of the threat.
        data_dir: of downloads.

    Raises:
        UserError: saying what does not fit.
    """
    transform = HeadNorm.parse(weights.transform) if weights.transform else None
    channels, height, width = sample.images.shape[1:]
    external = load_external(
        given,
        dataset=sample.name,
        classes=len(sample.class_names),
        channels=channels,
        size=(height, width),
        arguments=dict(parse_arguments(weights.arguments, option="--model-argument")),
        checkpoint=weights.checkpoint,
        key=weights.key,
        ignored=weights.ignored,
        normalisation=Normalisation.parse(weights.mean, weights.std) if weights.mean else None,
        norm=norm,
        folder=data_dir,
    )
    if transform is None:
        return external
    remark = transform.apply(external.model, shape=(channels, height, width))
    return replace(external, transform=str(transform), remarks=(*external.remarks, remark))
