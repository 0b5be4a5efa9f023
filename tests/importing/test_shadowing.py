"""The policy `refuse`: a name is in the archive or elsewhere, never in both."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.compare_importers import Files, pack_tree, write_tree

ARCHIVE: Files = {
    "both/__init__.py": "where = 'archive'\n",
    "module.py": "where = 'archive'\n",
    "only.py": "where = 'archive'\n",
    "regular/__init__.py": "where = 'archive'\n",
    "acme/ours/__init__.py": "where = 'archive'\n",
    "hidden/inner.py": "where = 'archive'\n",
    "data/table.csv": "1\n",
}
#: what lies elsewhere, partly under names of the archive
ELSEWHERE: Files = {
    "both/__init__.py": "where = 'elsewhere'\n",
    "module.py": "where = 'elsewhere'\n",
    "hidden/__init__.py": "where = 'elsewhere'\n",
    "installed.py": "where = 'elsewhere'\n",
    # shared on purpose
    "acme/theirs/__init__.py": "where = 'elsewhere'\n",
    # a folder that happens to have the name
    "regular/notes.txt": "",
    # a package; in the archive it is a folder without modules
    "data/__init__.py": "where = 'elsewhere'\n",
}


class Place:
    """A packed archive, and a folder that tests put on ``sys.path`` beside it."""

    def __init__(self, folder: Path) -> None:
        self.cache = folder / "cache"
        self.elsewhere = write_tree(ELSEWHERE, folder / "elsewhere")
        self.hash = pack_tree(write_tree(ARCHIVE, folder / "tree"), self.cache)

    def run(
        self, program: str, *, before: str = "", policy: str = "refuse"
    ) -> list[str]:
        """Return the lines that *program* prints once the archive is installed."""
        text = f"""\
import sys
ELSEWHERE = {str(self.elsewhere)!r}
HASH = {self.hash!r}
{dedent(before)}
import lazyimport
from lazyimport.errors import *
def install():
    return lazyimport.install(HASH, cache_dir={str(self.cache)!r}, policy={policy!r})
def attempt(name):
    try:
        print(name, __import__(name).where)
    except ImportError as error:
        print(name, type(error).__name__, error.name, HASH in str(error),
              error.path is not None and error.path.startswith({str(self.cache)!r}),
              ELSEWHERE in str(error))
{dedent(program)}
"""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("LAZYIMPORT_")}
        done = subprocess.run(
            [sys.executable, "-c", text],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=clean,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


@pytest.fixture(name="place", scope="module")
def _place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("shadowing"))


def refused(name: str) -> str:
    return f"{name} ArchiveImportError {name} True True True"


IMPORT_ALL = """\
for name in ("both", "module", "hidden", "only", "regular", "installed", "data"):
    attempt(name)
import acme.ours, acme.theirs
print(acme.ours.where, acme.theirs.where)
"""
ALL = [
    *map(refused, ("both", "module", "hidden")),
    "only archive",
    "regular archive",
    "installed elsewhere",
    "data elsewhere",
    "archive elsewhere",
]


@pytest.mark.parametrize("at", ["0", "len(sys.path)"], ids=["first", "last"])
def test_wherever_on_the_path(place: Place, at: str) -> None:
    answers = place.run(
        "install()\n" + IMPORT_ALL, before=f"sys.path.insert({at}, ELSEWHERE)"
    )

    assert answers == ALL


def test_put_on_the_path_later(place: Place) -> None:
    answers = place.run("install()\nsys.path.append(ELSEWHERE)\n" + IMPORT_ALL)

    assert answers == ALL


def test_the_other_policies_choose(place: Place) -> None:
    before = "sys.path.insert(0, ELSEWHERE)"
    program = "install()\nattempt('both')"

    assert place.run(program, before=before, policy="archive") == ["both archive"]
    assert place.run(program, before=before, policy="path") == ["both elsewhere"]


def test_a_refused_import_leaves_nothing_and_can_be_mended(place: Place) -> None:
    program = """\
        install()
        attempt("both")
        print("both" in sys.modules)
        sys.path.remove(ELSEWHERE)
        attempt("both")
        """
    answers = place.run(program, before="sys.path.append(ELSEWHERE)")

    assert answers == [refused("both"), "False", "both archive"]


def test_what_has_been_imported_already(place: Place) -> None:
    program = """\
        try:
            install()
        except InstallError as error:
            print("both" in str(error), ELSEWHERE in str(error), HASH in str(error))
        print(lazyimport.current(), any(HASH in entry for entry in sys.path))
        """
    before = "sys.path.append(ELSEWHERE); import acme.theirs, installed, both"

    assert place.run(program, before=before) == ["True True True", "None False"]


def test_what_has_been_imported_already_and_is_in_one_only(place: Place) -> None:
    before = "sys.path.append(ELSEWHERE); import acme.theirs, installed"

    answers = place.run("install(); attempt('only')", before=before)

    assert answers == ["only archive"]


#: like setuptools' editable installs: a finder at the end, that knows its names
EDITABLE = """\
from importlib.util import spec_from_file_location
class Editable:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "both":
            return spec_from_file_location(name, ELSEWHERE + "/both/__init__.py")
