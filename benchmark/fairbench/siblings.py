"""What lies beside a file can be imported by it, although its folder is not searched.

    with Siblings(Path("/home/ann/ideas"), package="ideas_of_ann").importable():
        import helper                      # /home/ann/ideas/helper.py; afterwards nobody finds it under that name

A sibling is a submodule of a package that belongs to the file alone, and is lent its plain name while the file runs:
helpers of two files may have the same name, and what they define is still found where annotations are resolved. A name
that can be imported anyway means what it always does, so that a file called `torch.py` hides nothing.
"""

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType


class Siblings(MetaPathFinder, Loader):
    """Finds modules of a folder.

    Args:
        folder: in which they lie.
        package: the name of the package that keeps them.
    """

    def __init__(self, folder: Path, *, package: str) -> None:
        self._folder, self._package = folder, package
        self._lent: dict[str, ModuleSpec | None] = {}

    @contextmanager
    def importable(self) -> Iterator[None]:
        """For as long as this lasts, and for this folder only."""
        importlib.invalidate_caches()  # the file may have been written a moment ago
        writes_nothing = sys.dont_write_bytecode
        sys.dont_write_bytecode = True  # a cache would outlive an edit within its second
        sys.meta_path.insert(0, self)
        try:
            yield
        finally:
            sys.meta_path.remove(self)
            sys.dont_write_bytecode = writes_nothing
            for name in self._lent:
                sys.modules.pop(name, None)

    def make_package(self) -> None:
        """Make the package that keeps the siblings, which is empty until one of them is imported."""
        if self._package not in sys.modules:
            package = ModuleSpec(self._package, None, is_package=True)
            package.submodule_search_locations = [str(self._folder)]
            sys.modules[self._package] = module_from_spec(package)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A module that nobody else has, or part of a package of ours."""
        top, dot, _ = fullname.partition(".")
        if dot:
            return ModuleSpec(fullname, self) if top in self._lent else None
        others = (finder for finder in sys.meta_path if not isinstance(finder, Siblings))
        if any(finder.find_spec(fullname, path, target) for finder in others):
            return None
        spec = PathFinder.find_spec(fullname, [str(self._folder)])
        if spec is None or (spec.loader is None and not any((self._folder / fullname).glob("*.py"))):
            return None  # nothing, or a folder of something else: logs of a library are not that library
        return ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module as the package has it, imported if it is the first time."""
        self.make_package()
        module = importlib.import_module(f"{self._package}.{spec.name}")
        self._lent[spec.name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run, but it is described as the package's again."""
        spec = module.__spec__
        assert spec is not None
        module.__spec__ = self._lent[spec.name]
