"""A protocol in words, for the appendix of a paper: made from the values that the code computes with.

    print(protocol_text(load_suite("cifar10"), dataset_digest=""))

Nothing here repeats a number: whoever changes a suite, a setting of AutoAttack or a rule of the board changes the text.
"""

from collections.abc import Mapping
from types import MappingProxyType

from fairbench.identity import content_key
from fairbench.method.schedule import drops_from
from fairbench.models import describe
from fairbench.outcomes.tuned_rates import rates_of
from fairbench.protocol.autoattack_settings import STANDARD
from fairbench.protocol.dataset_source import Exclusion, PixelDigests
from fairbench.protocol.factory import Factory, is_factory, shown
from fairbench.protocol.recipe import Recipe
from fairbench.protocol.suite import Suite, protocol_description
from fairbench.protocol.thresholds import (
    BOOTSTRAP_SEED,
    DOUBT,
    NOTABLE_PGD_AA_GAP_PP,
    NOTABLE_ZERO_GRADIENT_SHARE,
    REQUIRED_SEEDS,
)
from fairbench.report.phrases import listed, plural, radius, settings
from fairbench.statistics.bootstrap import DRAWS
from fairbench.statistics.keys import SHARES
from fairbench.statistics.row_interval import FEW

KEY_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "worst": "accuracy of the worst class",
        **{key: f"mean of the worst {percent} % of the classes, rounded up" for key, percent in SHARES.items()},
        "average": "average over the classes",
        "average+worst": "the sum of the average and the worst class",
    }
)
"""What rows are sorted by, in words."""


def protocol_text(suite: Suite, *, dataset_digest: str) -> str:
    """Markdown: a heading, then a short section on every part of the protocol.

    Args:
        suite: the protocol.
        dataset_digest: SHA-256 of the `.npz` file, or "" for a built-in dataset.
    """
    sections = {
        "Data": _data(suite, dataset_digest=dataset_digest),
        "Model": _model(suite),
        "Threat": _threat(suite),
        "Training": _training(suite),
        "Learning rates": _learning_rates(suite),
        "Selection": _selection(suite),
        "Evaluation": _evaluation(suite),
        "Statistics": _statistics(suite),
        "Keys": _keys(suite, dataset_digest=dataset_digest),
    }
    title = f"# {suite.title or suite.name} (suite {suite.name}, protocol {suite.protocol})"
    return "\n\n".join([title, *(f"## {name}\n\n{text}" for name, text in sections.items())]) + "\n"


def _data(suite: Suite, *, dataset_digest: str) -> str:
    dataset = suite.dataset
    digest = f" (SHA-256 {dataset_digest})" if dataset_digest else ""
    size = f", resized to {dataset.image_size} x {dataset.image_size} pixels" if dataset.image_size else ""
    held = f"{100 * dataset.validation:.4g} %"
    if dataset.train_images:
        used = f"Of the training images {dataset.train_images:,} are used, every class in its share, by a fixed draw."
        held_out = f"{used} Of these, {held} of every class are held out for validation, by a fixed draw"
    else:
        held_out = f"Of the training images of every class {held} are held out for validation, by a fixed draw"
    return " ".join(
        [
            f"The dataset is {dataset.name}{digest}; images are numbers in [0, 1]{size}.",
            *_left_out(dataset.exclude),
            *_insisted_on(dataset.pixels),
            f"{held_out} that is the same for every method and seed.",
            "Test images decide nothing before the evaluation.",
        ]
    )


def _left_out(exclude: Exclusion) -> list[str]:
    named = {"training": exclude.train, "test": exclude.test}
    images = [
        f"the {part} image{'s' if len(positions) > 1 else ''} {listed(sorted(positions))}"
        for part, positions in named.items()
        if positions
    ]
    return [f"Left out are {listed(images)}, counted from 0: {exclude.why.rstrip('.')}."] if images else []


def _insisted_on(pixels: PixelDigests) -> list[str]:
    digests = {"training": pixels.train, "test": pixels.test}
    named = [f"{digest} ({part})" for part, digest in digests.items() if digest]
    return [f"What is left has the SHA-256 {listed(named)}, of pixels and labels."] if named else []


def _model(suite: Suite) -> str:
    return (
        f"Every method trains {_network(suite.model, suite.model_factory)}, which normalises its input itself. "
        f"Distillation methods are taught by {_network(suite.teacher, suite.teacher_factory)}, trained by TRADES under "
        "the same protocol."
    )


def _network(model: str, factory: Factory) -> str:
    """An architecture with what it is; a network of somebody's own with what its factory is called with."""
    if not is_factory(model):
        return f"{model} ({describe(model)})"
    arguments = ", ".join(f"{name}={value!r}" for name, value in factory.keywords.items())
    return f"the network that `{shown(model)}` builds ({f'called with {arguments}' if arguments else 'no arguments'})"


