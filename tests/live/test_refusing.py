"""Versions that cannot take over: nothing has changed, and the next good one works."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.live.conftest import Run
from tests.live.test_swapping import APP, version

BROKEN = {
    "SyntaxError": ("def f(:\n", "app/main.py:1: SyntaxError: invalid syntax"),
    "no such module": (
        "import nowhere\n",
        "app/main.py:1: ModuleNotFoundError: No module named 'nowhere'",
    ),
    "no such submodule": (
        "from app import nothing\n",
        "app/main.py:1: ImportError: cannot",
    ),
    "no such name": ("from app.model import X\n", "app/main.py:1: ImportError: cannot"),
    "raises": ("1 / 0\n", "app/main.py:1: ZeroDivisionError: division by zero"),
    "raises deeper": (
        "def f():\n    raise KeyError('x')\nf()\n",
        "app/main.py:2: KeyError: 'x'",
    ),
    "exits": ("import sys\nsys.exit(3)\n", "app/main.py:2: SystemExit: 3"),
    "undefined": ("answer\n", "app/main.py:1: NameError: name 'answer'"),
    "recursion": ("def f(): f()\nf()\n", "app/main.py:1: RecursionError: maximum"),
    "half": (
        "from app import consts\nconsts.VERSION = 9\nx = y\n",
        "app/main.py:3: Name",
    ),
}


def test_broken_versions_change_nothing(run: Run) -> None:
    """Each is followed by a question to the old one; the last one is good."""
    texts = [text for text, _ in BROKEN.values()]
    told = run(
        """
        from app import consts, main, model
        before = {n: m for n, m in sys.modules.items() if n.partition('.')[0] == 'app'}
        paths, finders = list(sys.path), list(sys.meta_path)
        files = {n: (m.__file__, m.__spec__, m.__loader__) for n, m in before.items()}
        for number in range(1, 11):
            print(to(number, 'refused').reason.partition('\\n')[0])
            assert (main.answer(), main.late()) == (1, 1)
            after = {n: m for n, m in sys.modules.items() if n.partition('.')[0] == 'app'}
            after.pop('app.lazy')
            assert after == before
            assert (paths, finders) == (sys.path, sys.meta_path)
            assert files == {
                n: (m.__file__, m.__spec__, m.__loader__) for n, m in before.items()
            }
            assert lazyimport.current().hash == HASHES[0] == os.environ['LAZYIMPORT_HASH']
            assert not [n for m in before.values() for n in vars(m) if 'lazyimport' in n]
        to(11)
        import app.main
        print(app.main.answer(), app.main.late(), app.main.model is model)
        """,
        version(1),
        *(version(2, main=text) for text in texts),
        version(3),
    )

    for line, (_, reason) in zip(told, BROKEN.values(), strict=False):
        assert line.startswith(reason)
        assert 1 == line.count("main.py"), "a place is named once"
    assert told[len(BROKEN) :] == ["3 3 True"]


def test_a_native_module_that_changes_is_refused_once_it_is_loaded(run: Run) -> None:
    """A process loads a library once; code around one that stays can change."""
    specs = filter(None, map(importlib.util.find_spec, ("_csv", "_json", "_bisect")))
    spec = next((spec for spec in specs if str(spec.origin).endswith(".so")), None)
    if spec is None:
        pytest.skip("the extension modules of this Python are built in")
    library = Path(str(spec.origin))
    files = version(1, main=f"from app import consts, {spec.name} as native\n{ANSWER}")
    told = run(
        """
        from app import consts
        to(1)
        from app import main as old
        to(2)
        from app import main as new
        print(new.answer(), new.native is old.native, old.native.__name__)
        print(to(3, 'refused').reason)
        print(new.answer(), sys.modules[new.native.__name__] is new.native)
        print(to(4).state)
        """,
        {**files, f"app/{library.name}": library.read_bytes() + b"an older one"},
        {**files, f"app/{library.name}": library.read_bytes()},
        {**files, f"app/{library.name}": library.read_bytes(), "app/consts.py": "VERSION = 2\n"},
        {**files, f"app/{library.name}": library.read_bytes() + b"another one"},
        {**files, f"app/{library.name}": library.read_bytes(), "app/consts.py": "VERSION = 3\n"},
    )  # fmt: skip

    assert told[0] == f"2 True app.{spec.name}"
    assert f"app/{library.name} would have to be loaded again" in told[1]
    assert told[2:] == ["2 True", "swapped"]


ANSWER = "def answer():\n    return consts.VERSION\n"


def test_an_archive_that_is_nowhere_is_refused(run: Run) -> None:
    told = run(
        """
        from app import main
        print(swap('0' * 64).reason)
        print(main.answer())
        """,
        APP,
    )

    assert "0" * 64 in told[0]
    assert told[1] == "1"


def test_what_a_refused_version_has_imported_is_gone(run: Run) -> None:
    """From packages that stay too; what the old version imported meanwhile is not."""
    files = version(1, extra="VERSION = 1\n", main=LATE)
    told = run(
        """
        from app import main
        def prepare(generation):
            generation.import_module('app.extra')
            assert main.meanwhile().VERSION == 1
            raise ValueError
        print(to(1, 'refused', prepare=prepare).reason)
        import app
        print('extra' in vars(app), 'app.extra' in sys.modules, app.lazy.VERSION)
        print(main.late().VERSION)
        """,
        files,
        {**files, "app/consts.py": "VERSION = 2\n", "app/extra.py": "VERSION = 2\n"},
    )

    assert told == ["ValueError: ", "False False 1", "1"]


LATE = """
from app import consts
def late():
    from app import extra
    return extra
