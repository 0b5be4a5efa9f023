"""Looks: the functions that notice them pass for those of the system."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from lazyimport.cache.layout import SHARED
from lazyimport.importing.looking import look_at_mentioned
from lazyimport.importing.looks import Looks
from tests.support.compare_importers import (
    Outcome,
    from_archive,
    from_directory,
    pack_tree,
    write_tree,
)

GO_ON = '#!/bin/sh\ncd "$(dirname "$0")/.." && cat pure/code.py top.txt\n'
TREE = {
    "app/__init__.py": "",
    "app/other.py": "x = 1\n",
    "app/plugin.py": "x = __name__\n",
    "beside/text.txt": "text\n",
    "go/on": GO_ON,
    "lone/text.txt": "lone\n",
    "loop/text.txt": "loop\n",
    "other/text.txt": "other\n",
    "executed/text.txt": "executed\n",
    "pure/code.py": "x = 2\n",
    "scripts/on": GO_ON,
    "top.txt": "top\n",
}

#: what a program may ask of the functions, and how
PROGRAMS = {
    "names": """
        import io, os
        for function in (os.stat, os.listdir, os.rename, os.chdir, open, io.open_code):
            print(function, function.__name__, function.__qualname__, function.__doc__)
            print(function.__module__, callable(function))
        """,
    "signatures": """
        import inspect, io, os
        for function in (os.stat, os.open, os.rename, open):
            print(inspect.signature(function), inspect.isbuiltin(function))
            print(inspect.getfullargspec(function), inspect.isroutine(function))
        """,
    "pickle": """
        import copy, io, os, pickle
        for function in (os.stat, os.open, os.rename, open, io.open):
            print(pickle.loads(pickle.dumps(function)) is function)
            print(copy.deepcopy(function) is function, copy.copy(function) is function)
        """,
    "attribute of a class": """
        import os
        class Accessor:
            stat = os.stat
            open = open
        print(Accessor().stat("/").st_ino > 0, Accessor().open("/dev/null").read() == "")
        """,
    "abilities": """
        import os
        print([f in os.supports_dir_fd for f in (os.stat, os.open, os.unlink, os.mkdir)])
        print(os.stat in os.supports_follow_symlinks, os.scandir in os.supports_fd)
        """,
    "types": """
        import os, types
        print(isinstance(os.stat, types.BuiltinFunctionType), os.stat == os.stat)
        print(len({os.stat, os.lstat, os.stat}))
        """,
    "wrong arguments": """
        import os
        for call in (lambda: os.stat(), lambda: os.stat(1.5), lambda: os.listdir(b"\\0")):
            try: call()
            except (TypeError, ValueError) as error: print(type(error), error)
        """,
    "patched by a test": """
        import os
        from unittest import mock
        with mock.patch("os.stat", return_value=5): print(os.stat("/"))
        print(os.stat("/").st_ino > 0)
        """,
    "threads": """
        import os, app
        from concurrent.futures import ThreadPoolExecutor
        paths = [os.path.join(app.__path__[0], name) for name in ("other.py", "none")] * 50
        with ThreadPoolExecutor(8) as pool: print(sum(pool.map(os.path.exists, paths)))
        """,
    "fork": """
        import os, app
        if not os.fork():
            os._exit(not os.path.exists(app.__path__[0] + "/../top.txt"))
        print(os.wait()[1])
        """,
    "loaded by its path": """
        import app, importlib.util
        path = app.__path__[0] + "/plugin.py"
        spec = importlib.util.spec_from_file_location("by_path", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        print(module.x, module.__file__, type(spec.loader))
        """,
    "children in a directory": """
        import app, os, subprocess
        def said(*command, **where):
            return subprocess.run(command, capture_output=True, **where)
        print(said("cat", "../beside/text.txt", cwd=app.__path__[0]))
        print(said("cat", "none", "--", "../none", cwd="/"))
        os.chdir(app.__path__[0])
        print(said("sh", "-c", "cat ../top.txt; ls ../other"), said("ls", cwd="../other"))
        print(os.system("test -f ../lone/text.txt"))
        """,
    "a program that goes on from where it lies": """
        import app, os, subprocess
        root = os.path.dirname(app.__path__[0])
        print(subprocess.run([root + "/go/on"], capture_output=True))
        """,
    "a script without a mode that goes on": """
        import app, os, subprocess
        root = os.path.dirname(app.__path__[0])
        print(subprocess.run(["sh", root + "/scripts/on"], capture_output=True))
        """,
    "a folder of programs on the path": """
        import app, os
        root = os.path.dirname(app.__path__[0])
        os.environ["PATH"] += os.pathsep + root + "/go"
        print(os.system("on"))
        """,
    "what children inherit": """
        import app, asyncio, os, subprocess, sys
        root = os.path.dirname(app.__path__[0])
        def inherit(name):
            os.environ["HERE"] = root + "/" + name
            return 'cat "$HERE"/text.txt'
        print(subprocess.run(inherit("other"), shell=True).returncode)
        print(subprocess.run(["sh", "-c", inherit("beside")], close_fds=False, cwd="/").returncode)
        print(os.system(inherit("lone")))
        async def read():
            child = await asyncio.create_subprocess_shell(inherit("loop"))
            print(await child.wait())
        asyncio.run(read())
        sys.stdout.flush()
        command = inherit("executed")
        if not os.fork(): os.execv("/bin/sh", ["sh", "-c", command])
        print(os.wait()[1])
        """,
    "a variable that another thread removes meanwhile": """
        import app, os, subprocess
        class Environ(type(os.environ)):
            def __iter__(self): yield from [*super().__iter__(), "REMOVED"]
        os.environ.__class__ = Environ
        print(subprocess.run(["true"]).returncode, os.system("true"))
        """,
    "where Pythons without site look": """
        import app, os, subprocess, sys
        os.environ["PYTHONPATH"] = os.path.dirname(app.__path__[0])
        print(subprocess.run([sys.executable, "-S", "-c", "import pure.code; print(pure.code.x)"]).returncode)
        """,
    "a child of another event loop": """
        import app, asyncio, posix
        class Loop(asyncio.SelectorEventLoop):
            async def subprocess_exec(self, protocol, *command, **_):
                print([posix.access(each, posix.F_OK) for each in command[1:]])
                raise SystemExit
        start = asyncio.create_subprocess_exec
        print(asyncio.iscoroutinefunction(start), start is asyncio.subprocess.create_subprocess_exec)
        Loop().run_until_complete(start("cat", app.__path__[0] + "/../loop/text.txt"))
        """,
    "a path that is compared with nothing": """
        import app, os
        class Path(os.PathLike):
            def __fspath__(self): return app.__path__[0] + "/other.py"
            def __eq__(self, other): raise NotImplementedError
        print(os.path.realpath(Path()))
        """,
    "resolved": """
        import app
        from pathlib import Path
        base = Path(app.__file__).resolve().parent.parent
        print((base / "beside" / "text.txt").read_text(), sorted(p.name for p in base.iterdir()))
        """,
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """The tree as a directory, a cache, and the hash of the tree in there."""
    base = tmp_path_factory.mktemp("looks")
    folder = write_tree(TREE, base / "site")
    (folder / "go/on").chmod(0o755)
    return folder, base / "cache", pack_tree(folder, base / "cache")


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_no_difference(tree: tuple[Path, Path, str], program: str) -> None:
    folder, cache, hash_ = tree
    flags = ["-W", "ignore"]

    directory = from_directory(folder, dedent(program), flags)

    assert directory.status == 0, directory.stderr
    shutil.rmtree(cache / "trees", ignore_errors=True)  # nobody has looked before
    assert from_archive(hash_, cache, dedent(program), flags) == directory


def run(program: str) -> Outcome:
    done = subprocess.run(
        [sys.executable, "-c", dedent(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    return Outcome(done.stdout, done.stderr, done.returncode)


def test_a_package_that_is_on_disk_is_not_put_there_again(tmp_path: Path) -> None:
    """What puts files there is not even loaded, and looks are noted all the same."""
    files = {"app/__init__.py": "", "app/data.txt": "", "app/more/text.txt": ""}
    cache = tmp_path / "cache"
    hash_ = pack_tree(write_tree(files, tmp_path / "site"), cache)
    program = f"""
        import lazyimport, os, sys
        lazyimport.install({hash_!r}, cache_dir={str(cache)!r})
        import app
        here = app.__path__[0]
        print(os.path.isfile(here + "/data.txt"), os.listdir(here + "/more"))
        print(sorted(lazyimport.stats().looked), "lazyimport.files" in sys.modules)
        """
    said = "True ['text.txt']\n['app/data.txt', 'app/more'] {}\n"

    assert run(program) == Outcome(said.format(True), "", 0)
    assert run(program) == Outcome(said.format(False), "", 0)


@pytest.mark.parametrize(
    ("look", "finds"),
    [
        ("open(path)", True),
        ("os.stat(path)", True),
        ("os.listdir(os.path.dirname(path))[0]", True),
        ("subprocess.run(['cat', path], check=True)", True),
        ("io.FileIO(path)", False),
    ],
)
def test_what_somebody_removed_comes_back_when_code_looks(
    tmp_path: Path, look: str, finds: bool
) -> None:
    """C code does not tell, and an import looks at no more than 64 directories."""
    files = {f"app/deep/{number:03}/text.txt": "" for number in range(100)}
    tree = write_tree({"app/__init__.py": "", **files}, tmp_path / "site")
    cache = tmp_path / "cache"
    hash_ = pack_tree(tree, cache)
    program = f"""
        import io, os, subprocess, app
        path = app.__path__[0] + "/deep/099/text.txt"
        try: {look}
        except (IndexError, OSError): print("not there")
        """
    from_archive(hash_, cache, "import app")
    (cache / "trees" / hash_ / "app/deep/099/text.txt").unlink()

    done = from_archive(hash_, cache, dedent(program))

    assert done == Outcome("" if finds else "not there\n", "", 0)


def test_uninstall_takes_everything_back(tree: tuple[Path, Path, str]) -> None:
    """Also from whoever took a function before, and from whoever did meanwhile."""
    _, cache, hash_ = tree
    program = f"""
        import builtins, io, os, types
        from os import stat
        real = (os.stat, os.listdir, builtins.open, io.open, os.supports_dir_fd.copy())
        import lazyimport
        for _ in range(2):
            with lazyimport.install({hash_!r}, cache_dir={str(cache)!r}) as handle:
                print(stat is os.stat, os.stat is real[0], builtins.open is io.open)
                print(os.path.exists(handle.root + "/top.txt"))
                from os import lstat
        again = (os.stat, os.listdir, builtins.open, io.open, os.supports_dir_fd.copy())
        print(again == real, stat is os.stat, lstat is os.lstat)
        """
    inside = "True False True\nTrue\n"

    assert run(program) == (f"{inside * 2}True True True\n", "", 0)


def test_what_is_removed_stays_removed(tree: tuple[Path, Path, str]) -> None:
    """A process that deletes a file of the tree does not find it again."""
    folder, cache, hash_ = tree
    program = """
        import os, app
        path = os.path.join(os.path.dirname(app.__path__[0]), "top.txt")
        os.unlink(path)
        print(os.path.exists(path), os.path.basename(path) in os.listdir(os.path.dirname(path)))
        """

    archive = from_archive(hash_, cache, dedent(program))
    (folder / "top.txt").touch()

    assert archive == from_directory(folder, dedent(program))


def test_what_was_refused_for_a_moment_comes_later(tmp_path: Path) -> None:
    """Of a file, and of a package with data; who waits for them is told once."""
    files = {"app/__init__.py": "", "app/data.txt": "", "conf/app.ini": "a = 1\n"}
    cache = tmp_path / "cache"
    hash_ = pack_tree(write_tree(files, tmp_path / "site"), cache)
    program = f"""
        import os, resource, time, warnings
        import lazyimport, lazyimport.reporting
        from lazyimport.cache import materialize, putting, refusal
        from lazyimport.importing import appearing, looking, seeing
        installation = lazyimport.install({hash_!r}, cache_dir={str(cache)!r})
        root = installation.tree.root
        paths = [root + "/conf/app.ini", root + "/app/data.txt"]
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, limit))
        descriptors = []
        try:
            while True:
                descriptors.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            print([os.path.exists(path) for path in paths])
        for descriptor in descriptors:
            os.close(descriptor)
        deadline = time.monotonic() + 20
        while not all(map(os.path.exists, paths)) and time.monotonic() < deadline:
            time.sleep(0.01)
        print([os.path.exists(path) for path in paths])
        """

    done = run(program)

    assert (done.stdout, done.status) == ("[False, False]\n[True, True]\n", 0)
    assert done.stderr.count("will not find all files beside itself") == 1


def test_no_more_than_names(tmp_path: Path) -> None:
    """To list the root, or to ask where a path leads, puts no package on disk."""
    cache = tmp_path / "cache"
    hash_ = pack_tree(write_tree(TREE, tmp_path / "site"), cache)
    program = """
        import app, inspect, lazyimport, os
        inspect.getmodule(compile("", "none", "exec"))
        os.path.realpath(app.__file__), os.path.realpath(app.__path__[0])
        print(lazyimport.stats().looked)
        print(sorted(os.listdir(os.path.dirname(app.__path__[0]))))
        """

    done = from_archive(hash_, cache, dedent(program))

    assert done.stdout.splitlines() == [
        "{}",
        str(sorted({path.partition("/")[0] for path in TREE})),
    ]
    there = [path for path in (cache / "trees" / hash_).rglob("*") if path.is_file()]
    assert [path.name for path in there] == ["top.txt"]


def test_what_c_code_removes_stays_removed(tmp_path: Path) -> None:
    """From a package that was seen to be whole when it was imported."""
    files = {"app/__init__.py": "", "app/data.txt": "", "app/more.txt": ""}
    cache = tmp_path / "cache"
    hash_ = pack_tree(write_tree(files, tmp_path / "site"), cache)
    program = """
        import os, posix, app
        posix.unlink(app.__path__[0] + "/data.txt")
        print(os.path.exists(app.__path__[0] + "/data.txt"))
        """
    from_archive(hash_, cache, "import app")

    outcomes = [from_archive(hash_, cache, dedent(program)) for _ in range(2)]

    assert outcomes == [Outcome("False\n", "", 0)] * 2


@pytest.mark.parametrize("moment", ["write_file", "make_directories", "realpath"])
def test_who_interrupts_us_is_noticed(tmp_path: Path, moment: str) -> None:
    """A signal handler, or another greenlet, looks in the thread that puts files."""
    files = {**TREE, "app/data.txt": "data\n"}
    cache = tmp_path / "cache"
    hash_ = pack_tree(write_tree(files, tmp_path / "site"), cache)
    program = f"""
        import os, posix, signal
        import lazyimport
        root = lazyimport.install({hash_!r}, cache_dir={str(cache)!r}).root
        from lazyimport.cache import putting
        from lazyimport.importing import looks

        class Interrupted:
            def __getattr__(self, name):
                interrupt()
                return getattr(posix, name)

        def interrupt():
            if not seen:
                seen.append(None)
                signal.raise_signal(signal.SIGUSR1)

        def look(*_):
            with open(root + "/beside/text.txt") as file:
                seen.append((file.read(), os.path.exists(root + "/top.txt")))

        seen = []
        signal.signal(signal.SIGUSR1, look)
        if {moment!r} == "realpath":
            looks.realpath.__globals__["os"] = Interrupted()
            os.path.realpath(root + "/app/data.txt")
        else:
            real = putting.{moment if moment != "realpath" else "put"}
            def interrupted(*arguments):
                interrupt()
                return real(*arguments)
            setattr(putting, {moment!r}, interrupted)
            import app
            print(open(root + "/app/data.txt").read())
        print(seen)
        """

    done = run(program)

    said = "" if moment == "realpath" else "data\n\n"
    assert done == Outcome(f"{said}[None, ('text\\n', True)]\n", "", 0)


def test_what_we_do_ourselves_is_no_look(tmp_path: Path) -> None:
    """What puts files on disk calls no function that is wrapped."""
    files = {**TREE, "app/data.txt": "", "app/large.bin": "large" * (SHARED // 5)}
    cache = tmp_path / "cache"
    hash_ = pack_tree(write_tree(files, tmp_path / "site"), cache)
    program = f"""
        import os, sys
        import lazyimport
        from lazyimport.importing import looking
        root = lazyimport.install({hash_!r}, cache_dir={str(cache)!r}).root
        real, ours = looking._look_below, set()

        def look_below(*arguments):
            frame = sys._getframe()
            while frame.f_globals["__name__"] != "__main__" or frame.f_code is here:
                frame = frame.f_back
                if frame.f_globals["__name__"].startswith("lazyimport.cache"):
                    ours.add((frame.f_globals["__name__"], frame.f_lineno))
            return real(*arguments)

        here = look_below.__code__
        looking._look_below = look_below
        os.chdir(root)
        import app.other
        os.stat("beside/text.txt"), os.listdir(root), os.mkdir(root + "/made")
        os.replace(root + "/app/plugin.py", root + "/app/moved.py")
        with open("app/large.bin") as file: print(len(file.read()), end=" ")
        os.posix_spawnp("true", ["true", root + "/app"], os.environ), os.wait()
        lazyimport.path("app")
        print(ours)
        """

    assert run(program) == (f"{SHARED // 5 * 5} set()\n", "", 0)


def test_everything_at_once(tmp_path: Path) -> None:
    """A setting puts all on disk and wraps nothing."""
    cache = tmp_path / "cache"
    hash_ = pack_tree(write_tree(TREE, tmp_path / "site"), cache)
    program = """
        import app.other, lazyimport, os
        print(type(os.stat), lazyimport.stats().looked, app.other.x)
        """

    done = from_archive(hash_, cache, dedent(program), LAZYIMPORT_FILES="all")

    assert done.stdout == "<class 'builtin_function_or_method'> {} 1\n"
    there = {p.name for p in (cache / "trees" / hash_).rglob("*") if p.is_file()}
    assert there == {Path(path).name for path in TREE}


def test_what_lies_beside_a_package_is_reached_through_it(tmp_path: Path) -> None:
    """Also by C code, which nobody notices, from a package that needs no files."""
    files = {
        "app/__init__.py": "",
        "app/deep/__init__.py": "",
        "app/deep/asks.py": "import io, os\n"
        "here = os.path.dirname(__file__)\n"
        "with io.FileIO(here + '/../../beside/text.txt') as file:\n"
        "    text = file.read()\n",
        "beside/text.txt": "text",
    }
    tree, cache = write_tree(files, tmp_path / "tree"), tmp_path / "cache"

    done = from_archive(
        pack_tree(tree, cache), cache, "import app.deep.asks as a; print(a.text)"
    )

    assert done.stdout == "b'text'\n", done.stderr


#: how a file of the tree may run that nobody imports
RUNS = {
    "runpy": "import runpy; runpy.run_path(path)",
    "a spec": """
        import importlib.util as u
        spec = u.spec_from_file_location("tool", path)
        spec.loader.exec_module(u.module_from_spec(spec))
        """,
    "exec": """
        import os
        if os.path.exists(path):
            with open(path) as file: exec(compile(file.read(), path, "exec"), {"__file__": path})
        """,
    "a path hook": """
        import sys
        from importlib.machinery import FileFinder, SourceFileLoader
        class Other(SourceFileLoader): pass
        sys.path_hooks.insert(0, FileFinder.path_hook((Other, [".py"])))
        import scripts.tool
        """,
}


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_what_lies_beside_a_file_that_runs(tmp_path: Path, run: str) -> None:
    """As if it were imported, so its C code finds what it reads."""
    files = {
        "app/__init__.py": "",
        "scripts/tool.py": "import io, os\n"
        "here = os.path.dirname(__file__)\n"
        "for name in ('/text.txt', '/../beside/text.txt', '/../top.txt'):\n"
        "    with io.FileIO(here + name) as file:\n"
        "        print(file.read())\n",
        "scripts/text.txt": "text",
        "beside/text.txt": "beside",
        "top.txt": "top",
    }
    tree, cache = write_tree(files, tmp_path / "tree"), tmp_path / "cache"
    start = "import app; path = app.__path__[0] + '/../scripts/tool.py'\n"
    program = start + dedent(run)

    directory = from_directory(tree, program)

    assert directory.status == 0, directory.stderr
    assert from_archive(pack_tree(tree, cache), cache, program) == directory


ROOT = "/cache/trees/ab"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (f"{ROOT}/a.txt", [f"{ROOT}/a.txt"]),
        (f"{ROOT}/a.txt".encode(), [f"{ROOT}/a.txt"]),
        (Path(ROOT, "a"), [f"{ROOT}/a"]),
        (ROOT, [ROOT]),
        (f"{ROOT}/my file", [f"{ROOT}/my file", f"{ROOT}/my"]),
        (f"cat {ROOT}/a '{ROOT}/b c'; ls", [f"{ROOT}/a", f"{ROOT}/b"]),
        (f"--file={ROOT}/a", [f"{ROOT}/a"]),
        (f"file:{ROOT}/x.db?mode=ro", [f"{ROOT}/x.db?mode=ro", f"{ROOT}/x.db"]),
        ([b"PATH=/bin", f"DATA={ROOT}/d".encode()], [f"{ROOT}/d"]),
        ({"A": f"{ROOT}/a", "B": 1}, [f"{ROOT}/a"]),
        (f"/bin:{ROOT}/bin:/usr/bin", [f"{ROOT}/bin"]),
        (f"{ROOT}c/a", []),
        ("/elsewhere", []),
        (None, []),
        (5, []),
    ],
    ids=str,
)
def test_what_is_mentioned(value: Any, found: list[str]) -> None:
    """Paths that stand somewhere in the arguments of a function."""
    seen: set[str] = set()
    looks = Looks()
    looks.watch(ROOT, lambda path, _: seen.add(path))
    look_at_mentioned(looks, [value])
    assert seen == set(found)
