"""pkg_resources of setuptools before version 82 sees an archive as a directory."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent

import pytest

from lazyimport.packing.config import Config
from tests.support.compare_importers import (
    Files,
    Outcome,
    from_archive,
    from_directory,
    pack_tree,
    write_tree,
)

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pkg_resources") is None,
    reason="needs setuptools before version 82, which has pkg_resources",
)

DECLARED = "__import__('pkg_resources').declare_namespace(__name__)\n"
TREE: Files = {
    "app/__init__.py": (
        "from pkg_resources import get_distribution\n"
        "__version__ = get_distribution(__name__).version\n"
    ),
    "app/core.py": "def answer(x=1):\n    return x + 41\n",
    "app/data/text.txt": "some text\n",
    "app/data/deep/raw.bin": bytes(range(256)),
    "app-1.2.dist-info/METADATA": (
        "Metadata-Version: 2.1\nName: App\nVersion: 1.2\nRequires-Dist: old-thing>=2\n"
        "Requires-Dist: nothing; extra == 'more'\nProvides-Extra: more\n\nLong text.\n"
    ),
    "app-1.2.dist-info/RECORD": "app/__init__.py,,\n",
    "app-1.2.dist-info/entry_points.txt": (
        "[console_scripts]\nrun = app.core:answer\n[some.group]\na = app.core\nb = pure\n"
    ),
    "app-1.2.dist-info/top_level.txt": "app\n",
    "app-1.2.dist-info/licenses/LICENSE": "Free.\n",
    "old_thing.egg-info/PKG-INFO": (
        "Metadata-Version: 1.2\nName: old-thing\nVersion: 3\n"
    ),
    "old_thing.egg-info/requires.txt": "single\n",
    "old_thing.egg-info/scripts/tool": "print('tool', __name__, x)\n",
    "single-4.egg-info": "Metadata-Version: 1.0\nName: single\nVersion: 4\n",
    "single.py": "",
    "pure/__init__.py": "",
    "pure/beside.py": "",
    "pure/deep/er.py": "",
    "native/__init__.py": "",
    "native/_x.so": b"\x7fELF\0",
    "native/data/text.txt": "beside a library\n",
    "memory/__init__.py": "",
    "memory/data/text.txt": "kept in memory\n",
    "named/__init__.py": DECLARED,
    "named/left.py": "side = 'left'\n",
    "named/inner/__init__.py": DECLARED,
    "named/inner/far_left.py": "side = 'far left'\n",
    "named/inner/text.txt": "left text\n",
    "named_left-1.dist-info/METADATA": (
        "Metadata-Version: 2.1\nName: named-left\nVersion: 1\n"
    ),
    "named_left-1.dist-info/namespace_packages.txt": "named\nnamed.inner\n",
}
ELSEWHERE: Files = {
    "named/__init__.py": DECLARED,
    "named/right.py": "side = 'right'\n",
    "named/inner/__init__.py": DECLARED,
    "named/inner/far_right.py": "side = 'far right'\n",
    "named_right-1.dist-info/METADATA": (
        "Metadata-Version: 2.1\nName: named-right\nVersion: 1\n"
    ),
    "named_right-1.dist-info/namespace_packages.txt": "named\nnamed.inner\n",
    "late-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: late\nVersion: 1\n",
}

PROGRAMS = {
    "distributions": """
        for name in ("app", "App", "old_thing", "Old-Thing", "single", "named-left"):
            d = p.get_distribution(name)
            print(d, d.key, d.project_name, d.version, d.location, d.precedence, type(d).__name__)
            print(d.requires(), d.extras, d.as_requirement(), d.egg_name(), d in p.working_set)
            print(d == p.working_set.by_key[d.key], p.require(name), p.working_set.find(d.as_requirement()) is d)
        print(p.get_distribution("app").requires(["more"]), p.require("app>=1"))
        for call in (lambda: p.require("app>=2"), lambda: p.require("app[more]"), lambda: p.get_distribution("nope")):
            try: call()
            except p.ResolutionError as e: print(type(e).__name__, e)
        """,
    "entry points": """
        print(sorted(map(str, p.iter_entry_points("some.group"))), [e.dist for e in p.iter_entry_points("some.group", "a")])
        print(p.load_entry_point("app", "console_scripts", "run")(1), p.get_entry_info("app", "some.group", "b").load())
        print(p.get_entry_map("app"), next(p.iter_entry_points("some.group", "a")).resolve())
        """,
    "metadata": """
        d, e, f = map(p.get_distribution, ("app", "old_thing", "single"))
        print(d.has_metadata("METADATA"), d.has_metadata("nope"), d.has_metadata(""), d.get_metadata("RECORD"))
        print(list(d.get_metadata_lines("top_level.txt")), sorted(d.metadata_listdir("")), d.metadata_listdir("licenses"))
        print(d.metadata_isdir("licenses"), d.metadata_isdir("RECORD"), d.metadata_isdir("nope"))
        print(e.get_metadata("PKG-INFO"), f.get_metadata("PKG-INFO"), f.has_metadata("RECORD"), f.metadata_listdir(""))
        try: d.get_metadata("nope")
        except OSError as error: print(type(error).__name__)
        import os
        print(sorted(os.listdir(d.egg_info)), open(os.path.join(d.egg_info, "licenses", "LICENSE")).read())
        x = 7
        e.run_script("tool", {"__name__": "there", "x": x})
        """,
    "resources": """
        import os
        def listed(name, path): return sorted(set(p.resource_listdir(name, path)) - {"__pycache__"})
        for name in ("app", "app.core", "pure", "pure.deep.er", "single", "memory", "named.inner", p.Requirement.parse("app")):
            for path in ("", "data", "data/", "data/text.txt", "data/deep/raw.bin", "beside.py", "er.py", "text.txt", "app/data/text.txt", "app/data/deep", "nope", "data/nope"):
                print(name, path, p.resource_exists(name, path), p.resource_isdir(name, path))
                for call in (listed, p.resource_string, lambda *at: p.resource_stream(*at).read(9)):
                    try: print(call(name, path))
                    except OSError as e: print(type(e).__name__)
                filename = p.resource_filename(name, path)
                print(filename, os.path.isdir(filename), os.path.isfile(filename) and open(filename, "rb").read())
        """,
    "resources of an extension module": """
        import importlib.util, sys, types, native
        spec = importlib.util.find_spec("native._x")
        module = sys.modules["native._x"] = types.ModuleType("native._x")
        module.__loader__, module.__file__ = spec.loader, spec.origin
        for name in ("native", "native._x"):
            for call in (p.resource_exists, p.resource_isdir, p.resource_listdir, p.resource_string, p.resource_filename):
                try: print(call(name, "data/text.txt"))
                except Exception as e: print(type(e).__name__)
        """,
    "a module that is run": """
        import runpy, sys
        for name in ("app.core", "pure.beside"): print(runpy.run_module(name, run_name="there")["__name__"])
        provider = p.get_provider("app.core")
        print(isinstance(provider, p.DefaultProvider), provider.module_path, provider.egg_info, provider.has_metadata("x"))
        """,
    "version in a package": "import app; print(app.__version__)",
    "working set": """
        import os, sys
        ours = ("app", "old-thing", "single", "named-left")
        print([str(d) for d in p.working_set if d.key in ours])
        root = p.get_distribution("app").location
        print(root in {*sys.path, *map(os.path.realpath, sys.path)}, p.working_set.entries == sys.path, sorted(p.working_set.entry_keys[root]))
        print([str(d) for d in p.find_distributions(root)], [str(d) for d in p.WorkingSet([root])])
        environment = p.Environment([root])
        print(sorted(environment), environment.best_match(p.Requirement.parse("app"), p.WorkingSet([])))
        plugins, errors = p.WorkingSet([]).find_plugins(environment)
        print(sorted(map(str, plugins)), errors)
        """,
    "declared namespaces": """
        import named.left, named.inner.far_left, named.inner
        print(named.left.side, named.inner.far_left.side, named.__path__, named.inner.__path__)
        print(p.resource_string("named.inner", "text.txt"), sorted(k for k in p._namespace_packages if k))
        """,
    "declared namespaces, shared": """
        import sys
        sys.path.append(ELSEWHERE)
        import named.left, named.right, named.inner.far_left, named.inner.far_right
        print(named.left.side, named.right.side, named.inner.far_left.side, named.inner.far_right.side)
        print(named.__path__, named.inner.__path__)
        """,
    "added later": """
        print("late" in p.working_set.by_key)
        p.working_set.add_entry(ELSEWHERE)
        print(p.get_distribution("late").location == ELSEWHERE, p.require("late", "app"))
        """,
}

#: for an archive: imports pkg_resources before it is installed
AFTERWARDS = (
    "import lazyimport; _ = lazyimport.current(); lazyimport.uninstall(); "
    "import pkg_resources; "
    "lazyimport.install(_.hash, cache_dir=_.settings.cache_dir); "
)


class Trees:
    """The tree as a directory and packed, and another directory for both."""

    def __init__(self, base: Path, cache: Path) -> None:
        self.folder = write_tree(TREE, base / "site")
        self.elsewhere = write_tree(ELSEWHERE, base / "elsewhere")
        self.cache = cache
        self.hash = pack_tree(self.folder, cache, Config(in_memory=("memory",)))

    def directory(self, program: str, flags: Sequence[str] = ()) -> Outcome:
        return from_directory(self.folder, self._text(program), flags)

    def archive(
        self,
        program: str,
        flags: Sequence[str] = (),
        *,
        start: str = "",
        policy: str = "archive",
    ) -> Outcome:
        text = self._text(program, start)
        return from_archive(
            self.hash, self.cache, text, flags, LAZYIMPORT_POLICY=policy
        )

    def _text(self, program: str, start: str = "") -> str:
        known = f"import pkg_resources as p; ELSEWHERE = {str(self.elsewhere)!r}"
        return f"{start}{known}\n{dedent(program)}"


@pytest.fixture(scope="module", params=["", "linked"])
def trees(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Trees:
    """Once more with a cache behind a symbolic link."""
    base = tmp_path_factory.mktemp("pkg_resources")
    cache = base / "cache"
    if request.param:
        (base / "real").mkdir()
        cache.symlink_to(base / "real")
    return Trees(base, cache)


@pytest.fixture(name="tree", scope="module")
def _tree(tmp_path_factory: pytest.TempPathFactory) -> Trees:
    base = tmp_path_factory.mktemp("one")
    return Trees(base, base / "cache")


@pytest.mark.parametrize("start", ["", AFTERWARDS], ids=["before", "after"])
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_no_difference(trees: Trees, program: str, start: str) -> None:
    """Whether it is installed before pkg_resources is imported, or after."""
    flags = ["-Wignore"] if start else []  # a warning shows the line with the import

    directory = trees.directory(program, flags)

    assert trees.archive(program, flags, start=start) == directory
    assert directory.status == 0


@pytest.mark.parametrize("policy", ["path", "refuse"])
def test_policies(tree: Trees, policy: str) -> None:
    """Each has finders of its own class."""
    program = "".join(
        f"if True:{PROGRAMS[name]}\n" for name in ("distributions", "working set")
    )

    archive = tree.archive(program, policy=policy)

    assert archive == tree.directory(program)


def test_pkg_resources_of_the_archive(tmp_path: Path) -> None:
    """It sees the archive, too, when it comes from there, with all of setuptools."""
    folder = write_tree(TREE, tmp_path / "site")
    spec = importlib.util.find_spec("setuptools")
    assert spec is not None
    assert spec.origin is not None
    ignored = shutil.ignore_patterns("__pycache__", "tests")
    for name in ("pkg_resources", "setuptools"):
        place = Path(spec.origin).parents[1] / name
        shutil.copytree(place, folder / name, ignore=ignored)
    hash_ = pack_tree(folder, tmp_path / "cache")
    program = f"import pkg_resources as p\n{dedent(PROGRAMS['distributions'])}"

    directory = from_directory(folder, program, alone=True)
    archive = from_archive(hash_, tmp_path / "cache", program, alone=True)

    assert directory.stdout.startswith("app 1.2 app app 1.2 ROOT -1")
    assert archive.stdout == directory.stdout


def test_uninstall(tree: Trees) -> None:
    """The archive's are gone, what they hid is back, and imported modules work."""
    program = """
        import sys, lazyimport
        handle = lazyimport.current()
        handle.uninstall()
        def state(): return [p.normalize_path, list(p.working_set.entries), dict(p.working_set.by_key), dict(p.working_set.entry_keys)]
        sys.path.append(ELSEWHERE); p.working_set.add_entry(ELSEWHERE)
        hidden = p.Distribution(ELSEWHERE, project_name="app", version="7")
        p.working_set.add(hidden)
        before = state()
        for _ in range(2):
            lazyimport.install(handle.hash, cache_dir=handle.settings.cache_dir)
            print(p.get_distribution("app"), p.get_distribution("single"), p.working_set.entries == sys.path)
            import pure
            lazyimport.uninstall()
            print([a == b for a, b in zip(state(), before)], p.get_distribution("app"))
            try: p.get_distribution("single")
            except p.DistributionNotFound as e: print(e)
        print([d.location for d in p.working_set] == [d.location for d in before[2].values()])
        """

    done = tree.archive(program)

    again = (
        "app 1.2 single 4 True\n[True, True, True, True] app 7\n"
        "The 'single' distribution was not found and is required by the application\n"
    )
    assert done.stdout == f"{again}{again}True\n"
    assert done.status == 0


