"""install, uninstall, current: what they change in the interpreter, and undo."""

from __future__ import annotations

import errno
import gc
import importlib
import importlib.machinery
import importlib.metadata
import os
import pickle
import signal
import subprocess
import sys
import threading
import types
import weakref
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import lazyimport
from lazyimport import runtime
from lazyimport.errors import (
    ArchiveImportError,
    ArchiveModuleMissing,
    ArchiveReadError,
    InstallError,
    SettingsError,
    WrongPython,
)
from lazyimport.format.archive import Archive
from lazyimport.packing.config import Config
from tests.support.compare_importers import (
    Files,
    from_archive,
    pack_tree,
    told,
    write_tree,
)

TREE: Files = {
    "shipped/__init__.py": "where = __name__\n",
    "shipped/inner.py": "import shipped\n",
    "shipped/looks.py": "import os\nhere = os.path.dirname(__file__)\n",
    "pytest/__init__.py": "impostor = True\n",
    "quiet/__init__.py": "",
    "quiet/plain.py": "x = 1\n",
    "quiet/boom.py": "def boom():\n    raise KeyError('boom')\n",
}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def packed(tmp_path: Path, cache: Path) -> str:
    """The hash of TREE, which is in the cache."""
    return pack_tree(write_tree(TREE, tmp_path / "tree"), cache)


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Leave the import state and the environment as they were."""
    modules, environ = dict(sys.modules), dict(os.environ)
    yield
    lazyimport.uninstall()
    for name in set(sys.modules) - set(modules):
        if name.partition(".")[0] in {"shipped", "quiet"}:
            del sys.modules[name]
    os.environ.clear()
    os.environ.update(environ)


def hooks() -> list[object]:
    return [
        sys.excepthook,
        sys.__excepthook__,
        threading.excepthook,
        threading.__excepthook__,
        sys.unraisablehook,
        sys.__unraisablehook__,
    ]


def state() -> tuple[object, ...]:
    return (
        list(sys.meta_path),
        list(sys.path),
        list(sys.path_hooks),
        *hooks(),
        os.stat,
        os.listdir,
        open,
        {k: v for k, v in os.environ.items() if k.startswith("LAZYIMPORT_")},
    )


def test_install_and_uninstall_leave_no_trace(packed: str, cache: Path) -> None:
    before = state()

    handle = lazyimport.install(packed, cache_dir=str(cache))
    same = [one for one in state() if one in before]
    assert len(same) == 4 * (sys.version_info >= (3, 13)) + 2 * (
        sys.version_info >= (3, 15)
    )
    quiet = importlib.import_module("quiet.plain")

    assert quiet.x == 1
    assert lazyimport.current() is handle
    assert quiet.__file__ == f"{handle.root}/quiet/plain.py"
    assert handle.root == f"{cache}/trees/{packed}"

    lazyimport.uninstall()
    lazyimport.uninstall()

    assert state() == before
    assert lazyimport.current() is None
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("quiet.boom")


class Closed(types.ModuleType):
    """A module that lets nobody change it."""

    error: type[BaseException] = AttributeError
    stat: object

    def __setattr__(self, name: str, value: object) -> None:
        raise self.error(name)


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> Closed:
    """A module that has taken a function which `install` replaces."""
    module = Closed("closed")
    vars(module)["stat"] = os.stat
    monkeypatch.setitem(sys.modules, "closed", module)
    return module


def test_what_cannot_be_changed_stays(closed: Closed, packed: str, cache: Path) -> None:
    before = closed.stat

    with lazyimport.install(packed, cache_dir=str(cache)):
        assert closed.stat is before is not os.stat

    assert closed.stat is before is os.stat


def test_install_that_fails_leaves_no_trace(
    closed: Closed, packed: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At any step: Ctrl-C, no memory."""
    before = state()
    monkeypatch.setattr(Closed, "error", KeyboardInterrupt)

    with pytest.raises(KeyboardInterrupt):
        lazyimport.install(packed, cache_dir=str(cache))

    assert state() == before
    assert lazyimport.current() is None


@pytest.mark.parametrize("entry", [Path("/nowhere"), b"/nowhere"], ids=repr)
def test_sys_path_may_hold_what_is_no_text(
    packed: str, cache: Path, monkeypatch: pytest.MonkeyPatch, entry: object
) -> None:
    """Python ignores it, or finds nothing there."""
    monkeypatch.setattr(sys, "path", [entry, *sys.path])
    before = state()

    with lazyimport.install(packed, cache_dir=str(cache)):
        assert importlib.import_module("quiet.plain").x == 1
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("quiet.nothing")

    assert state() == before


