"""What the interpreter itself does: audit events, import times, subinterpreters."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from textwrap import dedent

import pytest

import lazyimport
from tests.support.compare_importers import (
    Files,
    from_archive,
    from_directory,
    pack_tree,
    write_tree,
)

TREE: Files = {
    "app/__init__.py": "from . import core\n",
    "app/core.py": (
        "def answer():\n    return 42\n\n\ndef boom():\n    raise ValueError('boom')\n"
    ),
    "app/opt.py": "'''Doc.'''\nimport app\nassert app is None\n",
    "single.py": "value = 1\n",
    "space/mod.py": "import single\n",
}
#: extension modules of the standard library, which are files in some Pythons
EXTENSIONS = ("_heapq", "_bisect", "_random", "_struct", "_queue", "_uuid", "_ssl")


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """The tree as a directory, and packed."""
    base = tmp_path_factory.mktemp("interpreter")
    folder = write_tree(TREE, base / "site")
    return folder, base / "cache", pack_tree(folder, base / "cache")


def test_audit_events(trees: tuple[Path, Path, str]) -> None:
    """The events are those of a directory, with ``lazyimport.exec`` in place of `open`.

    From a directory, the `open` of a ``.pyc`` file tells a hook what will run; from an
    archive, ``lazyimport.exec`` does, with the archive's hash and the module's name.
    """
    folder, cache, hash_ = trees
    program = dedent("""
        import sys
        # These come with the first modules of an archive.
        import lazyimport.importing.loader, lazyimport.importing.path_finder
        import lazyimport.format.archive, lazyimport.trees
        seen = []
        def hook(event, args):
            if event in ("import", "open", "lazyimport.exec"):
                seen.append((event, *map(str, args[:2] if event != "open" else args[:1])))
            elif event in ("marshal.loads", "exec", "compile"):
                seen.append((event,))
        sys.addaudithook(hook)
        import app, space.mod
        for event in list(seen): print(*event)
        """)
    from_directory(folder, program, PYTHONDONTWRITEBYTECODE="")  # writes the .pyc files

    directory = from_directory(folder, program)
    archive = from_archive(hash_, cache, program)

    assert directory.status == archive.status == 0, directory.stderr + archive.stderr
    opened = re.findall(r"^open ROOT/(\S+)$", directory.stdout, re.MULTILINE)
    stems = [re.sub(r"(__pycache__/|\..*)", "", path) for path in opened]
    names = [stem.replace("/__init__", "").replace("/", ".") for stem in stems]
    assert names == ["app", "app.core", "space.mod", "single"]
    expected = directory.stdout
    for path, name in zip(opened, names, strict=True):
        expected = expected.replace(
            f"open ROOT/{path}\n", f"lazyimport.exec {hash_} {name}\n"
        )
    assert archive.stdout == expected


def test_audit_event_of_install(trees: tuple[Path, Path, str]) -> None:
    """A hook sees which archive is installed, from which store, and may refuse."""
    _, cache, hash_ = trees
    program = dedent(f"""
        import lazyimport, sys
        lazyimport.uninstall()
        def hook(event, args):
            if event == "lazyimport.install":
                print(event, *args)
                raise PermissionError("not here")
        sys.addaudithook(hook)
        before = list(sys.meta_path), list(sys.path), list(sys.path_hooks)
        try: lazyimport.install({hash_!r}, cache_dir={str(cache)!r})
        except PermissionError as error: print(error)
        print(before == (sys.meta_path, sys.path, sys.path_hooks), lazyimport.current())
        """)

    done = from_archive(hash_, cache, program)

    assert done.stdout == f"lazyimport.install {hash_} None\nnot here\nTrue None\n"


def test_importtime_names_the_same_modules(trees: tuple[Path, Path, str]) -> None:
    folder, cache, hash_ = trees
    program = "import app, space.mod"

    outputs = [
        from_directory(folder, program, ["-Ximporttime"]).stderr,
        from_archive(hash_, cache, program, ["-Ximporttime"]).stderr,
    ]

    names = [
        re.findall(
            r"^import time: +\d+ \| +\d+ \|( +(?:app|space|single)(?:\..*)?)$",
            o,
            re.MULTILINE,
        )
        for o in outputs
    ]
    assert names[0] == names[1]
    assert [n.strip() for n in names[0]] == [
        "app.core",
        "app",
        "space",
        "single",
        "space.mod",
    ]


@pytest.mark.parametrize("flag", ["-O", "-OO"])
def test_no_assertion_and_no_docstring(
    trees: tuple[Path, Path, str], flag: str
) -> None:
    """Bytecode that was packed without optimization does not run under ``-O``."""
    folder, cache, hash_ = trees
    program = "import app.opt; print(app.opt.__doc__, app.opt.__cached__[-9:])"
    if sys.version_info >= (3, 15):
        program = "import app.opt; print(app.opt.__doc__)"

    directory = from_directory(folder, program, [flag])

    assert from_archive(hash_, cache, program, [flag]) == directory
    assert directory.status == 0


def test_subinterpreter(trees: tuple[Path, Path, str]) -> None:
    """A subinterpreter starts without our finders, and can install for itself.

    If lazyimport is in site-packages, activation does so when a subinterpreter starts.
    """
    _, cache, hash_ = trees
    ours = str(Path(lazyimport.__file__).parents[1])
    inner = dedent(f"""
        import sys
        sys.path.append({ours!r})
        import lazyimport
        lazyimport.install()
        import app, inspect
        print(app.core.answer(), app.core.__file__, lazyimport.current().hash)
        print(inspect.getsource(app.core.answer))
        try: app.core.boom()
        except ValueError:
            import traceback
            print(traceback.format_exc().splitlines()[-2:])
        sys.stdout.flush()
        """)
    program = dedent(f"""
        import app
        try:
            import _interpreters as interpreters
            run = interpreters.exec
        except ImportError:
            import _xxsubinterpreters as interpreters
            run = interpreters.run_string
        for _ in range(2):
            one = interpreters.create()
            failed = run(one, {inner!r})
            if failed: print(failed)
            interpreters.destroy(one)
        print(app.core.answer())
        """)

    done = from_archive(hash_, cache, program)

    once = (
        f"42 ROOT/app/core.py {hash_}\ndef answer():\n    return 42\n\n"
        "[\"    raise ValueError('boom')\", 'ValueError: boom']\n"
    )
    assert done.stdout == once * 2 + "42\n", done.stderr


def test_loader_of_an_extension_module(tmp_path: Path) -> None:
    """It answers as that of a directory, whatever it is asked."""
    folder, cache = write_tree({"native/__init__.py": ""}, tmp_path / "site"), tmp_path
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    shared = sysconfig.get_config_var("DESTSHARED")
    files = [Path(shared, name + suffix) for name in EXTENSIONS]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        pytest.skip("this Python has no extension modules as files")
    name = f"native.{file.name.partition('.')[0]}"
    (folder / "native" / file.name).write_bytes(file.read_bytes())
    hash_ = pack_tree(folder, cache / "cache")
    program = dedent(f"""
        import importlib, importlib.machinery, importlib.util, os, pickle
        spec = importlib.util.find_spec({name!r})
        loader = spec.loader
        print(spec.name, spec.origin, spec.has_location, spec.cached, spec.parent)
        print(spec.submodule_search_locations, spec.loader_state)
        print(isinstance(loader, importlib.machinery.ExtensionFileLoader))
        print(loader.name, loader.path, loader.get_filename({name!r}))
        print(loader.is_package({name!r}), loader.get_source({name!r}))
        print(loader.get_code({name!r}))
        module = importlib.import_module({name!r})
        print(module.__name__, module.__file__, module.__package__, module.__loader__ is module.__spec__.loader)
        print(os.path.isfile(module.__file__), module in [module], sorted(vars(module)))
        print(pickle.loads(pickle.dumps(module.__spec__)).loader == loader, hash(loader) == hash(module.__loader__), len({{loader, module.__loader__}}))
        print(loader == importlib.util.find_spec({name!r}).loader, importlib.reload(module) is module)
        try: loader.get_filename("other")
        except ImportError as error: print(error.name)
        """)

    directory = from_directory(folder, program)

    assert from_archive(hash_, cache / "cache", program) == directory
    assert directory.status == 0, directory.stderr


LIBRARY = "int answer(void) { return 42; }\n"
EXTENSION = """
#include <Python.h>
int answer(void);
static struct PyModuleDef top_ext = {PyModuleDef_HEAD_INIT, "top_ext", 0, -1};
PyMODINIT_FUNC PyInit_top_ext(void) {
    PyObject *module = PyModule_Create(&top_ext);
    PyModule_AddIntConstant(module, "answer", answer());
    return module;
}
"""


def test_extension_module_at_the_top_finds_its_libraries(tmp_path: Path) -> None:
    """They lie beside it, as auditwheel puts them for a single module."""
    compiler = shutil.which("cc")
    headers = sysconfig.get_path("include")
    if not compiler or not Path(headers, "Python.h").exists():
        pytest.skip("needs a C compiler and the headers of this Python")
    sources = write_tree(
        {"library.c": LIBRARY, "extension.c": EXTENSION}, tmp_path / "sources"
    )
    folder = write_tree({"top_ext.libs/why.txt": ""}, tmp_path / "site")
    library = str(folder / "top_ext.libs/libanswer.so.1")
    module = str(folder / f"top_ext{sysconfig.get_config_var('EXT_SUFFIX')}")
    # what Debian's pyconfig.h includes is named from the folder above
    includes = [f"-I{headers}", f"-I{Path(headers).parent}"]
    make = [compiler, "-shared", "-fPIC", *includes, "-o"]
    named, found = "-Wl,-soname,libanswer.so.1", "-Wl,-rpath,$ORIGIN/top_ext.libs"
    for words in (
        [library, "library.c", named],
        [module, "extension.c", library, found],
    ):
        subprocess.run([*make, *words], cwd=sources, check=True)
    hash_ = pack_tree(folder, tmp_path / "cache")
    program = "import top_ext; print(top_ext.answer)"

    directory = from_directory(folder, program)

    assert from_archive(hash_, tmp_path / "cache", program) == directory
    assert directory.stdout == "42\n", directory.stderr


def test_who_has_loaded_readers_of_resources_loads_none_of_ours(
    trees: tuple[Path, Path, str],
) -> None:
    """Nor does who asks for metadata: they are for resources that are asked for."""
    _, cache, hash_ = trees
    program = """
        import sys, importlib.readers, importlib.metadata
        import single
        print(list(importlib.metadata.entry_points(group="none.such")))
        print({"lazyimport.importing.resources"} & set(sys.modules))
        """

    assert from_archive(hash_, cache, dedent(program)) == ("[]\nset()\n", "", 0)