"""
#: one that goes by the whole path, ours included
PATHS = """\
from importlib.machinery import PathFinder
class Paths:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return PathFinder.find_spec(name, path, target)
sys.path.append(ELSEWHERE)
"""


@pytest.mark.parametrize("late", [False, True])
def test_editable_finder(place: Place, late: bool) -> None:
    add = "sys.meta_path.append(Editable)\n"
    program = f"install()\n{add if late else ''}attempt('both'); attempt('module')"
    before = EDITABLE + ("" if late else add)

    assert place.run(program, before=before) == [refused("both"), "module archive"]


def test_editable_pth(place: Place, tmp_path: Path) -> None:
    site = write_tree({"editable.pth": f"{place.elsewhere}\n"}, tmp_path / "site")
    before = f"import site; site.addsitedir({str(site)!r})"

    assert place.run("install()\n" + IMPORT_ALL, before=before) == ALL


@pytest.mark.parametrize("at", ["0", "len(sys.meta_path)"], ids=["first", "last"])
@pytest.mark.parametrize("late", [False, True])
def test_a_hook_that_goes_by_the_path(place: Place, at: str, late: bool) -> None:
    """It finds the archive's root on sys.path, and asks it."""
    add = f"sys.meta_path.insert({at}, Paths)\n"
    program = f"install()\n{add if late else ''}" + IMPORT_ALL
    before = PATHS + ("" if late else add)

    assert place.run(program, before=before) == ALL


@pytest.mark.parametrize("late", [False, True])
def test_typeguard(place: Place, late: bool) -> None:
    pytest.importorskip("typeguard")
    add = (
        "import typeguard; "
        "typeguard.install_import_hook(['both', 'only', 'module', 'hidden'])\n"
    )
    before = "sys.path.append(ELSEWHERE)\n" + ("" if late else add)
    program = f"install()\n{add if late else ''}" + IMPORT_ALL

    assert place.run(program, before=before) == ALL


def test_setuptools_shim(place: Place) -> None:
    """It puts itself first, and stands for distutils."""
    pytest.importorskip("_distutils_hack")
    before = "import _distutils_hack; _distutils_hack.add_shim()\n"

    answers = place.run(
        "install()\n" + IMPORT_ALL, before=before + "sys.path.append(ELSEWHERE)"
    )

    assert answers == ALL


@pytest.mark.parametrize("late", [False, True])
def test_pytest(place: Place, tmp_path: Path, late: bool) -> None:
    """Its hook, which rewrites assertions, goes by the path as well."""
    test = tmp_path / "test_inside.py"
    test.write_text(
        "import pytest\n"
        "def test_them():\n"
        f"    {'install()' if late else 'pass'}\n"
        "    import only\n"
        "    assert only.where == 'archive'\n"
        "    with pytest.raises(ImportError, match='also'):\n"
        "        import both\n"
    )
    program = f"""\
        import builtins, pytest
        builtins.install = install
        sys.path.append(ELSEWHERE)
        {"" if late else "install()"}
        print(pytest.main(["-q", "-p", "no:cacheprovider", {str(test)!r}]) == 0)
        """

    assert place.run(program)[-1] == "True"


def test_the_report(place: Place) -> None:
    """In the environment of who runs it; nothing is imported for it."""
    command = [sys.executable, "-m", "lazyimport", "ls", place.hash, "--shadowed"]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("LAZYIMPORT_")}
    paths = [str(place.elsewhere), os.environ.get("PYTHONPATH", "")]
    environ = {
        **clean,
        "LAZYIMPORT_CACHE_DIR": str(place.cache),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }

    done = subprocess.run(
        command, env=environ, capture_output=True, text=True, check=True
    )

    _, *rows = done.stdout.splitlines()
    assert [row.split() for row in rows] == [
        ["both", "both/__init__.py", f"{place.elsewhere}/both/__init__.py"],
        ["hidden", "hidden/", f"{place.elsewhere}/hidden/__init__.py"],
        ["module", "module.py", f"{place.elsewhere}/module.py"],
    ]
    assert "3 names of archive" in done.stderr


def test_without_refuse_it_is_not_even_loaded(place: Place) -> None:
    program = "install()\nprint('lazyimport.importing.shadowing' in sys.modules)"

    assert place.run(program, policy="archive") == ["False"]