def test_pickled_loader_loads_where_its_archive_is_installed(
    packed: str, cache: Path
) -> None:
    with lazyimport.install(packed, cache_dir=str(cache)):
        loader: Any = importlib.import_module("quiet.plain").__loader__
        pickled = pickle.dumps(loader)
        assert pickle.loads(pickled).get_source() == "x = 1\n"

    detached = pickle.loads(pickled)
    assert detached == loader
    assert detached.get_filename() == loader.path
    with pytest.raises(ArchiveImportError, match="is not installed in this process"):
        detached.get_source()
    with lazyimport.install(packed, cache_dir=str(cache)):
        assert pickle.loads(pickle.dumps(detached)).get_source() == "x = 1\n"


def test_nothing_keeps_a_tree_after_uninstall(tmp_path: Path, cache: Path) -> None:
    """Its archive could not be evicted. Its metadata was read, too."""
    folder = tmp_path / "tree"
    write_tree(
        {"quiet.py": "x = 1\n", "quiet-1.dist-info/RECORD": "quiet.py,,\n"}, folder
    )
    write_tree({"quiet-1.dist-info/METADATA": "Name: quiet\nVersion: 1\n"}, folder)
    with lazyimport.install(pack_tree(folder, cache), cache_dir=str(cache)) as handle:
        tree = weakref.ref(handle.tree)
        found = importlib.metadata.distribution("quiet")
        assert str(found.locate_file("quiet.py")).startswith(handle.root)

    del handle, found
    gc.collect()

    assert tree() is None


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_fork_while_another_thread_installs(packed: str, cache: Path) -> None:
    """The thread is not in the child, and so cannot release the lock there."""
    inside, done = threading.Event(), threading.Event()

    def hold() -> None:
        with runtime.process.lock:
            inside.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait(60)
    child = os.fork()
    if not child:
        signal.alarm(60)
        lazyimport.install(packed, cache_dir=str(cache))
        os._exit(0)
    done.set()
    thread.join()

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_handle_is_a_context_manager(packed: str, cache: Path) -> None:
    before = state()

    with lazyimport.install(packed, cache_dir=str(cache)) as handle:
        assert lazyimport.current() is handle

    assert state() == before


def test_installing_the_same_hash_again_changes_nothing(
    packed: str, cache: Path
) -> None:
    first = lazyimport.install(packed, cache_dir=str(cache))
    after_first = state()

    again = lazyimport.install(packed.upper(), cache_dir=str(cache))

    assert again is first
    assert state() == after_first


def test_another_hash_is_refused_and_both_are_named(
    packed: str, cache: Path, tmp_path: Path
) -> None:
    other = pack_tree(write_tree({"shipped.py": "x = 2\n"}, tmp_path / "b"), cache)
    lazyimport.install(packed, cache_dir=str(cache))

    with pytest.raises(InstallError) as caught:
        lazyimport.install(other, cache_dir=str(cache))

    assert packed in str(caught.value)
    assert other in str(caught.value)


def test_modules_of_two_versions_never_meet(
    packed: str, cache: Path, tmp_path: Path
) -> None:
    """Also after uninstall(): what was imported would stay, and be stale."""
    other = pack_tree(write_tree({"shipped.py": "x = 2\n"}, tmp_path / "b"), cache)
    with lazyimport.install(packed, cache_dir=str(cache)):
        importlib.import_module("shipped.inner")

    with pytest.raises(InstallError, match=r"shipped, shipped\.inner, 2 in all"):
        lazyimport.install(other, cache_dir=str(cache))


def test_position_on_meta_path_and_path(packed: str, cache: Path) -> None:
    """Before the interpreter's own finders; no archive has names that they know."""
    from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder

    before: list[object] = [*sys.meta_path]
    own = before.index(PathFinder)
    assert before[own - 2 : own] == [BuiltinImporter, FrozenImporter]

    handle = lazyimport.install(packed, cache_dir=str(cache))
    order = [
        getattr(finder, "__name__", type(finder).__name__) for finder in sys.meta_path
    ]

    assert order.index("ArchiveFinder") == order.index(PathFinder.__name__) - 3
    site = next(n for n, path in enumerate(sys.path) if path.endswith("site-packages"))
    assert sys.path.index(handle.root) == site - 1


