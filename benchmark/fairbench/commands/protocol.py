"""`fairbench protocol`: a suite in words."""

import sys

from fairbench.data.digest import dataset_digest
from fairbench.protocol.suite_file import load_suite
from fairbench.report.paper.protocol_text import protocol_text


def protocol(name: str) -> None:
    """Print the protocol of a suite, by name or file."""
    suite = load_suite(name)
    sys.stdout.write(protocol_text(suite, dataset_digest=dataset_digest(suite.dataset, folder=suite.folder)))
