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

DOUBLE = "def double(x: int) -> int:\n    x += x\n    return x\n"
TREE: Files = {
    "checked/__init__.py": "",
    "checked/before.py": DOUBLE,
    "checked/after.py": DOUBLE,
    "checked/late.py": DOUBLE,
    "checked/deep/after.py": DOUBLE,
    "checked/test_it.py": "def test_it():\n    assert [1, 2] == [1, 3]\n",
    "space/before.py": DOUBLE,
    "space/after.py": DOUBLE,
    "alone.py": DOUBLE,
    "whole/__init__.py": DOUBLE,
    "checked/vendor/inner.py": DOUBLE,
    "checked/vendor/package/__init__.py": DOUBLE,
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
    "a path hook that rewrites sources": (
        "",
        """
        import importlib, pkgutil, sys
        from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader
        class Rewriting(SourceFileLoader):
            def get_code(self, name):
                text = self.get_data(self.path).replace(b"return x", b"return -x")
                return self.source_to_code(text, self.path)
        def see(*names):
            for name in names:
                module = importlib.import_module(name)
                print(name, module.double(2), module.__file__, isinstance(module.__loader__, SourceFileLoader))
        see("checked.before", "space.before")
        sys.path_hooks.insert(-1, FileFinder.path_hook(
            (ExtensionFileLoader, EXTENSION_SUFFIXES), (Rewriting, [".py"])))
        sys.path_importer_cache.clear()
        see("checked.after", "checked.deep.after", "space.after", "alone", "whole")
        import json.tool, checked
        sys.path.append(checked.__path__[0] + "/vendor")
        see("inner", "package")
        print(sorted(m.name for m in pkgutil.iter_modules(checked.__path__)))
        del sys.path_hooks[-2]
        sys.path_importer_cache.clear()
        see("checked.late")
        """,
    ),
    "a path hook before all others": (
        "",
        """
        import importlib, sys
        from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader
        class Rewriting(SourceFileLoader):
            def get_code(self, name):
                text = self.get_data(self.path).replace(b"return x", b"return -x")
                return self.source_to_code(text, self.path)
        sys.path_hooks.insert(0, FileFinder.path_hook(
            (ExtensionFileLoader, EXTENSION_SUFFIXES), (Rewriting, [".py"])))
        sys.path_importer_cache.clear()
        for name in ("alone", "whole", "space.after", "checked.after", "inner", "package"):
            module = importlib.import_module(name)
            print(name, module.double(2), module.__file__)
            if name == "checked.after":
                sys.path.append(sys.modules["checked"].__path__[0] + "/vendor")
        """,
    ),
    "a path hook for everything": (
        "",
        """
        import sys
        from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader
        seen = set()
        class Seeing(SourceFileLoader):
            def exec_module(self, module):
                seen.add(self.name)
                super().exec_module(module)
        sys.path_hooks.insert(0, FileFinder.path_hook(
            (ExtensionFileLoader, EXTENSION_SUFFIXES), (Seeing, [".py"])))
        sys.path_importer_cache.clear()
        import alone, checked.after, os
        print(len(os.listdir(checked.__path__[0])) > 5)
        from importlib import metadata, resources
        print(metadata.version("thing"), resources.files("pkg").joinpath("plain.txt").is_file())
        try: import checked.none
        except ModuleNotFoundError as error: print(error.name)
        print(sorted(n for n in seen if n.partition(".")[0] not in sys.stdlib_module_names))
        """,
    ),
    "typeguard": (
        "typeguard",
        """
        import importlib
        from typeguard import TypeCheckError, install_import_hook
        install_import_hook(["checked", "space", "alone"])
        for name in ("checked.after", "space.after", "alone"):
            try: importlib.import_module(name).double("x")
            except TypeCheckError as error: print(name, error)
        """,
    ),
    "beartype": (
        "beartype",
        """
        import importlib
        from beartype.claw import beartype_packages
        beartype_packages(["checked", "space", "alone", "whole"])
        for name in ("alone", "whole", "checked.after", "space.after"):
            try: importlib.import_module(name).double("x")
            except Exception as error: print(name, type(error))
        """,
    ),
    "pytest": (
        "pytest",
        """
        import os, pytest, checked
        class Said:
            def pytest_runtest_logreport(self, report):
                print(*(line for line in str(report.longrepr).splitlines() if line[:1] == "E"))
        where = os.path.join(checked.__path__[0], "test_it.py")
        pytest.main(["-p", "no:terminal", "-p", "no:cacheprovider", "-c", os.devnull, where], [Said()])
        """,
    ),
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


#: those that also run with the order of ``sys.path``
BY_PATH = [
    "a path hook that rewrites sources",
    "a path hook before all others",
    "a path hook for everything",
    "beartype",
]


@pytest.mark.parametrize(
    ("name", "policy"),
    [*((name, "archive") for name in PROGRAMS), *((name, "path") for name in BY_PATH)],
)
def test_no_difference(name: str, policy: str, tmp_path: Path) -> None:
    needed, program = PROGRAMS[name]
    if needed and importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")
    folder, cache = write_tree(TREE, tmp_path / "site"), tmp_path / "cache"
    hash_ = pack_tree(folder, cache)
    flags = ["-W", "ignore"]

    directory = from_directory(folder, "ARCHIVE = False\n" + dedent(program), flags)
    archive = from_archive(
        hash_,
        cache,
        "ARCHIVE = True\n" + dedent(program),
        flags,
        LAZYIMPORT_POLICY=policy,
    )

    assert directory.status == 0, directory.stderr
    assert archive == directory
