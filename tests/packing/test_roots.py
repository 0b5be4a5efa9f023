"""Packing: the same tree gives the same hash, and a change costs what it changes."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lazyimport.cache.node import NodeCache
from lazyimport.errors import PackError
from lazyimport.format.archive import Archive
from lazyimport.format.entries import (
    CONFIGURED,
    HAS_DATA,
    IN_MEMORY,
    LOOKS,
    NATIVE,
    parse_listing,
)
from lazyimport.packing.config import Config
from lazyimport.packing.interpreters import find_interpreters
from lazyimport.packing.roots import Packed, pack_roots
from tests.support.compare_importers import Files, from_archive, write_tree

TREE: Files = {
    "pkg/__init__.py": "import os\n",
    "pkg/a.py": "def f(x, y=(1, 2)):\n    return {x, y, 'constant'}\n",
    "pkg/same_as_a.py": "def f(x, y=(1, 2)):\n    return {x, y, 'constant'}\n",
    "pkg/sub/b.py": "from pkg.a import f\n\nclass B:\n    z = f'{f}'\n",
    "pkg/run.sh": "#!/bin/sh\n",
    "pkg/ünï.txt": "data\n",
    "mod.py": "x = {'a', 'b', 'c', 'd'}\nif x in {'k', 'l', 'm'}: pass\n",
}


def packed(
    roots: list[Path] | Path, cache: Path, config: Config | None = None
) -> Packed:
    folders = roots if isinstance(roots, list) else [roots]
    return pack_roots(
        [str(folder) for folder in folders],
        config or Config(),
        find_interpreters([]),
        NodeCache(str(cache)),
    )


def contents(archive: Archive) -> dict[str, bytes]:
    return {
        entry.path: bytes(archive.content(entry))
        for entry in archive.index.entries()
        if not entry.is_directory
    }


def test_archive_holds_the_tree(tmp_path: Path) -> None:
    tree = write_tree(TREE, tmp_path / "tree")
    os.chmod(tree / "pkg/run.sh", 0o755)

    result = packed(tree, tmp_path / "cache")
    archive = result.archive
    expected = {
        path: text.encode() if isinstance(text, str) else text
        for path, text in TREE.items()
    }

    assert contents(archive) == expected
    assert (result.modules, result.compiled, result.reused) == (5, 4, 1)
    top = archive.index.entry("")
    assert top is not None
    assert parse_listing(archive.content(top)) == [("mod.py", 0), ("pkg", 1)]
    shell, plain = archive.index.entry("pkg/run.sh"), archive.index.entry("mod.py")
    assert shell is not None
    assert plain is not None
    assert (shell.flags, plain.flags) == (1, 0)
    assert archive.hash == result.hash


PACK = (
    "import sys; from pathlib import Path; from tests.packing.test_roots import packed\n"
    "print(packed(Path(sys.argv[1]), Path(sys.argv[2])).hash)"
)


@pytest.mark.parametrize(
    "environ",
    [
        {"PYTHONHASHSEED": "1"},
        {"PYTHONHASHSEED": "2"},
        {"LC_ALL": "C"},
        {"LC_ALL": "C.UTF-8", "LANG": "de_DE"},
        {"TZ": "Asia/Tokyo"},
        {"PYTHONOPTIMIZE": "2"},
        {"PYTHONUTF8": "1"},
    ],
    ids=str,
)
def test_hash_depends_on_the_tree_alone(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    """Another process, hash seed, locale, umask, order of creation, time."""
    files = list(TREE.items())
    here = packed(write_tree(dict(files), tmp_path / "one"), tmp_path / "cache").hash
    random.Random(1).shuffle(files)
    before = os.umask(0o077)
    try:
        other = write_tree(dict(files), tmp_path / "far" / "other")
    finally:
        os.umask(before)
    os.utime(other / "mod.py", (1, 1))
    base = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))

    done = subprocess.run(
        [sys.executable, "-c", PACK, str(other), str(tmp_path / "other cache")],
        env={**os.environ, **environ, "PYTHONPATH": _with(base), "PYTHONSAFEPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.strip() == here, done.stderr


def _with(base: str) -> str:
    """The checkout comes last: for tests/, not for the package under test."""
    import lazyimport

    package = os.path.dirname(os.path.dirname(lazyimport.__file__))
    return os.pathsep.join([package, base])


def test_change_compiles_what_changed(tmp_path: Path) -> None:
    tree, cache = write_tree(TREE, tmp_path / "tree"), tmp_path / "cache"
    first = packed(tree, cache)
    (tree / "mod.py").write_text("x = 2\n")

    second = packed(tree, cache)
    again = packed(tree, cache)

    assert (second.compiled, second.reused) == (1, 4)
    assert (again.compiled, again.reused) == (0, 5)
    assert first.hash != second.hash == again.hash
    shutil.rmtree(cache)
    assert packed(tree, cache).hash == second.hash


def test_syntax_error_is_packed_with_a_warning_and_fails_as_a_file_would(
    tmp_path: Path,
) -> None:
    """It may be a template that nobody imports."""
    files = {"pkg/__init__.py": "", "pkg/template.py": "def {name}():\n    pass\n"}
    tree = write_tree(files, tmp_path / "tree")

    result = packed(tree, tmp_path / "cache")
    ran = from_archive(
        result.hash,
        tmp_path / "cache",
        "import pkg\ntry: import pkg.template\n"
        "except SyntaxError as e: print(e.filename[-15:], e.lineno, e.text)",
    )

    assert any("pkg/template.py:1" in warning for warning in result.warnings)
    assert ran.stdout.startswith("pkg/template.py 1 def {name}():")


def test_a_configured_package_that_is_not_there(tmp_path: Path) -> None:
    tree = write_tree({"shop/__init__.py": "", "tool.py": ""}, tmp_path / "tree")
    config = Config(materialize=("shop", "shop.data"), in_memory=("tool",))

    warnings = packed(tree, tmp_path / "cache", config).warnings

    assert [text.partition(",")[0] for text in warnings] == [
        "[tool.lazyimport] materialize names 'shop.data'",
        "[tool.lazyimport] in_memory names 'tool'",
    ]


def test_flags_of_packages(tmp_path: Path) -> None:
    """Which packages become files before they run, and why: format.md section 7."""
    tree = write_tree(
        {
            "pure/__init__.py": "x = 1\n",
            "pure/py.typed": "",
            "looks/__init__.py": "import os\n",
            "looks/deep/x.py": "p = __file__\n",
            "data/__init__.py": "",
            "data/t/words.txt": "a\n",
            "native/__init__.py": "",
            "native/lib.libs/libx.so.1": b"\x7fELF",
            "asked/__init__.py": "",
            "kept/__init__.py": "p = __path__\n",
            "x-1.dist-info/METADATA": "Name: x\n",
        },
        tmp_path / "tree",
    )
    config = Config(materialize=("asked",), in_memory=("kept",))

    archive = packed(tree, tmp_path / "cache", config).archive
    flags = {
        path: entry.flags
        for path in (
            "",
            "pure",
            "looks",
            "data",
            "native",
            "asked",
            "kept",
            "x-1.dist-info",
        )
        if (entry := archive.index.entry(path)) is not None
    }

    assert flags == {
        "": 0,
        "pure": 0,
        "looks": LOOKS,
        "data": HAS_DATA,
        "native": NATIVE,
        "asked": CONFIGURED,
        "kept": LOOKS | IN_MEMORY,
        "x-1.dist-info": 0,
    }


@pytest.mark.parametrize(
    ("specifier", "minors"),
    [
        (None, range(64)),
        (">=3.11", range(11, 64)),
        (">=3.10,<3.13,!=3.11.*", [10, 12]),
        ("~=3.12.4", [12]),
        (">3.9.5,<=3.10.2", [9, 10]),
    ],
)
def test_requires_python(
    tmp_path: Path, specifier: str | None, minors: list[int]
) -> None:
    tree = write_tree({"m.py": ""}, tmp_path / "tree")
    config = Config(requires_python=specifier)

    archive = packed(tree, tmp_path / "cache", config).archive

    assert archive.index.minors == sum(1 << minor for minor in minors)


def test_no_specifier_at_all(tmp_path: Path) -> None:
    tree = write_tree({"m.py": ""}, tmp_path / "tree")

    with pytest.raises(PackError, match="not a version"):
        packed(tree, tmp_path / "cache", Config(requires_python="not a version"))


def test_a_python_that_the_project_excludes(tmp_path: Path) -> None:
    """Nobody can use its bytecode, and the author may not know."""
    tree = write_tree({"a.py": ""}, tmp_path / "tree")
    minor = sys.version_info[1]

    config = Config(requires_python=f">=3.{minor + 1}")
    (warning,) = packed(tree, tmp_path / "cache", config).warnings
    assert warning.startswith(f"no Python 3.{minor} will run this: ")
    assert f"'>=3.{minor + 1}'" in warning

    config = Config(requires_python=f">=3.{minor}")
    assert () == packed(tree, tmp_path / "cache", config).warnings


def test_several_roots_and_single_modules(tmp_path: Path) -> None:
    one = write_tree({"a.py": "", "one/__init__.py": ""}, tmp_path / "one")
    module = write_tree({"b.py": "x = 1\n"}, tmp_path / "two") / "b.py"
    package = write_tree({"__init__.py": "", "c.py": ""}, tmp_path / "package")

    archive = packed([one, module, package], tmp_path / "cache").archive

    assert set(contents(archive)) == {
        "a.py",
        "one/__init__.py",
        "b.py",
        "package/__init__.py",
        "package/c.py",
    }


def test_killed_pack_leaves_the_cache_usable(tmp_path: Path) -> None:
    """The next writer removes what a dead one left, and never takes it for whole."""
    tree, cache = write_tree(TREE, tmp_path / "tree"), tmp_path / "cache"
    expected = packed(tree, tmp_path / "elsewhere").hash
    (cache / "archives").mkdir(parents=True, mode=0o700)
    cache.chmod(0o700)
    (cache / "archives" / f".{expected}.123-abcd.tmp").write_bytes(b"half")

    assert packed(tree, cache).hash == expected
    assert [path.name for path in (cache / "archives").iterdir()] == [expected]
