"""CPython's abstract tests of finders and loaders, implemented for archives.

`test.test_importlib.abc` lists what every finder and every loader must show. None of
its tests can be left out here, because a class with an abstract test cannot be run.
"""

from __future__ import annotations

import sys
import tempfile
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import TestCase

import pytest

from lazyimport.cache.node import NodeCache
from lazyimport.importing.finder import ArchiveFinder
from lazyimport.importing.late_tree import opened
from lazyimport.importing.path_finder import ArchivePathFinder
from lazyimport.importing.tree import Tree
from tests.support.compare_importers import Files, pack_tree, write_tree

contracts: Any = pytest.importorskip(
    "test.test_importlib.abc",
    reason="this Python came without its tests",
    exc_type=ModuleNotFoundError,
)

FILES: Files = {
    "alone.py": "value = 1\n",
    "twice.py": "kind = 'module'\n",
    "twice/__init__.py": "kind = 'package'\n",
    "outer/__init__.py": "",
    "outer/module.py": "value = 2\n",
    "outer/inner/__init__.py": "",
    "outer/inner/module.py": "from .. import module as upper\n",
    "broken.py": "value = 3\n1 +\n",
}


class InTheArchive(TestCase):
    """Provides ``tree``, and removes its modules from this process after each test."""

    tree: Tree

    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        site = write_tree(FILES, Path(folder.name, "site"))
        hash_ = pack_tree(site, Path(folder.name, "cache"))
        cache = NodeCache(f"{folder.name}/cache")
        archive = cache.open(hash_)
        assert archive is not None
        cls.tree = Tree(archive, cache.tree_path(hash_))

    def setUp(self) -> None:
        self.addCleanup(self.forget, set(sys.modules))

    def forget(self, before: set[str]) -> None:
        for name in set(sys.modules) - before:
            if name.partition(".")[0] in {"alone", "broken", "outer", "twice"}:
                del sys.modules[name]

    def place(self, *inner: str) -> str:
        return "/".join((self.tree.root, *inner))


class MetaPathFinderTests(InTheArchive, contracts.FinderTests):  # type: ignore[misc]
    def find(self, name: str, folder: str | None = None) -> Any:
        path = None if folder is None else [self.place(folder)]
        return ArchiveFinder(opened(self.tree)).find_spec(name, path)

    def test_module(self) -> None:
        spec = self.find("alone")
        assert spec.origin == self.place("alone.py")
        assert spec.submodule_search_locations is None

    def test_package(self) -> None:
        spec = self.find("outer")
        assert spec.origin == self.place("outer", "__init__.py")
        assert spec.submodule_search_locations == [self.place("outer")]

    def test_module_in_package(self) -> None:
        spec = self.find("outer.module", "outer")
        assert (spec.name, spec.parent) == ("outer.module", "outer")
        assert spec.origin == self.place("outer", "module.py")

    def test_package_in_package(self) -> None:
        spec = self.find("outer.inner", "outer")
        assert spec.submodule_search_locations == [self.place("outer/inner")]

    def test_package_over_module(self) -> None:
        assert self.find("twice").origin == self.place("twice/__init__.py")

    def test_failure(self) -> None:
        assert self.find("nothing") is None
        assert self.find("outer.nothing", "outer") is None


class PathEntryFinderTests(MetaPathFinderTests):
    def find(self, name: str, folder: str | None = None) -> Any:
        path = self.place(*[folder] if folder else [])
        return ArchivePathFinder.at(self.tree, path).find_spec(name)


class LoaderTests(InTheArchive, contracts.LoaderTests):  # type: ignore[misc]
    def spec(self, name: str) -> Any:
        head, _, _ = name.rpartition(".")
        path = [self.place(head.replace(".", "/"))] if head else None
        return ArchiveFinder(opened(self.tree)).find_spec(name, path)

    def load(self, name: str) -> ModuleType:
        """Import a module as the import statement does."""
        spec = self.spec(name)
        module = module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    def attributes(self, module: ModuleType) -> tuple[object, ...]:
        return module.__name__, module.__package__, module.__file__

    def test_module(self) -> None:
        module = self.load("alone")
        assert self.attributes(module) == ("alone", "", self.place("alone.py"))
        assert module.__loader__ is module.__spec__.loader  # type: ignore[union-attr]
        assert not hasattr(module, "__path__")
        assert module.value == 1

    def test_package(self) -> None:
        module = self.load("outer")
        assert self.attributes(module) == (
            "outer",
            "outer",
            self.place("outer", "__init__.py"),
        )
        assert module.__path__ == [self.place("outer")]
        assert module.__loader__ is module.__spec__.loader  # type: ignore[union-attr]

    def test_lacking_parent(self) -> None:
        module = self.load("outer.module")
        assert module.value == 2
        assert "outer" not in sys.modules

    def test_state_after_failure(self) -> None:
        module = ModuleType("broken")
        module.__spec__ = self.spec("broken")
        before = dict(vars(module))
        with pytest.raises(SyntaxError):
            module.__spec__.loader.exec_module(module)  # type: ignore[union-attr]
        after = dict(vars(module))
        after.pop("__builtins__", None)
        assert after == before

    def test_unloadable(self) -> None:
        loader = self.spec("alone").loader
        with pytest.raises(ImportError) as caught:
            loader.exec_module(module_from_spec(spec_from_loader("other", loader)))  # type: ignore[arg-type]
        assert caught.value.name == "other"


def test_nothing_of_the_contract_is_left_abstract() -> None:
    for made in (MetaPathFinderTests, PathEntryFinderTests, LoaderTests):
        assert not made.__abstractmethods__