def _threat(suite: Suite) -> str:
    threat = suite.threat
    ball = f"{'L∞' if threat.norm == 'Linf' else threat.norm} ball of radius {radius(threat.epsilon)}"
    precision = " in bf16" if threat.attack_precision == "bf16" else ""
    return (
        f"An attacker may move an image within the {ball} around it, intersected with [0, 1]. Attacks in training take "
        f"{plural(threat.steps, 'step')} of {radius(threat.step)}{precision}, unless a method has its own."
    )


def _training(suite: Suite) -> str:
    recipe = suite.recipe
    optimised = (
        f"SGD with momentum {recipe.momentum:g} and weight decay {recipe.weight_decay:g} on every parameter, in "
        f"batches of {recipe.batch_size}, for {plural(recipe.epochs, 'epoch')}."
    )
    sentences = [optimised, _rate(recipe), _augmentation(recipe)]
    if recipe.averaging == "ema":
        sentences.append(
            "What is evaluated is an exponential moving average of the weights, updated after every epoch with decay "
            f"{recipe.averaging_decay:g} once {100 * recipe.averaging_start:g} % of the training are over."
        )
    if recipe.precision == "bf16":
        sentences.append("Forward passes of the training are autocast to bf16.")
    sentences.append(
        "The recipe is the same for all methods, but for the learning rate below, and the epochs of those that "
        "fine-tune a trained model; "
        "their hyper-parameters are the methods' defaults."
    )
    if suite.methods:
        changed = [f"{found.method}: {', '.join(settings(dict(found.parameters)))}" for found in suite.methods]
        sentences.append(f"Of these, the suite chooses others: {'; '.join(changed)}.")
    return " ".join(sentences)


def _learning_rates(suite: Suite) -> str:
    tuning = suite.tuning
    if tuning is None:
        return "Every method is trained at the learning rate of the recipe."
    length = "as long as a run" if tuning.fraction == 1 else f"{100 * tuning.fraction:g} % of a run long"
    grid = listed(f"{rate:.3g}" for rate in tuning.rates)
    budget = (
        "The learning rate of every row is tuned, by the same number of trials for each: trainings with seed "
        f"{tuning.seed}, which no ranked run has, {length}, at {grid} times the recipe's rate, and one more, beyond "
        "the end of this grid if the best rate lies there, and else between the best rate and the better one of its "
        "neighbours. The rate with the largest sum of average and worst-class robust accuracy on the validation images "
        "is taken; a training that fails has spent its trial. Teachers and hot starts are tuned as rows of their own."
    )
    found = rates_of(suite)
    if found is None:
        return f"{budget} This suite is not tuned yet, so that every row has the recipe's rate and is marked for it."
    rates = listed(f"{label} {method.rate:.3g}" for label, method in sorted(found.methods.items()))
    return f"{budget} Found were, times the recipe's rate: {rates}. Other rows are marked as not tuned."


def _rate(recipe: Recipe) -> str:
    if recipe.schedule == "one-cycle":
        return (
            f"The learning rate rises linearly from 0 to {recipe.learning_rate:g} over the first "
            f"{100 * recipe.warmup:g} % of the steps and falls linearly to 0 over the others."
        )
    drops = drops_from(recipe)
    after = f", multiplied by {recipe.drop_factor:g} after {listed(drops)} epochs" if drops else " throughout"
    return f"The learning rate is {recipe.learning_rate:g}{after}."


def _augmentation(recipe: Recipe) -> str:
    parts = [f"random crops after padding by {plural(recipe.crop_padding, 'pixel')}"] if recipe.crop_padding else []
    parts += ["random horizontal flips"] if recipe.flip else []
    return f"Training images are augmented by {listed(parts)}." if parts else "Training images are not augmented."


def _selection(suite: Suite) -> str:
    return (
        "After every epoch the model is attacked on the validation images as in the evaluation below, by "
        f"PGD-{suite.evaluation.pgd_steps}. The epoch with the largest sum of average and worst-class robust accuracy "
        "is selected; the last epoch is reported next to it. No choice is made on test images."
    )


def _evaluation(suite: Suite) -> str:
    evaluation = suite.evaluation
    screening = (
        f"Both checkpoints face PGD-{evaluation.pgd_steps}: {plural(evaluation.pgd_steps, 'step')} of "
        f"{radius(evaluation.pgd_step)} on the cross-entropy, from one uniformly random start; the last iterate "
        "counts. An image is robust if its clean prediction is right and no attack changes it, so that all accuracies "
        "are upper bounds on true robustness. Models are in evaluation mode, and attacks in fp32."
    )
    stronger = [_autoattack(suite)] if evaluation.tier != "screen" else []
    audit = [_audit(suite)] if evaluation.tier == "fast" else []
    noise = (
        f"Noise of the attacks has the seed {evaluation.seed}; {plural(evaluation.batch_size, 'image')} are attacked "
        "at a time."
    )
    return " ".join([screening, *stronger, *audit, *_curve(suite), *_tried(suite), noise])


