"""Versions that cannot take over: nothing has changed, and the next good one works."""

from __future__ import annotations

import sysconfig

from tests.live.conftest import Run
from tests.live.test_swapping import APP, version

BROKEN = {
    "SyntaxError": ("def f(:\n", "app/main.py:1: SyntaxError: invalid syntax"),
    "no such module": (
        "import nowhere\n",
        "app/main.py:1: ArchiveModuleMissing: No module named 'nowhere'",
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
    assert told[len(BROKEN) :] == ["3 3 True"]


def test_what_cannot_be_loaded_twice_or_at_all(run: Run) -> None:
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    told = run(
        """
        from app import main
        print(to(1, 'refused').reason)
        print(to(2, 'refused').reason.replace(HASHES[2], 'HASH'))
        print(swap('0' * 64).reason.replace('0' * 64, 'HASH'))
        print(main.answer())
        """,
        {**APP, f"app/fast{suffix}": "one"},
        {**APP, f"app/fast{suffix}": "two", "app/main.py": "import app.fast"},
        {**APP, "app/main.py": "raise ValueError"},
    )

    assert told[0].startswith("app/main.py:1: ")
    assert told[1] == "app/main.py:1: ValueError: "
    assert "HASH" in told[2]
    assert told[3] == "1"


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
