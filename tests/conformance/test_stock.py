"""CPython's own tests of importing, resources and metadata, with archives.

The tests come from the running interpreter. They are packed and imported from that
archive, and the directories that they make are turned into archives too (`stock.py`).
Each module also runs unchanged from the standard library; a test that fails or is
skipped there does not count.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from lazyimport.cache.node import NodeCache
from lazyimport.packing.config import Config
from lazyimport.packing.interpreters import find_interpreters
from lazyimport.packing.roots import pack_roots

#: test modules, under all names that they have had since Python 3.10
MODULES = [
    "test_importlib.resources.test_compatibilty_files",
    "test_importlib.resources.test_contents",
    "test_importlib.resources.test_custom",
    "test_importlib.resources.test_files",
    "test_importlib.resources.test_functional",
    "test_importlib.resources.test_open",
    "test_importlib.resources.test_path",
    "test_importlib.resources.test_read",
    "test_importlib.resources.test_reader",
    "test_importlib.resources.test_resource",
    "test_importlib.test_compatibilty_files",
    "test_importlib.test_contents",
    "test_importlib.test_files",
    "test_importlib.test_open",
    "test_importlib.test_path",
    "test_importlib.test_read",
    "test_importlib.test_reader",
    "test_importlib.test_resource",
    "test_importlib.metadata.test_api",
    "test_importlib.metadata.test_main",
    "test_importlib.test_main",
    "test_importlib.test_metadata_api",
    "test_importlib.test_lazy",
    "test_importlib.test_namespace_pkgs",
    "test_importlib.test_pkg_import",
    "test_importlib.test_spec",
    "test_importlib.test_threaded_import",
    "test_importlib.test_util",
    "test_inspect",
    "test_inspect.test_inspect",
    "test_linecache",
    "test_pkg",
    "test_pkgutil",
    "test_runpy",
]

#: the rest of Lib/test that they need
SUPPORT = [
    "__init__.py",
    "ann_module*.py",
    "inspect_*.py",
    "support",
    "test_import",
    "test_importlib",
    "test_inspect",
    "test_py_compile.py",
    "tokenizedata",
    "typinganndata",
]

#: from patterns of tests that cannot pass to the reason
EXCLUDED = {
    "*.MultiplexedPathTest.*": "looks at a namespace package's __path__ on the disk "
    "before any of its modules has run (docs/deviations.md)",
    "*.test_extend_path_pkg_files": "pkgutil reads *.pkg files from the disk only "
    "(docs/deviations.md)",
    "*.test_packages_distributions_symlinked_top_level": "the link leads to an empty "
    "directory (docs/deviations.md)",
    "*.test_package_import__semantics": "changes a module after it was imported",
    "*.FindSpecTests.test_find_submodule_parent_already_imported": "changes a "
    "directory after it was looked at",
    "*_FindSpecTests.test_find_submodule_parent_already_imported": "the same",
    "*.PkgutilTests.test_name_resolution": "the same",
    "*.test_run_module_filter_syntax_warnings_by_module": "wants the source compiled "
    "again, but the archive has bytecode",
    "*.test_run_package_init_exceptions": "changes a package after it was run",
    "*.test_runpy.RunModuleTestCase.test_run_*": "asks for the class of the loader, "
    "and removes the source to run again from a .pyc",
    "*.test_runpy.RunModuleTestCase.test_*_relative_import": "the same",
    "*.test_runpy.RunModuleTestCase.test_pkgutil_walk_packages": "asks for the class "
    "of the finder",
    "*.test_runpy.RunPathTestCase.test_directory*": "asks for the class of the loader",
    "*.test_pkgutil.ExtendPathTests.test_iter_importers": "asks for the class of the "
    "finder",
    "*.TestRetrievingSourceCode.test_getsource_empty_file": "linecache knows the "
    "installed archive only, not those of stock.py; see test_like_a_directory.py",
    "*.TestReload.test_getsource_reload": "changes a module after it was imported",
}


def library() -> Path | None:
    """Return Lib/test of the running Python, or None if it came without its tests."""
    try:
        spec = importlib.util.find_spec("test.test_importlib")
    except ModuleNotFoundError:
        return None
    return Path(spec.origin).parents[1] if spec and spec.origin else None


def exists(module: str) -> bool:
    """Whether the running Python has the test module."""
    path = library()
    return (
        path is not None
        and path.joinpath(*module.split(".")).with_suffix(".py").is_file()
    )


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A node cache and the hash of the archive of CPython's tests in it."""
    source = library()
    if source is None:
        pytest.skip("this Python came without its tests")
    base = tmp_path_factory.mktemp("stock")
    tests = base / "site" / "test"
    tests.mkdir(parents=True)
    plain = [f"{name}.py" for name in MODULES if "." not in name]
    for pattern in SUPPORT + plain:
        for path in source.glob(pattern):
            if path.is_dir():
                shutil.copytree(path, tests / path.name)
            else:
                shutil.copy(path, tests)
    cache = base / "cache"
    packed = pack_roots(
        [str(base / "site")],
        Config(include=("test/",)),
        find_interpreters([]),
        NodeCache(str(cache)),
    )
    return cache, packed.hash


def run(module: str, folder: Path, cache: Path, hash: str | None) -> dict[str, str]:
    """Run a test module in a child process and return the outcome of each test."""
    base = folder / ("archive" if hash else "stock")
    (base / "tmp").mkdir(parents=True)
    (base / "cwd").mkdir()
    out = folder / "out"
    job = {
        "module": f"test.{module}",
        "out": str(out),
        "hash": hash,
        "cache": str(cache),
        "base": str(base),
        "exclude": sorted(EXCLUDED) if hash else [],
    }
    environ = {n: v for n, v in os.environ.items() if n[:11] != "LAZYIMPORT_"}
    environ |= {"TMPDIR": str(base / "tmp"), "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("stock.py")), json.dumps(job)],
        cwd=base / "cwd",
        env=environ,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ends: dict[str, str] = json.loads(out.read_text())
    return ends


@pytest.mark.parametrize("module", MODULES)
def test_like_a_directory(
    module: str,
    archive: tuple[Path, str],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """Every test that passes on a directory passes on an archive, unless excluded."""
    if not exists(module):
        pytest.skip("this Python has no such test module")
    cache, hash_ = archive

    stock = run(module, tmp_path, cache, None)
    ours = run(module, tmp_path, cache, hash_)

    counting = [name for name, end in stock.items() if end == "ok"]
    excluded = {n for n in counting if any(fnmatchcase(n, p) for p in EXCLUDED)}
    passed = [name for name in counting if ours.get(name) == "ok"]
    # Not record_property, which warns when a JUnit file is written.
    request.node.user_properties += [
        ("passed", len(passed)),
        ("excluded", len(excluded)),
        ("uncounted", len(stock) - len(counting)),
    ]
    failed = [name for name in counting if name not in {*passed, *excluded}]
    assert not failed, "\n".join(f"{name}: {ours.get(name)}" for name in failed)