def _curve(suite: Suite) -> list[str]:
    radii = suite.evaluation.curve
    if not radii:
        return []
    sentence = (
        f"The same attacks judge the selected checkpoint within {listed(map(radius, radii))} as well, the smallest "
        "radius first; an image that breaks is broken within every larger radius, and not attacked again."
    )
    return [sentence]


def _tried(suite: Suite) -> list[str]:
    attacks = suite.evaluation.attacks
    if not attacks:
        return []
    sentence = (
        f"Tried as well, on every image that is classified correctly, {'is' if len(attacks) == 1 else 'are'} "
        f"{listed(attacks)}; what they break is verified likewise and counts in a column of its own."
    )
    return [sentence]


def _autoattack(suite: Suite) -> str:
    evaluation = suite.evaluation
    by = "pyautoattack" if evaluation.engine == "reference" else "an engine that draws noise for every image by itself"
    targets = f"the {STANDARD.targets} likeliest wrong classes (all, if there are fewer)"
    named = {
        "fast": "the first two attacks of AutoAttack standard",
        "full": "AutoAttack standard",
    }[evaluation.tier]
    parts = [
        f"APGD on the cross-entropy ({STANDARD.apgd_iterations} iterations)",
        f"APGD on the targeted DLR loss against {targets} ({STANDARD.apgd_iterations} iterations each)",
    ]
    if evaluation.tier == "full":
        parts += [
            f"targeted FAB against the same classes ({STANDARD.fab_iterations} iterations each)",
            f"Square ({STANDARD.square_queries:,} queries)",
        ]
    searched = "searched for in bf16, which can miss some, and " if evaluation.search == "bf16" else ""
    return (
        f"The selected checkpoint faces {named} by {by}: {listed(parts)}, in this order and with one restart each, "
        f"every one on the images that are still robust. Breaks are {searched}verified in fp32, inside the ball and "
        "inside [0, 1]."
    )


def _audit(suite: Suite) -> str:
    return (
        f"FAB ({STANDARD.fab_iterations} iterations per target) and Square ({STANDARD.square_queries:,} queries) face "
        f"a random {100 * suite.evaluation.audit:g} % of the survivors of every class, which bounds what they would "
        f"break at {100 * (1 - DOUBT):g} %. A run is attacked in full if one of these images breaks, if the first "
        f"gradient of PGD-{suite.evaluation.pgd_steps} is zero for {100 * NOTABLE_ZERO_GRADIENT_SHARE:g} % of the "
        f"correctly classified images, or if APGD is more than {NOTABLE_PGD_AA_GAP_PP:g} points below it; it then "
        "stands on the board of full evaluations."
    )


def _statistics(suite: Suite) -> str:
    keys = listed(f"{words} ({key})" for key, words in KEY_NAMES.items())
    attack = {"screen": f"PGD-{suite.evaluation.pgd_steps}", "fast": "both APGD attacks", "full": "AutoAttack"}
    return (
        f"Training is repeated with {'seed' if len(suite.seeds) == 1 else 'seeds'} {listed(suite.seeds)}; a row needs "
        f"{REQUIRED_SEEDS} finished seeds, and none that failed, to be ranked. Metrics are computed from the "
        f"accuracies per class under {attack[suite.evaluation.tier]}, seed by seed, and then averaged over seeds. Rows "
        f"are ordered by the worst class and can be ordered by each key: {keys}. The luck of the "
        f"test set is resampled within each class, the same images for all methods and seeds ({DRAWS:,} draws, seed "
        f"{BOOTSTRAP_SEED}), with a floor for small classes. The interval of a value v (95 %) is v + a - h to v + b "
        "+ h, where h^2 = z^2 V + t^2 s^2 / S with the variance V over test sets that seeds share, the variance "
        "s^2 over S seeds, moderated over the board (Smyth 2004; d0 the lowest that the variances do not "
        "contradict), and Student's t; a and b bound the downward bias of a minimum, and a third of b - a lowers z "
        f"and t (Imbens and Manski 2004); where fewer than {FEW} images of the worst class are right or wrong it is "
        "the Bonferroni-Wilson envelope. Two rows are separated if their difference, less b of the lower and plus "
        "a of the higher one, exceeds such a half-width; Holm's correction over all pairs, 5 %. Places and groups "
        "follow from the separations. In a second family, named in advance, every row is compared with the "
        f"baseline, {suite.baseline}; Holm's correction over those pairs, 5 %. Equal counts tie exactly. Intervals "
        "and separations assume that the variances over seeds follow the law fitted to the board."
    )


def _keys(suite: Suite, *, dataset_digest: str) -> str:
    key = content_key(protocol_description(suite, dataset_digest=dataset_digest))
    return (
        f"The key of this protocol is {key}: sixteen hexadecimal digits of the SHA-256 of its canonical JSON. The key "
        "of a run also covers method, hyper-parameters, seed and the keys of the runs that it builds on (a teacher, a "
        "hot start); no path, machine or date. Runs share a board only if their protocols agree in everything that a "
        "verdict depends on."
    )