def test_settings_come_from_the_environment(
    packed: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAZYIMPORT_HASH", packed)
    monkeypatch.setenv("LAZYIMPORT_CACHE_DIR", str(cache))

    assert lazyimport.install().hash == packed


def test_children_find_the_settings_in_their_environment(
    packed: str, cache: Path
) -> None:
    lazyimport.install(packed, cache_dir=str(cache), policy="path")

    assert os.environ["LAZYIMPORT_HASH"] == packed
    assert os.environ["LAZYIMPORT_CACHE_DIR"] == str(cache)
    assert os.environ["LAZYIMPORT_POLICY"] == "path"


@pytest.mark.parametrize("value", ["", "4be8", "x" * 64, "4be8…", "../../etc"])
def test_malformed_hash(value: str, cache: Path) -> None:
    with pytest.raises(SettingsError, match=r"LAZYIMPORT_HASH"):
        lazyimport.install(value, cache_dir=str(cache))


def test_wrong_python(cache: Path, tmp_path: Path) -> None:
    """The message names the requires-python of the packed project."""
    folder = write_tree({"m.py": "x = 1\n"}, tmp_path / "tree")
    hash_ = pack_tree(folder, cache, Config(requires_python=">=3.40"))

    with pytest.raises(WrongPython, match=r">=3\.40") as caught:
        lazyimport.install(hash_, cache_dir=str(cache))

    assert sys.version.split()[0] in str(caught.value)
    assert hash_ in str(caught.value)


def test_archive_wins_over_what_is_installed(packed: str, cache: Path) -> None:
    result = from_archive(packed, cache, "import pytest; print(pytest.impostor)")

    assert result == ("True\n", "", 0)


def test_policy_path_is_the_order_of_sys_path(packed: str, cache: Path) -> None:
    """Entries before the archive's win over it, and it wins over site-packages."""
    program = f"""
        import lazyimport, sys
        lazyimport.install({packed!r}, cache_dir={str(cache)!r}, policy="path")
        import pytest, shipped, shipped.inner
        print(pytest.impostor, shipped.where)
        del sys.modules["pytest"]
        sys.path.remove(lazyimport.current().root)
        sys.path.append(lazyimport.current().root)
        import pytest
        print(hasattr(pytest, "impostor"))
        """

    done = subprocess.run(
        [sys.executable, "-c", dedent(program)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout, done.stderr) == ("True shipped\nFalse\n", "")


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("import shipped.inne", ["shipped.inner"]),
        ("import quit", ["quiet", "nor is it installed"]),
        ("from quiet import plai", []),
        ("import quiet.dropped", ["quiet/dropped.py", ".gitignore:1: dropped.py"]),
    ],
)
def test_missing_module(
    statement: str, says: list[str], cache: Path, tmp_path: Path
) -> None:
    """The message names the hash, near names, and the rule that dropped it."""
    files = {**TREE, "quiet/dropped.py": "", ".gitignore": "dropped.py\n"}
    hash_ = pack_tree(write_tree(files, tmp_path / "tree"), cache)
    lazyimport.install(hash_, cache_dir=str(cache))

    with pytest.raises(ImportError) as caught:
        exec(statement, {})

    for text in says:
        assert text in told(caught.value)
    if says:
        assert hash_ in told(caught.value)
        assert isinstance(caught.value, ArchiveModuleMissing)
        assert caught.value.name == statement.rsplit(maxsplit=1)[-1]


def test_finders_behind_are_asked_before_a_module_is_said_to_miss(
    packed: str, cache: Path
) -> None:
    """six puts one there, as does pandas with it: the reason must show all the same."""

    class Late:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> object:
            if name == "late_and_found":
                return importlib.machinery.ModuleSpec(name, None, is_package=True)
            return None

    with lazyimport.install(packed, cache_dir=str(cache)):
        sys.meta_path.append(Late)  # type: ignore[arg-type]
        try:
            with pytest.raises(ModuleNotFoundError) as caught:
                importlib.import_module("late_and_missing")
            importlib.import_module("late_and_found")
        finally:
            sys.meta_path.remove(Late)  # type: ignore[arg-type]
            sys.modules.pop("late_and_found", None)

    assert packed in told(caught.value)


def test_asking_for_a_missing_module_is_no_error(packed: str, cache: Path) -> None:
    import importlib.util

    lazyimport.install(packed, cache_dir=str(cache))

    assert importlib.util.find_spec("nothing_like_it") is None
    assert importlib.util.find_spec("shipped.nothing") is None


