"""Programs that cannot tell an archive from a directory."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.compare_importers import (
    Files,
    Outcome,
    from_archive,
    from_directory,
    pack_tree,
    write_tree,
)

TREE: Files = {
    "app/__init__.py": "from . import core\nfrom .core import answer as answer\n",
    "app/__main__.py": "import sys\nprint(__name__, __package__, sys.argv[1:])\n",
    "app/core.py": '''\
"""The core."""
import json
from .deep.er import thing

def answer(x=1):
    """Say it."""
    return x + 41

class Shape:
    """A shape."""
    def area(self):
        return (lambda w, h: w * h)(2, 3)

def boom(n):
    if n:
        return boom(n - 1)
    raise ValueError("boom", thing)
''',
    "app/deep/er.py": "thing = __name__\n",
    "app/circular_a.py": "from . import circular_b\nx = 1\n",
    "app/circular_b.py": "from . import circular_a\ny = hasattr(circular_a, 'x')\n",
    "app/replaces.py": (
        "import sys, types\nm = types.ModuleType(__name__)\nm.real = 'replaced'\n"
        "sys.modules[__name__] = m\n"
    ),
    "app/attr.py": "def __getattr__(name):\n    return 'dynamic ' + name\n",
    "app/star.py": "__all__ = ['one', '_two']\none = 1\n_two = 2\nthree = 3\n",
    "app/fails.py": "before = 1\n\n\n1 / 0\n",
    "app/fails_import.py": "from . import fails\n",
    "app/bad_syntax.py": "def f(:\n    pass\n",
    "app/bad_encoding.py": b"# coding: utf-8\nx = '\xff'\n",
    "app/latin.py": "# -*- coding: latin-1 -*-\nname = 'Käse'\n".encode("latin-1"),
    "app/bom.py": b"\xef\xbb\xbfname = 'bom'\r\n\r\ndef f():\r\n    return 1\r\n",
    "app/doc.py": '"""Doc.\n\n>>> 1 + 1\n2\n"""\nassert True\n',
    "app/optim.py": "def f():\n    'doc'\n    assert False\n    return __debug__\n",
    "app/warns.py": "import warnings\ndef w():\n    warnings.warn('careful')\n",
    "app/empty.py": "",
    "app/ünïcode.py": "wert = 'ü'\n",
    "app/data/text.txt": "some text\n",
    "app/data/raw.bin": bytes(range(256)),
    "app/tests.py": (
        "import unittest\nclass T(unittest.TestCase):\n"
        "    def test(self):\n        self.assertEqual(1, 1)\n"
    ),
    "both.py": "kind = 'module'\n",
    "both/__init__.py": "kind = 'package'\n",
    "pure/__init__.py": "",
    "pure/feed.py": (
        "first = 1\n\x0c\ndef paged():\n    x = 'a\u2028b\x1cc'\n    1 / 0"
    ),
    "pure/unread.py": "def alone():\n    return 'alone'\n",
    "single.py": "value = __file__.rpartition('/')[2]\n",
    "space/left/mod.py": "side = 'left'\n",
    "space/right.py": "side = 'right'\n",
    "space/data/text.txt": "text of a namespace\n",
    "empty_space/only.txt": "data and no module\n",
    "app/migrations/__init__.py": "",
    "app/migrations/0001_initial.py": "number = 1\n",
    "app/migrations/hook-name.py": "",
    "app/migrations/two.dots.py": "",
    "app/migrations/no_package/file.txt": "",
    "native/__init__.py": "",
    "native/_x.so": b"\x7fELF\0$ORIGIN/../native.libs:$ORIGIN/../../usr\0libx.so.1\0",
    "native.libs/libx.so.1": b"\x7fELF\0${ORIGIN}/../more_libs/lib64\0",
    "more_libs/lib64/liby.so": b"\x7fELF\0",
    "egg_pkg.egg-info/PKG-INFO": "Metadata-Version: 1.2\nName: egg-pkg\nVersion: 3\n",
    "egg_pkg.egg-info/installed-files.txt": "../single.py\nPKG-INFO\n",
    "old_style/__init__.py": (
        "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n"
    ),
    "old_style/part.py": "x = 1\n",
    "thing-1.2.dist-info/METADATA": (
        "Metadata-Version: 2.1\nName: Thing\nVersion: 1.2\nRequires-Dist: other>=2\n"
        "Summary: A thing\n\nLong text.\n"
    ),
    "thing-1.2.dist-info/RECORD": "app/__init__.py,,\nthing-1.2.dist-info/METADATA,,\n",
    "thing-1.2.dist-info/entry_points.txt": "[console_scripts]\nrun = app.core:answer\n",
    "thing-1.2.dist-info/top_level.txt": "app\n",
}

PROGRAMS = {
    "attributes": """
        import importlib
        for name in ["app", "app.core", "app.deep", "app.deep.er", "both", "single", "space.left.mod"]:
            m = importlib.import_module(name)
            s = m.__spec__
            print(name, m.__name__, m.__package__, getattr(m, "__file__", None), list(getattr(m, "__path__", [])))
            print(" ", s.name, s.origin, s.parent, s.has_location, s.cached, s.submodule_search_locations and list(s.submodule_search_locations), s.loader_state)
            print(" ", getattr(m, "__cached__", None), m.__doc__, repr(m)[:40], s.loader is m.__loader__)
            print(" ", sorted(vars(m)))
        """,
    "loader": """
        import app.core, app
        for m in (app, app.core):
            l = m.__loader__
            print(l.name, l.path, l.get_filename(), l.get_filename(m.__name__), l.is_package(m.__name__))
            print(l.get_source(m.__name__), l.get_code(m.__name__).co_filename, l.get_code(m.__name__).co_name)
            print(l.get_data(l.path)[:20], l.path_stats(l.path)["size"])
            print(l.source_to_code(b"x = 1", "somewhere.py").co_filename)
            for wrong in (lambda: l.get_code("other"), lambda: l.get_data(l.path + "x"), lambda: l.path_stats(l.path + "x"), lambda: l.get_data(app.__path__[0])):
                try: wrong()
                except Exception as e: print(type(e).__mro__[-3].__name__, isinstance(e, OSError), isinstance(e, ImportError), e)
        """,
    "the machinery's way to code": """
        import app.core, tempfile
        from importlib.machinery import SourceFileLoader
        l = app.core.__loader__
        for _ in range(2): print(SourceFileLoader.get_code(l, "app.core").co_filename)
        with tempfile.TemporaryDirectory() as folder: print(l.set_data(folder + "/data", b"x"))
        """,
    "code objects": """
        import app.core, types
        def walk(code):
            yield code
            for c in code.co_consts:
                if isinstance(c, types.CodeType): yield from walk(c)
        print([(c.co_name, c.co_filename, c.co_firstlineno) for c in walk(app.core.__loader__.get_code("app.core"))])
        """,
    "relative and circular": """
        import app.circular_a, app.circular_b, app.deep.er
        print(app.circular_a.circular_b is app.circular_b, app.circular_b.y, app.deep.er.thing)
        """,
    "self-replacing, getattr, star": """
        import app.replaces, app.attr
        from app.star import *
        from app.attr import something
        print(app.replaces.real, something, sorted(n for n in dir() if n in ("one", "_two", "three")))
        """,
    "package over module": "import both; print(both.kind)",
    "unicode name": "import app.ünïcode as u; print(ascii(u.wert))",
    "namespace": """
        import space.left.mod, space.right
        print(space.left.mod.side, space.right.side, list(space.__path__), type(space.__loader__).__name__, space.__spec__.origin)
        """,
    "failing leaves nothing": """
        import sys
        for name in ["app.fails", "app.fails_import", "app.bad_syntax", "app.bad_encoding", "app.nothing", "nothing", "single.sub"]:
            try: __import__(name)
            except BaseException as e:
                print(name, isinstance(e, ModuleNotFoundError), getattr(e, "name", None), [n for n in sys.modules if n in (name, "app.fails")])
                if not isinstance(e, ModuleNotFoundError): print(type(e), e)
        """,
    "tracebacks": """
        import traceback
        def show(f):
            try: f()
            except BaseException: print(traceback.format_exc())
        import app
        show(lambda: app.core.boom(2))
        show(lambda: __import__("app.fails"))
        show(lambda: __import__("app.fails_import"))
        show(lambda: __import__("app.bad_syntax"))
        show(lambda: __import__("app.bad_encoding"))
        """,
    "uncaught": "import app\napp.core.boom(1)\n",
    "uncaught at import": "import app.fails_import",
    "uncaught syntax error": "import app.bad_syntax",
    "uncaught cause": """
        import app
        try: app.core.boom(0)
        except ValueError as e: raise RuntimeError("why") from e
        """,
    "uncaught in a thread": """
        import app, threading
        t = threading.Thread(target=app.core.boom, args=(0,), name="worker")
        t.start(); t.join()
        """,
    "inspect": """
        import app, inspect
        print(inspect.getsource(app.core.answer), inspect.getsource(app.core.Shape), inspect.getsource(app.core)[:30])
        print(inspect.getsourcefile(app.core), inspect.getfile(app.core.Shape), inspect.getmodule(app.core.answer))
        print(inspect.getsource(app.core.Shape.area), inspect.getdoc(app.core.answer), inspect.signature(app.core.answer))
        """,
    "source by file name": """
        import sys, linecache, inspect
        import app.core
        path, boom = app.core.__file__, app.core.boom
        loose = type(boom)(boom.__code__, {"boom": None, "thing": None})
        for name in [n for n in sys.modules if n.startswith("app")]: del sys.modules[name]
        del app
        print(inspect.getsource(loose), linecache.getline(path, 2))
        linecache.checkcache()
        print(linecache.getline(path, 3))
        linecache.clearcache()
        print(linecache.getline(path, 4), linecache.getlines(path + "nope"))
        import app.empty
        for _ in range(2):
            try: print(repr(inspect.getsource(app.empty)), linecache.getlines(app.empty.__file__))
            except OSError as e: print(e)
        """,
    "source by file name, of what has no file": """
        import inspect, linecache, sys, traceback
        import pure.feed
        try: pure.feed.paged()
        except ZeroDivisionError: print(ascii(traceback.format_exc()))
        print(ascii(inspect.getsource(pure.feed.paged)), ascii(linecache.getlines(pure.feed.__file__)))
        import pure.unread
        path, alone = pure.unread.__file__, pure.unread.alone
        loose = type(alone)(alone.__code__, {})
        for name in [n for n in sys.modules if n.startswith("pure")]: del sys.modules[name]
        del pure, alone
        print(inspect.getsource(loose), linecache.getline(path, 2))
        linecache.checkcache(); linecache.checkcache(path)
        print(linecache.getline(path, 1), linecache.updatecache(path))
        linecache.clearcache()
        print(linecache.getlines(path), linecache.getlines(path + "x"), linecache.getlines(""))
        """,
    "encodings": """
        import app.latin, app.bom, inspect
        print(ascii(app.latin.name), app.bom.name, ascii(inspect.getsource(app.latin)), ascii(inspect.getsource(app.bom)))
        print(ascii(app.bom.__loader__.get_source("app.bom")), ascii(app.latin.__loader__.get_source("app.latin")))
        import importlib.util as u
        try: u.find_spec("app.bad_encoding").loader.get_source("app.bad_encoding")
        except Exception as e: print(type(e), e)
        """,
    "warnings": "import app.warns; app.warns.w()",
    "reload": """
        import importlib, app.core
        app.core.added = 1
        before = app.core.answer
        m = importlib.reload(app.core)
        print(m is app.core, m.added, before is m.answer, m.__spec__.origin)
        """,
    "find_spec": """
        import importlib.util as u, sys
        for name in ["app", "app.core", "app.deep", "both", "nope", "app.nope", "space", "single", "json", "sys", "zipimport"]:
            s = u.find_spec(name)
            print(name, s and (s.name, s.origin if "ROOT" or s else None)[0], s and s.has_location, s and s.submodule_search_locations is not None)
        print("app.core" in sys.modules, "both" in sys.modules)
        """,
    "spec and module_from_spec": """
        import importlib.util as u
        s = u.find_spec("app.star"); m = u.module_from_spec(s)
        print(m.__file__, m.__name__, hasattr(m, "one")); s.loader.exec_module(m); print(m.one)
        """,
    "LazyLoader": """
        import importlib.util as u, sys
        s = u.find_spec("single"); s.loader = u.LazyLoader(s.loader); m = u.module_from_spec(s)
        sys.modules["single"] = m; s.loader.exec_module(m); print(object.__getattribute__(m, "__dict__").get("value")); print(m.value)
        """,
    "pkgutil": """
        import pkgutil, app, space, old_style, os
        print(sorted(m.name for m in pkgutil.iter_modules(app.__path__, "app.")))
        print([(m.name, m.ispkg) for m in pkgutil.iter_modules(app.__path__)])
        print([(m.name, m.ispkg) for m in pkgutil.iter_modules(space.__path__)])
        print([m.name for m in pkgutil.iter_modules([os.path.dirname(os.path.dirname(app.__file__))])])
        print([m.name for m in pkgutil.walk_packages(app.__path__, "app.", onerror=print) if "bad" not in m.name])
        print(pkgutil.get_data("app", "data/text.txt"), pkgutil.get_loader("app") is not None if hasattr(pkgutil, "get_loader") and False else "")
        print(list(old_style.__path__), pkgutil.resolve_name("app.core:answer")(1))
        """,
    "path finder": """
        import app, sys
        from importlib.machinery import PathFinder
        print(PathFinder.find_spec("app.core", app.__path__).origin, PathFinder.find_spec("nope", app.__path__))
        print(PathFinder.find_spec("single").origin)
        import importlib; importlib.invalidate_caches(); import app.empty; print(app.empty.__file__)
        """,
    "resources": """
        import importlib.resources as r, app, space.left.mod
        f = r.files("app")
        print(f, sorted(p.name for p in f.iterdir() if p.name != "__pycache__"), f.is_dir(), f.name)
        t = f / "data" / "text.txt"
        print(t.read_text(), t.is_file(), (f / "nope").is_file(), f.joinpath("data", "raw.bin").read_bytes()[:4], t.open().read(), t.open("rb").read())
        for bad in (lambda: (f / "nope").read_text(), lambda: (f / "data").read_bytes(), lambda: list(t.iterdir())):
            try: bad()
            except OSError as e: print(type(e).__name__)
        with r.as_file(t) as p: print(p, p.read_text())
        """,
    "old resources": """
        import warnings, importlib.resources as r
        warnings.simplefilter("ignore")
        for call in ("r.read_text('app', 'empty.py')", "r.is_resource('app', 'core.py')", "r.is_resource('app', 'data')", "sorted(set(r.contents('app')) - {'__pycache__'})", "r.open_binary('app', 'star.py').read()", "r.path('app', 'star.py').__enter__().name"):
            try: print(eval(call))
            except (AttributeError, FileNotFoundError) as e: print(type(e).__name__)
        """,
    "metadata": """
        import importlib.metadata as m
        d = m.distribution("thing")
        print(m.version("Thing"), m.requires("thing"), m.metadata("thing")["Summary"], [str(f) for f in m.files("thing")])
        print([(e.name, e.value, e.group) for e in d.entry_points], d.entry_points["run"].load()(1) if hasattr(d.entry_points, "select") else "")
        print([str(p.locate()) for p in d.files], d.read_text("top_level.txt"), d.read_text("nope"))
        print([x.metadata["Name"] for x in m.distributions(name="thing")], [e.value for e in m.entry_points(group="console_scripts", name="run")])
        if hasattr(m, "packages_distributions"): print(m.packages_distributions()["app"])
        try: m.version("not-there")
        except m.PackageNotFoundError as e: print(e)
        """,
    "open beside __file__": """
        import app, os, glob
        d = os.path.dirname(app.__file__)
        print(open(os.path.join(d, "data", "text.txt")).read(), sorted(set(os.listdir(d)) - {"__pycache__"}), [os.path.basename(p) for p in glob.glob(d + "/data/*.txt")])
        print(os.stat(os.path.join(app.__path__[0], "data/raw.bin")).st_size, os.path.exists(app.__file__))
        """,
    "runpy": """
        import runpy, sys
        sys.argv[1:] = ["a", "b"]
        runpy.run_module("app", run_name="__main__", alter_sys=True)
        print(runpy.run_module("single")["value"], runpy.run_module("app.deep.er")["thing"])
        import app; print(sorted(k for k in runpy.run_path(app.core.__file__.replace("core", "star")) if not k.startswith("__")))
        """,
    "doctest and unittest": """
        import doctest, unittest, app.doc, io
        print(doctest.testmod(app.doc))
        s = unittest.defaultTestLoader.loadTestsFromName("app.tests")
        print(s.countTestCases(), unittest.TextTestRunner(stream=io.StringIO()).run(s).wasSuccessful())
        """,
    "pydoc": "import pydoc, app.core; print(pydoc.plain(pydoc.render_doc('app.core')))",
    "pickle": """
        import pickle, app.core
        print(pickle.loads(pickle.dumps(app.core.Shape())).area(), pickle.loads(pickle.dumps(app.core.answer))(1))
        s = pickle.loads(pickle.dumps(app.core.__spec__)); print(s.name, s.origin, s.loader.get_filename() if hasattr(s.loader, "get_filename") else "")
        """,
    "threads": """
        import threading, importlib, sys
        names = ["both", "single", "space.right", "space.left.mod", "old_style.part"] * 8
        go = threading.Barrier(len(names)); out = []
        def load(n): go.wait(); out.append((n, id(importlib.import_module(n))))
        ts = [threading.Thread(target=load, args=(n,)) for n in names]
        [t.start() for t in ts]; [t.join() for t in ts]
        print(len(set(out)) == len(set(names)), len(out))
        """,
    "fork": """
        import os, sys
        sys.stdout.flush()
        pid = os.fork()
        if not pid:
            import app.core
            print(app.core.answer(), flush=True); os._exit(0)
        os.waitpid(pid, 0)
        """,
    "shutdown": """
        import atexit
        def late():
            import app.star
            print(app.star.one)
        atexit.register(late)
        """,
    "a thread that imports while the interpreter ends": """
        import threading
        def late():
            threading.main_thread().join()
            import app.deep.er, single
            print(app.deep.er.thing, single.value)
        threading.Thread(target=late).start()
        """,
    "importtime names": "import app.core, sys; print(sorted(n for n in sys.modules if n.split('.')[0] in ('app',)))",
    "names that are no identifiers": """
        import pkgutil, importlib, app.migrations
        print([(m.name, m.ispkg) for m in pkgutil.iter_modules(app.migrations.__path__)])
        print(importlib.import_module("app.migrations.0001_initial").number)
        """,
    "shared libraries of another directory": """
        import native, os
        site = os.path.dirname(os.path.dirname(native.__file__))
        for path in ("native/_x.so", "native.libs/libx.so.1", "more_libs/lib64/liby.so"):
            print(path, os.path.getsize(os.path.join(site, path)))
        """,
    "init as a module": """
        import app, importlib
        from app.__init__ import answer
        m = importlib.import_module("app.__init__")
        print(m is app, m.__name__, m.__file__, m.__package__, hasattr(m, "__path__"), answer(1))
        """,
    "odd names": """
        import importlib, importlib.util, importlib.machinery
        for name in ["app..core", "app.", ".", "app/core", "app/", "app.core/", "APP", "app.CORE", "\\udcff", "app.\\0", "app.data/text"]:
            for find in (importlib.util.find_spec, importlib.machinery.PathFinder.find_spec, importlib.import_module):
                try: print(ascii(name), bool(find(name)))
                except Exception as e: print(ascii(name), [k.__name__ for k in type(e).__mro__ if not k.__module__.startswith("lazy")][0])
        """,
    "odd entries of a path": """
        import sys, pathlib, app
        sys.path[:0] = [b"bytes", pathlib.Path("/nowhere"), "", 7, "\\udcff"]
        here = list(app.__path__)
        for odd in (b"bytes", pathlib.Path(here[0]), 7, "", None, "\\udcff"):
            app.__path__[:] = [odd, *here]
            try: __import__("app.star"); print("found", sys.modules.pop("app.star").one)
            except Exception as e: print(type(e).__name__)
        app.__path__[:] = [here[0] + "/", here[0] + "/../app"]
        import app.star, app.attr; print(app.star.one)
        """,
    "resources of namespaces and modules": """
        import importlib.resources as r, sys, space, empty_space
        print(r.files("space"), sorted(p.name for p in r.files(space).iterdir() if p.name != "__pycache__"))
        print((r.files("space") / "data" / "text.txt").read_text())
        with r.as_file(r.files(empty_space) / "only.txt") as p: print(p, open(p).read())
        import app.core
        if sys.version_info >= (3, 12):
            print(r.files("app.core"), (r.files(app.core) / "data/text.txt").read_text())
            print(str(r.files("single")), (r.files("single") / "single.py").read_text())
        reader = app.core.__loader__.get_resource_reader("app.core")
        print(reader.files(), reader.resource_path("empty.py"), reader.open_resource("star.py").read(8))
        """,
    "metadata twice": """
        import importlib.metadata as m, os, pathlib, pickle
        def names(): return sorted(d.metadata["Name"] for d in m.distributions() if d.metadata["Name"] in ("Thing", "egg-pkg"))
        print(names())
        for f in m.files("thing"): print(f, f.read_text()[:9], os.path.exists(f.locate()), isinstance(f.locate(), pathlib.Path))
        print(names())
        d = m.distribution("thing")
        root = d.locate_file("")
        print(root, (root / "app" / "data" / "text.txt").read_text(), pickle.loads(pickle.dumps(root)) == root)
        print(sorted(p.name for p in (root / "app" / "data").iterdir()), sorted(p.name for p in d._path.iterdir()), d._path.name, d._path.parent)
        e = m.distribution("egg-pkg")
        print(e.version, sorted(map(str, e.files)), names())
        """,
    "abstract classes": """
        import sys, app.core, importlib.machinery
        assert "importlib.abc" not in sys.modules
        import importlib.abc as a
        print([isinstance(app.core.__loader__, getattr(a, n)) for n in ("Loader", "InspectLoader", "ExecutionLoader")])
        print(all(isinstance(sys.path_importer_cache[p], a.PathEntryFinder) for p in app.__path__ if p in sys.path_importer_cache))
        """,
    "main guard": "import app.__main__ as m; print(m.__name__)",
    "builtin and stdlib": "import types, json, sys; print(types.__name__, 'ROOT' in (json.__file__ or ''))",
    "namespace_package spec": """
        import importlib.util as u
        s = u.find_spec("space"); print(s.origin, list(s.submodule_search_locations), s.has_location)
        """,
}


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """The tree as a directory, and packed."""
    base = tmp_path_factory.mktemp("like")
    folder = write_tree(TREE, base / "site")
    cache = base / "cache"
    return folder, cache, pack_tree(folder, cache)


def outcomes(
    trees: tuple[Path, Path, str], program: str, *flags: str
) -> tuple[Outcome, Outcome]:
    folder, cache, hash_ = trees
    text = dedent(program)
    return from_directory(folder, text, flags), from_archive(hash_, cache, text, flags)


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_no_difference(trees: tuple[Path, Path, str], program: str) -> None:
    """The program prints the same, word for word."""
    directory, archive = outcomes(trees, program)

    assert directory == archive


@pytest.mark.parametrize("flag", ["-O", "-OO", "-Xdev", "-B"])
def test_interpreter_flags(trees: tuple[Path, Path, str], flag: str) -> None:
    """-O and -OO never get bytecode of another level."""
    program = """
        import app.optim
        print(app.optim.f.__doc__)
        try: print(app.optim.f())
        except AssertionError: print("asserted")
        """

    directory, archive = outcomes(trees, program, flag)

    assert directory == archive
    assert directory.status == 0


def test_second_run_uses_what_the_node_compiled(trees: tuple[Path, Path, str]) -> None:
    """Bytecode for -O is compiled once, into the node cache."""
    folder, cache, hash_ = trees
    program = "import app.optim; print(app.optim.f())"

    first = from_archive(hash_, cache, program, ["-O"])
    compiled = sorted((cache / "bytecode").rglob("*"))
    second = from_archive(hash_, cache, program, ["-O"])

    assert first == second == from_directory(folder, program, ["-O"])
    assert compiled
    assert sorted((cache / "bytecode").rglob("*")) == compiled


@pytest.mark.parametrize("everything", [False, True], ids=["", "all there"])
@pytest.mark.parametrize(
    "start",
    [
        "'cases'",
        "'cases.deep'",
        "'space'",
        "'nothing_there'",
        "'cases.test_one'",
        "root",
        "root + '/cases', top_level_dir=root",
    ],
)
def test_unittest_discovers(tmp_path: Path, start: str, everything: bool) -> None:
    """Also in a pure package: to find no test would look like success."""
    case = "import unittest\nclass T(unittest.TestCase):\n    def test(self): {}\n"
    folder = write_tree(
        {
            "cases/__init__.py": "",
            "cases/test_one.py": case.format("pass"),
            "cases/deep/__init__.py": "",
            "cases/deep/test_two.py": case.format("self.fail('as it must')"),
            "space/test_three.py": case.format("pass"),
            "test_four.py": case.format("pass"),
        },
        tmp_path / "site",
    )
    hash_ = pack_tree(folder, tmp_path / "cache")
    program = dedent(f"""
        import importlib.util, os, sys, unittest
        root = os.path.dirname(importlib.util.find_spec("test_four").origin)
        if {everything}: import cases, space
        try:
            found = unittest.TestLoader().discover({start})
        except Exception as error:
            sys.exit(f"{{type(error).__name__}}: {{error}}")
        result = unittest.TextTestRunner(open(os.devnull, "w")).run(found)
        print(result, sorted(sys.modules.keys() & {{
            "cases.test_one", "cases.deep.test_two", "space.test_three", "test_four"
        }}))
        """)

    directory = from_directory(folder, program)

    assert from_archive(hash_, tmp_path / "cache", program) == directory
    if start == "root":
        assert "run=3 errors=0 failures=1" in directory.stdout


@pytest.mark.skipif(sys.version_info < (3, 15), reason="PEP 810 is new in Python 3.15")
def test_lazy_import_statement(trees: tuple[Path, Path, str]) -> None:
    """``lazy import`` binds on first use, and finds the module in the archive."""
    program = """
        lazy import app.core
        import sys
        print("app.core" in sys.modules)
        print(app.core.answer(), "app.core" in sys.modules)
        """

    directory, archive = outcomes(trees, program)

    assert directory == archive
    assert archive.stdout.split() == ["False", "42", "True"]
