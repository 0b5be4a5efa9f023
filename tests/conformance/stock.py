"""A child process that runs one of CPython's own test modules and notes the outcomes.

::

    python stock.py JOB     where JOB is JSON: module, out, exclude, and for an
                            archive hash, cache, base

Without a hash the module runs from the standard library. With a hash, the tests are
imported from that archive. Also, every directory below *base* that a test puts on a
path is packed and emptied when it is first looked at, so that the test sees only what
the archive gives.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import unittest
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from functools import partial
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import Distribution, DistributionFinder
from types import ModuleType, TracebackType
from typing import Any

Reason = tuple[type[BaseException], BaseException, TracebackType]


class Directories:
    """Turns every directory below *base* that is imported from into an archive.

    On ``sys.meta_path`` and as a path hook it does for all of them, in the order of
    ``sys.path``, what `lazyimport.install` does for one archive.
    """

    def __init__(self, base: str, cache: str) -> None:
        from lazyimport.packing.interpreters import find_interpreters

        self._base = base + "/"
        self._cache = cache
        self._interpreters = find_interpreters([])
        self._trees: dict[str, Any] = {}
        self._packing = False

    def tree_at(self, path: object) -> Any:
        """Return the tree whose root *path* is or is below, or None."""
        if not isinstance(path, str) or not path.startswith(self._base):
            return None
        for root, tree in self._trees.items():
            if path == root or path.startswith(root + "/"):
                return tree
        if self._packing or not os.path.isdir(path):
            return None
        if os.path.exists(f"{path}/__init__.py"):
            return None  # a package, found by a relative path that is not ours
        self._packing = True  # packing imports modules, which asks for paths again
        try:
            return self._pack(path)
        finally:
            self._packing = False
            for known in list(sys.path_importer_cache):
                if str(known).startswith(path):
                    del sys.path_importer_cache[known]

    def _pack(self, path: str) -> Any:
        from lazyimport.cache.materialize import Materializer
        from lazyimport.cache.node import NodeCache
        from lazyimport.errors import PackError
        from lazyimport.importing.appearing import appear
        from lazyimport.importing.tree import Tree
        from lazyimport.packing.config import Config
        from lazyimport.packing.roots import pack_roots
        from lazyimport.runtime import process

        try:
            packed = pack_roots(
                [path], Config(), self._interpreters, NodeCache(self._cache)
            )
        except PackError:  # the directory is empty
            return None
        os.rename(path, f"{path}.packed-{len(self._trees)}")
        os.mkdir(path)
        looks = process.wrappers.looks
        tree = Tree(
            packed.archive,
            path,
            lambda: Materializer(packed.archive, path),
            looks=looks,
        )
        self._trees[path] = tree
        looks.watch(path, partial(appear, tree))
        process.wrappers.put_in()
        return tree

    def hook(self, path: str) -> Any:
        from lazyimport.importing.path_finder import ArchivePathFinder

        tree = self.tree_at(path)
        if tree is None:
            raise ImportError("not below the base", path=path)
        return ArchivePathFinder.at(tree, path)

    def find_spec(
        self,
        fullname: str,
        path: Iterable[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        from lazyimport.importing.finder import ArchiveFinder
        from lazyimport.importing.late_tree import opened

        places = [] if path is None else list(path)
        tree = self.tree_at(places[0]) if places else None
        if tree is None:
            return None
        finder = ArchiveFinder(opened(tree), top_level=False)
        return finder.find_spec(fullname, places, target)

    def find_distributions(
        self, context: DistributionFinder.Context
    ) -> Iterator[Distribution]:
        from lazyimport.importing.metadata import find_distributions

        for path in context.path:
            tree = self.tree_at(path)
            if tree is not None:
                yield from find_distributions(tree, context)

    def invalidate_caches(self) -> None:
        """Do nothing."""


class Outcomes(unittest.TestResult):
    """The outcome of each test: ok, skipped, or the error."""

    def __init__(self) -> None:
        super().__init__()
        self.by_test: dict[str, str] = {}

    def note(self, test: unittest.TestCase, end: str) -> None:
        # An error in setUpClass comes with a stand-in for the test, with an id too.
        if self.by_test.get(test.id(), "ok") in {"ok", "skipped"}:
            self.by_test[test.id()] = end

    def addSuccess(self, test: unittest.TestCase) -> None:
        self.note(test, "ok")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self.note(test, "skipped")

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        self.note(test, "skipped")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        self.note(test, "unexpected success")

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        self.note(test, self._text(err))

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        self.note(test, self._text(err))

    def addSubTest(
        self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any
    ) -> None:
        if err is not None:
            self.note(test, f"{subtest._subDescription()}: {self._text(err)}")  # type: ignore[attr-defined]

    def _text(self, err: Reason) -> str:
        return f"{err[0].__name__}: {err[1]}"


def without(suite: unittest.TestSuite, patterns: Iterable[str]) -> unittest.TestSuite:
    """Return *suite* without the tests whose names match one of *patterns*.

    They must not run, because a failing test may leave things behind for the next.
    """
    kept = unittest.TestSuite()
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            kept.addTest(without(test, patterns))
        elif not any(fnmatchcase(test.id(), pattern) for pattern in patterns):
            kept.addTest(test)
    return kept


def install(directories: Directories) -> None:
    """Let *directories* serve the imports of this process."""
    sys.path_hooks.insert(0, directories.hook)
    sys.meta_path.insert(sys.meta_path.index(PathFinder), directories)


def main() -> None:
    job = json.loads(sys.argv.pop())
    if sys.path[0] == os.path.dirname(os.path.abspath(__file__)):
        del sys.path[0]  # Python 3.10 does not know PYTHONSAFEPATH
    if job["hash"]:
        import lazyimport

        lazyimport.install(job["hash"], cache_dir=job["cache"])
        install(Directories(job["base"], job["cache"]))
    outcomes = Outcomes()
    try:
        module = importlib.import_module(job["module"])
    except ModuleNotFoundError as error:
        if error.name != job["module"]:
            raise
        outcomes.by_test["there is no such module"] = "skipped"
    except unittest.SkipTest as why:
        outcomes.by_test[str(why)] = "skipped"
    else:
        suite = unittest.defaultTestLoader.loadTestsFromModule(module)
        without(suite, job["exclude"]).run(outcomes)
    with open(job["out"], "w", encoding="utf-8") as file:
        json.dump(outcomes.by_test, file)


if __name__ == "__main__":
    main()