@pytest.mark.parametrize("part", [b"quiet/boom.py", b"KeyError"], ids=str)
def test_damaged_archive_is_an_import_error_that_names_it(
    packed: str, cache: Path, part: bytes
) -> None:
    """A flipped bit, in the index or in a module's bytecode, is never run."""
    path = cache / "archives" / packed
    data = bytearray(path.read_bytes())
    at = data.index(part)
    data[at] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)

    result = from_archive(
        packed,
        cache,
        "try: import quiet.boom\nexcept ImportError as error: print(error.name, error)",
    )

    assert "'quiet" in result.stdout or "'quiet" in result.stderr, result
    assert packed in result.stdout
    assert "damaged" in result.stdout


def test_reading_what_is_damaged_fails_as_reading_a_bad_disk_does(
    packed: str, cache: Path
) -> None:
    """The machinery and libraries expect ImportError and OSError, and nothing else."""
    path = cache / "archives" / packed
    data = bytearray(path.read_bytes())
    archive = Archive(bytes(data), packed)
    entry = archive.index.entry("quiet/plain.py")
    assert entry is not None
    data[archive.header.members_at + archive.stored(entry.slot)[0]] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)

    with lazyimport.install(packed, cache_dir=str(cache)):
        loader: Any = importlib.import_module("quiet.plain").__loader__
        with pytest.raises(ArchiveImportError, match="read the source of") as source:
            loader.get_source()
        with pytest.raises(ArchiveReadError, match="damaged") as raw:
            loader.get_data(loader.path)

    assert (source.value.name, source.value.path) == ("quiet.plain", loader.path)
    assert (raw.value.errno, raw.value.filename) == (errno.EIO, loader.path)
    assert packed in str(source.value)
    assert packed in str(raw.value)


def test_what_opens_an_archive_is_not_looked_for_in_it(
    packed: str, cache: Path, tmp_path: Path
) -> None:
    """Nothing is loaded together where bytecode lies elsewhere: finders are asked."""
    done = from_archive(
        packed,
        cache,
        "import sys; sys.path.insert(0, lazyimport.current().root + '/quiet')\n"
        "import json.tool, plain; print(plain.x)",
        PYTHONPYCACHEPREFIX=str(tmp_path / "elsewhere"),
    )
    assert (done.stderr, done.stdout) == ("", "1\n")


@pytest.mark.parametrize("at", [0, 50, 170], ids=["magic", "header", "root"])
def test_what_is_damaged_before_anybody_looks_is_as_a_bad_disk(
    packed: str, cache: Path, at: int
) -> None:
    """Its beginning was sound when it was installed; what lies elsewhere works."""
    path = cache / "archives" / packed
    status = path.stat()
    path.chmod(0o600)
    with lazyimport.install(packed, cache_dir=str(cache)) as installation:
        root = installation.root
        with path.open("r+b") as file:
            file.seek(at)
            file.write(b"\0\1\2\3")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

        with pytest.raises(ArchiveReadError, match=packed):
            os.stat(f"{root}/quiet/plain.py")
        assert not os.path.exists(f"{root}/quiet")
        with pytest.raises(ArchiveImportError, match=packed) as missing:
            importlib.import_module("quiet")
        assert missing.value.name == "quiet"
        # as the standard library does for what another system has
        assert importlib.machinery.PathFinder.find_spec("msvcrt") is None
        with pytest.raises(ArchiveReadError, match=packed):
            list(importlib.metadata.distributions())
    assert root not in sys.path_importer_cache


def test_install_while_another_thread_imports_what_we_patch(
    packed: str, cache: Path
) -> None:
    """A module that is half executed has nothing yet that could be patched."""
    program = """
        import sys, threading, time
        for name in ("linecache", "traceback", "inspect"):
            sys.modules.pop(name, None)
        begun = threading.Event()
        class Slow:
            @staticmethod
            def find_spec(name, path=None, target=None):
                if name != "linecache": return None
                sys.meta_path.remove(Slow)
                import importlib.util
                spec = importlib.util.find_spec(name)
                run = spec.loader.exec_module
                def exec_module(module):
                    begun.set()
                    time.sleep(0.3)
                    run(module)
                spec.loader.exec_module = exec_module
                return spec
        sys.meta_path.insert(0, Slow)
        thread = threading.Thread(target=__import__, args=("linecache",))
        thread.start()
        begun.wait()
        assert "linecache" in sys.modules
    """
    installs = f"lazyimport.install({packed!r}, cache_dir={str(cache)!r})"
    reads = """
        thread.join()
        import linecache, quiet.boom
        print(linecache.getline(quiet.boom.__file__, 1))
    """
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import lazyimport\n{dedent(program)}\n{installs}\n{dedent(reads)}",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.stdout, done.stderr) == ("def boom():\n\n", "")