def test_installed_version_is_hidden(tree: Trees) -> None:
    """As `importlib.metadata` and import statements do."""
    start = AFTERWARDS.replace(
        "import pkg_resources;",
        "import sys; sys.path.insert(0, '@'); import pkg_resources;",
    )
    other = write_tree(
        {
            "app-9.dist-info/METADATA": "Metadata-Version: 2.1\nName: app\nVersion: 9\n",
            "app-9.dist-info/entry_points.txt": "[some.group]\nother = nowhere\n",
        },
        tree.elsewhere.parent / "installed",
    )
    program = """
        from importlib.metadata import version
        print(version("app"), p.get_distribution("app").version, p.require("app")[0])
        print([e.name for e in p.iter_entry_points("some.group")])
        """

    for first in (
        start.replace("@", str(other)),
        f"import sys; sys.path.insert(0, {str(other)!r}); ",
    ):
        done = tree.archive(program, start=first)
        assert done.stdout == "1.2 1.2 app 1.2\n['a', 'b']\n"


def test_only_who_asks_pays(tree: Trees) -> None:
    program = """
        import sys, single, pure.beside
        print({"pkg_resources", "lazyimport.importing.stdlib_patches"} & set(sys.modules))
        """

    done = from_archive(tree.hash, tree.cache, dedent(program))

    assert done == ("set()\n", "", 0)


