"""A plug-in as it was when `run-all` began: what is queued for a day computes with that, however the file is edited.

    shipped = ShippedPlugin.read(Path("mine.py"))       # in the process that plans
    registry.create("my-method", {}, plugins=[shipped.checked()])       # in a worker, on another machine

The file itself travels with the task. What it imports from beside it stays where it is, and must be as it was.
"""

from dataclasses import dataclass
from pathlib import Path

from fairbench.errors import UserError
from fairbench.foreign_code import ForeignFile


@dataclass(frozen=True, kw_only=True)
class ShippedPlugin:
    """A file with methods, and what it was recognised by.

    Attributes:
        file: its path and its bytes.
        code_sha256: of these bytes and of its siblings.
    """

    file: ForeignFile
    code_sha256: str

    @classmethod
    def read(cls, path: Path) -> "ShippedPlugin":
        """From the disk; the file is run to know its siblings.

        Raises:
            UserError: if it cannot be read or imported.
        """
        file = ForeignFile.read(path.resolve(), called="the plug-in")
        return cls(file=file, code_sha256=file.code_sha256(file.module()))

    def checked(self) -> ForeignFile:
        """The file, once it is certain that its siblings are what they were.

        Raises:
            UserError: if one was edited, or the file cannot be imported here.
        """
        if self.file.code_sha256(self.file.module()) != self.code_sha256:
            raise UserError(
                f"What {self.file.path} imports from beside it was edited after this run was planned, and one row is "
                "never computed with two versions; start the command again to compute with the new one."
            )
        return self.file