def test_pure_package_leaves_no_file(packed: str, cache: Path) -> None:
    """Unless somebody looks, or the interpreter prints its source."""

    def written() -> set[Path]:
        return {path for path in (cache / "trees").rglob("*") if path.is_file()}

    before = written()
    from_archive(packed, cache, "import quiet.plain")
    assert written() <= before


def test_package_that_looks_at_files_finds_them(packed: str, cache: Path) -> None:
    result = from_archive(
        packed,
        cache,
        "import shipped.looks as l, os; print(sorted(os.listdir(l.here)))",
    )

    assert result.stdout == "['__init__.py', 'inner.py', 'looks.py']\n"


def test_what_install_loads(packed: str, cache: Path) -> None:
    """A start imports our modules, and few small ones of the standard library."""
    program = f"""
        import sys
        before = set(sys.modules)
        import lazyimport
        lazyimport.install({packed!r}, cache_dir={str(cache)!r})
        import quiet.plain
        print(*sorted(set(sys.modules) - before), sep="\\n")
        """
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _path_prelude() + dedent(program)],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    foreign = {name for name in loaded if not name.startswith(("lazyimport", "quiet"))}

    assert foreign <= ALLOWED, foreign - ALLOWED
    assert loaded.isdisjoint(NOT_FOR_A_WARM_START)


def test_what_install_loads_before_anything_is_imported(
    packed: str, cache: Path
) -> None:
    """Nothing that reads more of an archive than its beginning."""
    program = f"""
        import sys
        import lazyimport
        lazyimport.install({packed!r}, cache_dir={str(cache)!r})
        import decimal, json
        print(*(name for name in sys.modules if name.startswith("lazyimport")))
        """
    done = subprocess.run(
        [sys.executable, "-I", "-c", _path_prelude() + dedent(program)],
        capture_output=True,
        text=True,
        check=True,
    )

    loaded = set(done.stdout.split())
    assert loaded.isdisjoint(NOT_FOR_A_WARM_START | NOT_BEFORE_A_LOOKUP)


def test_what_loads_where_a_package_is_on_disk(packed: str, cache: Path) -> None:
    program = "import shipped.looks, sys; print(*(n for n in sys.modules if 'lazyimport' in n))"
    from_archive(packed, cache, program)

    loaded = set(from_archive(packed, cache, program).stdout.split())

    assert "lazyimport.cache.materialize" in loaded
    needed = {"lazyimport.cache.materialize", "lazyimport.regular"}
    assert loaded.isdisjoint({*NOT_FOR_A_WARM_START} - needed)


#: Everything else would cost more than opening an archive does.
ALLOWED = {
    "__future__",
    "_abc",
    "_collections_abc",
    "_hashlib",
    "_stat",
    "_struct",
    "_weakrefset",
    "abc",
    "errno",  # by os, from Python 3.15 on
    "fcntl",
    "gc",
    "genericpath",
    "mmap",
    "os",
    "os.path",
    "posixpath",
    "stat",
    "struct",
    "time",
    "zlib",
}


#: What a start does without when the archive is here and nothing goes wrong.
NOT_FOR_A_WARM_START = {
    "lazyimport.cache.marker",
    "lazyimport.cache.materialize",
    "lazyimport.cache.node",
    "lazyimport.cache.putting",
    "lazyimport.cache.refusal",
    "lazyimport.cache.seals",
    "lazyimport.cache.walks",
    "lazyimport.errors",
    "lazyimport.files",
    "lazyimport.format.codec",
    "lazyimport.format.folders",
    "lazyimport.format.pages",
    "lazyimport.importing.appearing",
    "lazyimport.importing.collector",
    "lazyimport.importing.path_finder",
    "lazyimport.importing.pickled",
    "lazyimport.installed",
    "lazyimport.regular",
    "lazyimport.reporting",
    "lazyimport.tracing",
    "lazyimport.units",
}

#: What it does without until somebody looks for what may be in the archive.
NOT_BEFORE_A_LOOKUP = {
    "lazyimport.format.archive",
    "lazyimport.format.entries",
    "lazyimport.format.index",
    "lazyimport.format.sections",
    "lazyimport.importing.loader",
    "lazyimport.importing.specs",
    "lazyimport.importing.tree",
    "lazyimport.trees",
}


def _path_prelude() -> str:
    folder = os.path.dirname(os.path.dirname(lazyimport.__file__))
    return f"import sys; sys.path.append({folder!r})\n"
