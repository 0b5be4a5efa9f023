"""Libraries that replace functions of the system get along with those that look."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.compare_importers import (
    from_archive,
    from_directory,
    pack_tree,
    write_tree,
)

TREE = {
    "app/__init__.py": "",
    "app/text.txt": "text\n",
    "pure/__init__.py": "",
    "pure/other.py": "x = 1\n",
    "top.txt": "top\n",
}
#: for an archive: does something before it is installed
AGAIN = (
    "import lazyimport; _ = lazyimport.current(); lazyimport.uninstall(); {}; "
    "lazyimport.install(_.hash, cache_dir=_.settings.cache_dir)\n"
)
#: name -> what must be installed, how it starts, what is done then
PROGRAMS = {
    "gevent": (
        "gevent",
        "from gevent import monkey; monkey.patch_all()",
        """
        import os, pure, subprocess
        root = os.path.dirname(pure.__path__[0])
        print(open(root + "/top.txt").read(), os.path.exists(root + "/pure/other.py"))
        print(sorted({*os.listdir(root + "/pure")} - {"__pycache__"}))
        print(subprocess.run(["cat", root + "/app/text.txt"], capture_output=True).stdout)
        print(subprocess.run(["ls", "text.txt"], cwd=root + "/app", capture_output=True).stdout)
        pid = os.fork()
        if not pid: os._exit(not os.path.exists(root + "/app/text.txt"))
        print(os.waitpid(pid, 0)[1])
        """,
    ),
    "pyfakefs": (
        "pyfakefs",
        "import pyfakefs.fake_filesystem_unittest",
        """
        import os, pathlib, pure
        from os import stat
        from pyfakefs.fake_filesystem_unittest import Patcher
        root = os.path.dirname(pure.__path__[0])
        def see():
            for call in (
                lambda: open(root + "/top.txt").read(),
                lambda: os.stat(root + "/top.txt").st_size,
                lambda: pathlib.Path(root, "top.txt").read_text(),
                lambda: os.path.exists(root + "/pure/other.py"),
                lambda: stat(root).st_size > 0,
            ):
                try: print(call())
                except OSError as error: print(type(error).__name__)
        with Patcher() as patcher:
            patcher.fs.create_file("/made/x.txt", contents="fake")
            print(open("/made/x.txt").read(), os.listdir("/made"), os.stat("/made/x.txt").st_size)
            see()
        print(os.path.exists("/made/x.txt"))
        see()
        """,
    ),
}


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("before", [False, True], ids=["after", "before"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_no_difference(name: str, before: bool, tmp_path: Path) -> None:
    needed, start, program = PROGRAMS[name]
    if importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed; the dependency group 'real' has it")
    folder, cache = write_tree(TREE, tmp_path / "site"), tmp_path / "cache"
    hash_ = pack_tree(folder, cache)
    flags = ["-W", "ignore"]
    first = AGAIN.format(start) if before else f"{start}\n"

    directory = from_directory(folder, f"{start}\n{dedent(program)}", flags)

    assert directory.status == 0, directory.stderr
    assert from_archive(hash_, cache, first + dedent(program), flags) == directory


def test_each_interpreter_has_its_own(tmp_path: Path) -> None:
    """A subinterpreter that installs an archive changes nothing in the first one."""
    name = next(
        filter(importlib.util.find_spec, ["_interpreters", "_xxsubinterpreters"])
    )
    folder, cache = write_tree(TREE, tmp_path / "site"), tmp_path / "cache"
    hash_ = pack_tree(folder, cache)
    program = f"""
        import {name} as interpreters, lazyimport, os, sys
        handle = lazyimport.current()
        lazyimport.uninstall()
        inner = '''if True:
            import os, sys
            sys.path[:] = {{!r}}
            import lazyimport
            handle = lazyimport.install({{!r}}, cache_dir={{!r}})
            import pure
            print(os.path.exists(pure.__path__[0] + "/other.py"), type(os.stat) is type(len), flush=True)
            lazyimport.uninstall()
            print(type(os.stat) is type(len), flush=True)
            '''.format(sys.path, handle.hash, handle.settings.cache_dir)
        run = getattr(interpreters, "exec", None) or interpreters.run_string
        failed = run(interpreters.create(), inner)
        print(failed, type(os.stat) is type(len))
        """

    done = from_archive(hash_, cache, dedent(program))

    assert (done.stdout, done.status) == ("True False\nTrue\nNone True\n", 0)
