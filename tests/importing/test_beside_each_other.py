"""Programs whose parts lie beside each other, as in a repository.

Each prints the same when it runs from a directory and from an archive, with a node
cache of its own.
"""

from __future__ import annotations

import importlib.util
import sys
from textwrap import dedent

import pytest

from tests.support.compare_importers import (
    from_archive,
    from_directory,
    pack_tree,
    write_tree,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

LOOKS = "import os\nhere = os.path.dirname(os.path.abspath(__file__))\n"

TREE: dict[str, str | bytes] = {
    "main.py": LOOKS + "print(open(here + '/config/a.yaml').read())\n",
    "VERSION": "1.2",
    "config/a.yaml": "a: 1",
    "config/deep/b.yaml": "b: 2",
    "app/__init__.py": LOOKS,
    "app/main.py": (
        "import sys\nfrom app import here\nsys.path.insert(0, here)\nimport utils\n"
        "print(utils.__name__, utils.which)\n"
    ),
    "app/utils.py": "which = 'of the application'\n",
    "utils/__init__.py": "which = 'at the top'\n",
    "shop/__init__.py": (
        LOOKS + "import sys\nsys.path.insert(0, here + '/_vendor')\nimport idna\n"
        "which = idna.which\n"
    ),
    "shop/_vendor/idna/__init__.py": "which = 'vendored'\n",
    "idna/__init__.py": "which = 'at the top'\n",
    "quiet/__init__.py": "",
    "quiet/boom.py": "def boom():\n    1 / 0\n",
    "quiet/more.py": "class Base: pass\n",
    "framed/__init__.py": (
        "import inspect, os, sys\n"
        "here = os.path.dirname(sys._getframe().f_code.co_filename)\n"
        "names = sorted(n for n in os.listdir(here) if n[0] != '_')\n"
    ),
    "framed/a.py": "",
    "origin/__init__.py": "",
    "origin/a.py": (
        "import os, importlib.util\nspec = importlib.util.find_spec('origin')\n"
        "names = sorted(n for n in os.listdir(os.path.dirname(spec.origin)) if n[0] != '_')\n"
    ),
    "sub/__init__.py": "",
    "None/mod.py": "x = 1\n",
    "extended/__init__.py": (
        "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n"
    ),
    "extended.pkg": "/somewhere/else\n",
}

PROGRAMS = {
    "a folder without modules beside a script": "import main",
    "a folder and a file beside a package": """
        import app, os
        base = os.path.dirname(app.here)
        print(open(base + "/VERSION").read(), open(base + "/config/deep/b.yaml").read())
        """,
    "a program that puts its own folder first": "import app.main",
    "vendored packages": "import shop; print(shop.which)",
    "a package that looks beside its frame": "import framed; print(framed.names)",
    "a module that looks beside a spec": "import origin.a; print(origin.a.names)",
    "where other folders of the package are": """
        import extended; print("/somewhere/else" in extended.__path__)
        """,
    "a search path that leads out of the tree": """
        import sub
        sub.__path__.append(sub.__path__[0] + "/../..")
        try: import sub.mod
        except ModuleNotFoundError as error: print(error.name)
        """,
    "a script that asks every finder": """
        import sys
        found = set()
        for finder in sys.meta_path:
            if hasattr(finder, "find_spec"): found.add(finder.find_spec("nope", None))
        print(found)
        """,
    "loaders that are asked by path": """
        import pathlib, quiet.more
        loader, path = quiet.more.__loader__, pathlib.Path(quiet.more.__file__)
        print(loader.get_data(path), loader.path_stats(path)["size"])
        """,
    "hooks of the interpreter": """
        import sys, threading
        print(sys.excepthook is sys.__excepthook__)
        print(sys.unraisablehook is sys.__unraisablehook__)
        print(threading.excepthook is threading.__excepthook__)
        """,
    "the original hook": """
        import sys, quiet.boom
        sys.excepthook = sys.__excepthook__
        quiet.boom.boom()
        """,
    "errors that nobody can catch": """
        import quiet.boom
        class Gone:
            def __del__(self): quiet.boom.boom()
        gone = Gone()
        del gone
        """,
}
if sys.version_info < (3, 15):
    PROGRAMS["load_module"] = """
        import sys, warnings, quiet
        warnings.simplefilter("ignore")
        loader = quiet.__spec__.loader
        print(loader.load_module("quiet") is sys.modules["quiet"])
        try: loader.load_module("other")
        except ImportError as error: print(error)
        """


@pytest.fixture(scope="module", name="tree")
def _tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    base = tmp_path_factory.mktemp("beside")
    folder = write_tree(TREE, base / "site")
    return folder, base / "cache", pack_tree(folder, base / "cache")


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_no_difference(
    tree: tuple[Path, Path, str], tmp_path: Path, program: str
) -> None:
    folder, packed, hash_ = tree
    cache = tmp_path / "cache"
    (cache / "archives").mkdir(parents=True, mode=0o700)
    (cache / "archives" / hash_).hardlink_to(packed / "archives" / hash_)
    cache.chmod(0o700)

    directory = from_directory(folder, dedent(program))
    assert directory.stdout or directory.stderr

    assert from_archive(hash_, cache, dedent(program)) == directory


def test_a_package_that_is_listed_is_whole(tree: tuple[Path, Path, str]) -> None:
    """Also after another process printed one of its lines, and left one file."""
    _, cache, hash_ = tree
    from_archive(hash_, cache, "import quiet.boom; quiet.boom.boom()")

    listed = "import os, quiet; print(*sorted(os.listdir(quiet.__path__[0])))"

    assert from_archive(hash_, cache, listed).stdout == "__init__.py boom.py more.py\n"


@pytest.mark.parametrize("source", ["", "lib/original.py"])
def test_code_without_source_names_the_file_it_was_made_from(
    tmp_path: Path, source: str
) -> None:
    import py_compile

    folder = tmp_path / "site"
    write_tree({"m.py": "def f(): pass\n", "text.pyc": "x"}, folder)
    py_compile.compile(str(folder / "m.py"), str(folder / "m.pyc"), dfile=source)
    (folder / "m.py").unlink()
    magic = importlib.util.MAGIC_NUMBER
    (folder / "text.pyc").write_bytes(magic + b"\0" * 12 + b"N")
    (folder / "flags.pyc").write_bytes(magic + b"\xff" * 12 + b"N")
    (folder / "short.pyc").write_bytes(magic)
    program = """
        import m
        print(m.f.__code__.co_filename.rpartition("/site/")[2])
        for name in ("text", "flags", "short"):
            try: __import__(name)
            except Exception as error: print(type(error), error)
        """
    hash_ = pack_tree(folder, tmp_path / "cache")

    directory = from_directory(folder, dedent(program))

    assert "Error" in directory.stdout
    assert from_archive(hash_, tmp_path / "cache", dedent(program)) == directory
