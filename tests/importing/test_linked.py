"""Folders of a tree are found by any way that leads there: links, ``..``, ``.``."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from lazyimport.cache.node import NodeCache
from tests.support.compare_importers import (
    Files,
    from_archive,
    from_directory,
    pack_tree,
    write_tree,
)

TREE: Files = {
    "app/__init__.py": "",
    "app/place.py": (
        "import os\nHERE = os.path.dirname(__file__)\n"
        "REAL = os.path.realpath(HERE)\nROOT = os.path.dirname(REAL)\n"
    ),
    "app/vendor/whole/__init__.py": "name = 'whole'\n",
    "app/vendor/parts/one.py": "name = 'one'\n",
    "app/vendor/single.py": "name = 'single'\n",
    "plugins/first.py": "name = 'first'\n",
    "same.py": "name = 'of the root'\n",
    "plugins/same.py": "name = 'of plugins'\n",
    "thing-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: thing\nVersion: 1\n",
}

PROGRAMS = {
    "an entry of sys.path": """
        sys.path.insert(0, REAL + "/vendor")
        import whole, parts.one, single
        print(whole.name, parts.one.name, single.name, os.path.realpath(whole.__path__[0]))
        """,
    "an entry before the root": """
        sys.path.insert(0, ROOT + "/plugins")
        import same
        print(same.name)
        """,
    "an entry of __path__": """
        import app
        app.__path__.append(REAL + "/vendor/")
        import app.single
        print(app.single.name)
        """,
    "from the current directory": """
        os.chdir(HERE)
        sys.path[:0] = ["../plugins", "vendor"]
        import first, same, single, parts.one
        os.chdir("/")
        import whole
        print(first.name, same.name, single.name, whole.name)
        """,
    "the modules of a folder": """
        import pkgutil
        print([m.name for m in pkgutil.iter_modules([REAL, ROOT + "/plugins", HERE + "/../plugins"])])
        """,
    "distributions": """
        import importlib.metadata as m
        for path in (ROOT, ROOT + "/", os.path.dirname(HERE), REAL, "/"):
            print([d.version for d in m.distributions(path=[path]) if d.metadata["Name"] == "thing"])
        """,
    "asked for before": """
        import lazyimport, pkgutil
        here = lazyimport.current()
        if here:
            lazyimport.uninstall()
        pkgutil.get_importer(REAL + "/vendor")
        if here:
            lazyimport.install(here.hash, cache_dir=here.settings.cache_dir)
        sys.path.append(REAL + "/vendor")
        import single
        print(single.name)
        """,
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_no_difference(program: str, tmp_path: Path) -> None:
    """Neither cache nor directory is where it is said to be."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    folder = write_tree(TREE, tmp_path / "link/site")
    cache = tmp_path / "link/cache"
    hash_ = pack_tree(folder, cache)
    text = "import os, sys; from app.place import HERE, REAL, ROOT\n" + dedent(program)

    directory = from_directory(folder, text)
    archive = from_archive(hash_, cache, text)

    assert directory.status == 0, directory.stderr
    assert archive.status == 0, archive.stderr
    real = str(tmp_path / "real/site")
    assert archive.stdout == directory.stdout.replace(real, "ROOT")


def test_a_start_in_a_folder_of_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All paths may be in the tree then, also those of what has to find that out."""
    folder, cache = write_tree(TREE, tmp_path / "site"), tmp_path / "cache"
    hash_ = pack_tree(folder, cache)
    tree = Path(NodeCache(str(cache)).tree_path(hash_))
    program = """
        import os, app.place
        print(os.listdir("vendor/parts"), os.path.isfile("../plugins/first.py"))
        print(open("place.py").readline(), app.place.REAL == os.getcwd())
        """
    tree.joinpath("app").mkdir(parents=True)

    monkeypatch.chdir(folder / "app")
    directory = from_directory(folder, dedent(program))
    monkeypatch.chdir(tree / "app")
    archive = from_archive(hash_, cache, dedent(program))

    assert directory.status == 0, directory.stderr
    assert archive == directory
