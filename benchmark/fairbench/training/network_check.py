"""Whether a network can be trained at all, and by this method: asked before anything is."""

from torch import nn

from fairbench.data.batches import unit
from fairbench.data.dataset import Dataset
from fairbench.errors import UserError
from fairbench.external.network import check_trainable
from fairbench.method.contract import Method
from fairbench.protocol.factory import is_factory, shown
from fairbench.protocol.run import Run


def check_network(run: Run, method: Method, dataset: Dataset, *, network: nn.Module) -> None:
    """Refuse a network that cannot be trained, or not by this method, before anything is.

    Args:
        run: to be trained.
        method: the configured method.
        dataset: whose training split decides how long the last batch is.
        network: the run's own, on any device.

    Raises:
        UserError: saying what it lacks.
    """
    called = shown(run.suite.model)
    if is_factory(run.suite.model):
        size = run.recipe.batch_size
        device = next(network.parameters()).device
        image = unit(dataset.train.images[:1].to(device))[0]
        check_trainable(network, called=called, image=image, last_batch=len(dataset.train) % size or size)
    if reason := method.refuses(network):
        raise UserError(f"{run.label} cannot train {called}: {reason}")
