"""`fairbench new-method`: a package to begin from."""

import shlex
from pathlib import Path

from fairbench.report.terminal.console import console
from fairbench.testing.scaffold import write_package


def new_method(name: str, directory: Path | None) -> None:
    """Write the package and say what to type next."""
    out, folder = console(), directory or Path(name)
    for path in write_package(name, folder):
        out.print(f"Wrote {path}.", markup=False)
    out.print("\nIts loss can be edited; it also works as it is:\n")
    out.print(f"    pip install -e {shlex.quote(str(folder))}", markup=False)
    out.print(f"    fairbench check-method {name}", markup=False)
    out.print(f"    fairbench run-all --method {name}", markup=False)