@pytest.mark.parametrize(
    "odd",
    ["None", "types.ModuleType('pkg_resources')", "types.ModuleType('x')", "Mock()"],
)
def test_stand_in(tree: Trees, odd: str) -> None:
    """A test puts one there, or a program that has no setuptools."""
    start = AFTERWARDS.replace(
        "import pkg_resources;",
        f"import sys, types; from unittest.mock import Mock; odd = {odd}; "
        "sys.modules['pkg_resources'] = odd;",
    )

    done = from_archive(
        tree.hash,
        tree.cache,
        f"{start}import pure; print(sys.modules['pkg_resources'] is odd)",
    )

    assert done == ("True\n", "", 0)


def test_other_module_of_that_name(tmp_path: Path) -> None:
    folder = write_tree({"pkg_resources.py": "working_set = None\n"}, tmp_path / "site")
    hash_ = pack_tree(folder, tmp_path / "cache")
    program = "import pkg_resources; print(pkg_resources.__file__)"

    archive = from_archive(hash_, tmp_path / "cache", program)

    assert archive == ("ROOT/pkg_resources.py\n", "", 0)


def test_what_stays_different(tmp_path: Path) -> None:
    """A script's requirements are looked up while pkg_resources is being imported."""
    folder = write_tree(TREE, tmp_path / "site")
    hash_ = pack_tree(folder, tmp_path / "cache")
    programs = (
        "__requires__ = 'app==1.2'\nimport pkg_resources",
        "import pkg_resources\nprint(pkg_resources.require('app==1.2'))",
    )

    directory = [from_directory(folder, program).status for program in programs]
    archive = [from_archive(hash_, tmp_path / "cache", one).status for one in programs]

    assert (directory, archive) == ([0, 0], [1, 0])


def test_an_egg_in_the_archive(tmp_path: Path) -> None:
    name = f"egg-5-py3.{sys.version_info.minor}.egg"
    egg = {f"{name}/EGG-INFO/PKG-INFO": "Name: egg\nVersion: 5\n"}
    folder = write_tree({**TREE, **egg}, tmp_path / "site")
    hash_ = pack_tree(folder, tmp_path / "cache")
    program = "import pkg_resources\nprint(pkg_resources.require('egg'))"

    archive = from_archive(hash_, tmp_path / "cache", program)

    assert archive == from_directory(folder, program)