def meanwhile():
    from app import lazy
    return lazy
"""


def test_requests_find_their_version_while_another_is_refused(run: Run) -> None:
    """Through a package that stays, whose submodules come and go."""
    main = "import app.consts\ndef answer():\n    return app.consts.VERSION\n"
    told = run(
        """
        import app.main as main
        sys.setswitchinterval(1e-6)
        told, end = set(), threading.Event()
        def ask():
            while not end.is_set():
                try:
                    told.add(main.answer())
                except BaseException as error:
                    told.add(repr(error))
        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            to(1, 'refused')
        end.set()
        for thread in threads:
            thread.join()
        print(told)
        """,
        version(1, main=main),
        version(2, main=f"{main}1 / 0\n"),
    )

    assert told == ["{1}"]


PROXY = """
from app import consts
class Proxy:
    @property
    def __class__(self):
        raise RuntimeError("nothing is configured")
proxy = Proxy()
"""


def test_nothing_is_raised_for_what_user_code_does(run: Run) -> None:
    told = run(
        """
        import app.main
        for number in 1, 2:
            print(to(number, 'refused').reason)
        with_thread = threading.Thread(target=lambda: print(to(3, 'refused').reason))
        with_thread.start()
        with_thread.join()
        print(swap('4be8').reason[:21], swap(None).state)
        print(to(4).state)
        """,
        version(1, main=PROXY),
        version(1, main="class E(Exception):\n    __str__ = None\nraise E\n"),
        version(1, main="class E(Exception):\n    def __str__(self): 1 / 0\nraise E\n"),
        version(1, main="raise KeyboardInterrupt\n"),
        version(2, main=PROXY),
    )

    assert told == [
        "app/main.py:3: E, which cannot be shown as text",
        "app/main.py:3: E, which cannot be shown as text",
        "app/main.py:1: KeyboardInterrupt: ",
        "not an archive's hash refused",
        "swapped",
    ]


def test_a_module_that_imports_for_long_puts_the_swap_off(run: Run) -> None:
    told = run(
        """
        import lazyimport.live.swapping
        lazyimport.live.swapping._PATIENCE = 0.1
        from app import main
        importing = threading.Thread(target=importlib.import_module, args=['app.slow'])
        importing.start()
        while 'app.slow' not in sys.modules:
            time.sleep(0.01)
        print(to(1, 'refused').reason)
        sys.modules['app.slow'].end = True
        importing.join()
        to(1)
        """,
        {**APP, "app/slow.py": SLOW},
        {**version(2), "app/slow.py": SLOW},
    )

    assert len(told) == 1
    assert told[0].startswith("a module is being imported for more than 0.1 seconds")


SLOW = """
import time
end = False
while not end:
    time.sleep(0.01)
"""
