"""Importers of others serve files of an archive: path hooks, suffixes, metadata."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.compare_importers import (
    Files,
    from_archive,
    from_directory,
    pack_tree,
    write_tree,
)

TREE: Files = {
    "pkg/__init__.py": "",
    "pkg/loud.shout": "x = 'HEARD'\n",
    "pkg/plain.txt": "",
    "pkg/sub/__init__.shout": "y = 7\n",
    "pkg/sub/deep.py": "z = 1\n",
    "top.shout": "t = 1\n",
    "pkg/lisp.hy": "(setv x 42)\n",
    "pkg/quick.pyx": "def twice(x):\n    return 2 * x\n",
    "thing-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: thing\nVersion: 1\n",
    "thing-1.dist-info/entry_points.txt": "[group]\nname = pkg:loud\n",
    "thing-1.dist-info/RECORD": "pkg/__init__.py,,\n",
}

#: what must be installed, for the program
PROGRAMS = {
    "a path hook": (
        "",
        """
        import sys
        from importlib.machinery import FileFinder, SourceFileLoader
        sys.path_hooks.append(FileFinder.path_hook((SourceFileLoader, [".shout"])))
        sys.path_importer_cache.clear()
        if not ARCHIVE:  # FileFinder of Python stands before it there
            sys.path_hooks.insert(0, sys.path_hooks.pop())
            del sys.path_hooks[2:]
            sys.path_hooks[0] = FileFinder.path_hook(
                (SourceFileLoader, [".shout"]), (SourceFileLoader, [".py"]))
        import pkg.loud, pkg.sub, pkg.sub.deep, top
        print(pkg.loud.x, pkg.sub.y, pkg.sub.deep.z, top.t, pkg.loud.__file__, pkg.sub.__path__)
        print(open(pkg.loud.__spec__.origin).read(), type(pkg.loud.__loader__))
        try: import pkg.plain
        except ModuleNotFoundError as error: print(error.name)
        """,
    ),
    "hy": ("hy", "import hy, pkg.lisp; print(pkg.lisp.x, pkg.lisp.__file__)"),
    "pyximport": (
        "pyximport",
        """
        import pyximport, tempfile
        pyximport.install(build_dir=tempfile.mkdtemp(), language_level=3)
        import pkg.quick
        print(pkg.quick.twice(4))
        """,
    ),
    "importlib_metadata": (
        "importlib_metadata",
        """
        import importlib_metadata as m
        thing = m.distribution("thing")
        print(isinstance(thing, m.Distribution), thing.version, thing.metadata["Name"])
        print(type(thing.entry_points).__module__.partition(".")[0], thing.files)
        print(len([d for d in m.distributions() if d.name == "thing"]), m.version("thing"))
        print(str(thing.locate_file("pkg/__init__.py")), thing.origin)
        """,
    ),
    "importlib_metadata in setuptools": (
        "setuptools",
        """
        import importlib.metadata
        try: import setuptools._vendor.importlib_metadata as m
        except ModuleNotFoundError: m = importlib.metadata
        for each in (m, importlib.metadata):
            print([d.version for d in each.distributions() if d.metadata["Name"] == "thing"])
        """,
    ),
    "importlib.metadata": (
        "",
        """
        import importlib.metadata as m
        thing = m.distribution("thing")
        print(isinstance(thing, m.Distribution), thing.version, thing.metadata["Name"])
        print(thing.files, thing.files[0].read_text(), [f for f in thing.entry_points])
        print(len([d for d in m.distributions() if d.metadata["Name"] == "thing"]))
        print(str(thing.locate_file("pkg/__init__.py")), thing.read_text("none"))
        """,
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_difference(name: str, tmp_path: Path) -> None:
    needed, program = PROGRAMS[name]
    if needed and importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")
    folder, cache = write_tree(TREE, tmp_path / "site"), tmp_path / "cache"
    hash_ = pack_tree(folder, cache)
    flags = ["-W", "ignore"]

    directory = from_directory(folder, "ARCHIVE = False\n" + dedent(program), flags)
    archive = from_archive(hash_, cache, "ARCHIVE = True\n" + dedent(program), flags)

    assert directory.status == 0, directory.stderr
    assert archive == directory
