"""Swaps: what changes in a living process, and what stays the very same."""

from __future__ import annotations

import pytest

from tests.live.conftest import Run
from tests.support.compare_importers import Files

OFF = (
    "code cannot change in this process: start it with LAZYIMPORT_LIVE=1 and an "
    "archive to run"
)
APP: Files = {
    "app/__init__.py": "",
    "app/consts.py": "VERSION = 1\n",
    "app/model.py": "class Model:\n    pass\nMODEL = Model()\n",
    "app/main.py": """
        from app import consts, model
        def answer():
            return consts.VERSION
        def late():
            from app import lazy
            return lazy.VERSION
    """,
    "app/lazy.py": "from app.consts import VERSION\n",
}


def version(number: int, **files: str) -> dict[str, str | bytes]:
    """Return APP with another number in it, and *files* (``a_b`` is a/b.py)."""
    changed = {f"app/{name}.py": text for name, text in files.items()}
    return {**APP, "app/consts.py": f"VERSION = {number}\n", **changed}


def test_changed_modules_and_importers_are_executed_again(run: Run) -> None:
    assert run(
        """
        from app import consts, main, model
        done = to(1)
        print(*sorted(done.modules))
        import app.main
        print(main.answer(), app.main.answer(), app.main is main)
        print(sys.modules['app.model'] is model, app.main.model.MODEL is model.MODEL)
        print(lazyimport.current().hash == HASHES[1] == os.environ['LAZYIMPORT_HASH'])
        """,
        version(1),
        version(2),
    ) == ["app.consts app.main", "1 2 False", "True True", "True"]


def test_old_code_imports_its_own_version(run: Run) -> None:
    assert run(
        """
        from app import main as old
        to(1)
        from app import main as new
        print(old.late(), new.late(), old.late())
        """,
        version(1),
        version(2),
    ) == ["1 2 1"]


def test_a_broken_version_changes_nothing(run: Run) -> None:
    assert run(
        """
        from app import consts, main, model
        done = to(1, 'refused')
        print(done.reason)
        print(main.answer(), main.late(), sys.modules['app.consts'] is consts)
        print(lazyimport.current().hash == HASHES[0])
        to(2)
        import app.main
        print(app.main.answer(), app.main.late(), app.main.model is model)
        """,
        version(1),
        version(2, main="from app import consts\nraise KeyError(5)\n"),
        version(3),
    ) == ["app/main.py:2: KeyError: 5", "1 1 True", "True", "3 3 True"]


def test_what_cannot_be_made_anew_refuses_the_swap(run: Run) -> None:
    assert run(
        """
        from app import main
        def prepare(generation):
            made = generation.import_module('app.main')
            raise OSError(f'no weights for {made.answer()}')
        done = to(1, 'refused', prepare=prepare)
        print(done.reason)
        made = []
        to(1, prepare=lambda g: made.append(g.import_module('app.main').answer()))
        import app.main
        print(main.answer(), made, app.main.answer())
        """,
        version(1),
        version(2),
    ) == ["OSError: no weights for 2", "1 [2] 2"]


def test_requests_end_in_the_generation_in_which_they_began(run: Run) -> None:
    assert run(
        """
        from app import main
        async def request(seconds):
            with current_generation().enter() as mine:
                made = mine.import_module('app.main')
                first = made.answer()
                await asyncio.sleep(seconds)
                return first, made.late(), importlib.import_module('app.lazy').VERSION
        async def both():
            long = asyncio.create_task(request(0.2))
            await asyncio.sleep(0.05)
            await asyncio.to_thread(to, 1)
            print(await request(0), await long)
        asyncio.run(both())
        """,
        version(1),
        version(2),
    ) == ["(2, 2, 2) (1, 1, 1)"]


def test_old_versions_are_freed(run: Run) -> None:
    """Caches of others let go of them, and their archives are closed."""
    classes = """
        import dataclasses, functools, typing
        from app import consts, model
        @dataclasses.dataclass
        class Item:
            parts: "list[Item]"
        class Base:
            pass
        class Derived(Base):
            pass
        Items = typing.List[Item]
        Maybe = typing.Optional[Derived]
        @functools.cache
        def cached(kind):
            return [kind]
        cached(Item)
        def answer():
            return consts.VERSION
        def late():
            from app import lazy
            return lazy.VERSION
    """
    assert run(
        """
        import app.main, linecache
        refs = []
        for number in range(1, 6):
            old = sys.modules['app.main']
            refs += map(weakref.ref, [current_generation(), old, old.Item, old.Derived])
            linecache.lazycache(old.__file__, vars(old))
            del old
            to(number)
            import app.main
            assert app.main.late() == number + 1
        live_state().settler.finish()
        print([ref() for ref in refs if ref() is not None])
        print(open('/proc/self/maps').read().count('/archives/'))
        """,
        *(version(number, main=classes) for number in range(1, 7)),
    ) == ["[]", "1"]


def test_old_versions_are_freed_though_another_thread_was_collecting(run: Run) -> None:
    """The collector of Python does nothing for a second thread."""
    assert run(
        """
        import app.main
        old = weakref.ref(app.main)
        del app
        collecting, tried = threading.Event(), threading.Event()
        class Slow:
            def __del__(self):
                collecting.set()
                tried.wait(30)
        def collect():
            slow = Slow()
            slow.itself = slow
            del slow
            gc.collect()
        collector = threading.Thread(target=collect)
        collector.start()
        collecting.wait(30)
        to(1)
        settler = threading.Thread(target=live_state().settler.finish)
        settler.start()
        settler.join(1.5)
        print(settler.is_alive(), old() is None)
        tried.set()
        collector.join()
        settler.join()
        print(old())
        """,
        version(1),
        version(2),
    ) == ["True False", "None"]


def test_what_finalizers_leave_in_a_thread_is_left_once(run: Run) -> None:
    """That of `serve.batch` asks for the thread's event loop, and never closes it."""
    left = """
        import threading
        class Left:
            def __init__(self):
                self.itself = self
            def __del__(self):
                threads.add(threading.current_thread())
                done.set()
        Left()
        from app import consts
        from app.noting import done, threads
    """
    noting = "import threading\ndone, threads = threading.Event(), set()\n"
    assert run(
        """
        import app.main
        from app.noting import done, threads
        gc.disable()
        gc.collect()
        threads.clear()
        done.clear()
        for number in range(1, 4):
            del app
            to(number)
            import app.main
            assert done.wait(50)
            done.clear()
        print(len(threads), threading.current_thread() in threads)
        """,
        *(version(number, main=left, noting=noting) for number in range(1, 5)),
    ) == ["1 False"]


def test_three_versions_are_alive_at_most_and_those_that_requests_hold(
    run: Run,
) -> None:
    """However fast they follow each other, and whenever requests end."""
    assert run(
        """
        import app.main
        def count(generation):
            alive = [each() for each in live_state().generations]
            counts.append(sum(each is not None for each in alive) - len(held))
        counts, held = [], []
        gc.disable()
        for number in range(1, 9):
            if number in {3, 5}:
                held.append(current_generation().enter())
                held[-1].__enter__()
            if number == 7:
                held.pop().__exit__()
                held.pop().__exit__()
            to(number, prepare=count)
        print(len(counts), max(counts) <= 3)
        """,
        *(version(number) for number in range(1, 10)),
    ) == ["8 True"]


def test_a_version_that_a_request_held_is_freed_when_that_ends(run: Run) -> None:
    """No other swap has to come for that."""
    assert run(
        """
        import app.main
        gc.disable()
        stay = current_generation().enter()
        stay.__enter__()
        freed = threading.Event()
        weakref.finalize(current_generation(), freed.set)
        to(1)
        live_state().settler.finish()
        assert not freed.is_set()
        stay.__exit__()
        del stay
        print(freed.wait(50))
        """,
        version(1),
        version(2),
    ) == ["True"]


def test_what_raises_when_it_is_looked_at_keeps_no_old_version(run: Run) -> None:
    main = """
        import functools
        from app import consts
        class Proxy:
            @property
            def __class__(self):
                raise RuntimeError("nothing is configured")
        class Item: pass
        @functools.cache
        def cached(kind):
            return Proxy()
        cached(Item)
    """
    assert run(
        """
        import app.main
        old = weakref.ref(app.main.Item)
        to(1)
        live_state().settler.finish()
        print(old())
        """,
        version(1, main=main),
        version(2, main=main),
    ) == ["None"]


def test_a_forked_child_imports_though_others_closed_the_gate(run: Run) -> None:
    assert run(
        """
        from lazyimport.live.state import live_state
        from app import main
        closing = threading.Thread(target=live_state().gate.close, args=[1])
        closing.start()
        closing.join()
        child = os.fork()
        if not child:
            os._exit(main.late())
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), lazyimport.stats().live)
        live_state().gate.open()
        """,
        version(1),
    ) == ["1 True"]


def test_a_child_goes_on_with_the_import_in_which_it_was_forked(run: Run) -> None:
    forks = """
        import os, signal, threading
        from lazyimport.live.state import live_state
        held, end = threading.Event(), threading.Event()
        def hold():
            with live_state().gate._condition:
                held.set()
                end.wait()
        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        CHILD = os.fork()
        if not CHILD:
            signal.alarm(20)
        end.set()
    """
    assert run(
        """
        import signal
        from app import forks
        if not forks.CHILD:
            signal.alarm(0)
            from app import main
            os._exit(main.late())
        print(os.waitstatus_to_exitcode(os.waitpid(forks.CHILD, 0)[1]))
        """,
        version(1, forks=forks),
    ) == ["1"]


def test_what_imports_with_the_lock_of_logging_does_not_stop_a_swap(run: Run) -> None:
    main = """
        import logging
        from app import consts
        logging.getLogger("app").addHandler(logging.NullHandler())
    """
    assert run(
        """
        import app.main, logging
        from lazyimport.live.state import live_state
        gate, held = live_state().gate, threading.Event()
        def configure():
            with logging._lock:
                held.set()
                until = time.monotonic() + 1
                while not gate._closed_by and time.monotonic() < until:
                    pass
                import app.lazy
        thread = threading.Thread(target=configure, daemon=True)
        thread.start()
        held.wait()
        changing = threading.Thread(target=to, args=[1], daemon=True)
        changing.start()
        for each in (changing, thread):
            each.join(20)
        print(changing.is_alive(), thread.is_alive())
        """,
        version(1, main=main),
        version(2, main=main),
    ) == ["False False"]


def test_live_is_off_unless_the_environment_says_so(run: Run) -> None:
    assert run(
        """
        import builtins
        print(swap(HASHES[1]).reason)
        print(builtins.__import__)
        """,
        version(1),
        version(2),
        LAZYIMPORT_LIVE="",
    ) == [
        OFF,
        "<built-in function __import__>",
    ]


def test_data_counts_for_the_modules_that_read_it(run: Run) -> None:
    files = {
        "app/__init__.py": "",
        "app/page.py": """
            from importlib.resources import files
            TEXT = files('app').joinpath('page.txt').read_text()
        """,
        "app/other/__init__.py": "",
        "app/other/part.py": "",
        "app/main.py": "from app import page\nimport app.other.part\n",
    }
    assert run(
        """
        import app.main
        print(*to(1).modules)
        import app.main
        print(app.main.page.TEXT)
        """,
        {**files, "app/page.txt": "old"},
        {**files, "app/page.txt": "new"},
    ) == ["app app.main app.page", "new"]


def test_modules_that_stay_find_what_is_new(run: Run) -> None:
    """Submodules, data and sources, as a fresh process does."""
    files = {
        "app/__init__.py": "def more():\n    from app import added\n    return added.X\n",
        "app/stays.py": """
            import inspect
            from importlib.resources import files
            def text():
                return files('app.data').joinpath('a.txt').read_text()
            def source():
                return inspect.getsource(text).split()[0]
        """,
        "app/data/__init__.py": "",
        "app/data/a.txt": "same",
    }
    assert run(
        """
        import app.stays
        from app import stays
        to(1)
        gc.collect()
        print(app.stays is stays, stays.text(), stays.source())
        print(importlib.import_module('app.new').X, stays.__file__ == stays.__spec__.origin)
        print(HASHES[1] in stays.__file__)
        """,
        files,
        {**files, "app/new.py": "X = 'new'\n"},
    ) == ["True same def", "new True", "True"]


def test_a_name_that_appears_is_found_by_who_looked_for_it(run: Run) -> None:
    files = {
        "app/__init__.py": "",
        "app/main.py": """
            try:
                from app import fast
            except ImportError:
                fast = None
        """,
    }
    assert run(
        """
        import app.main
        print(*to(1).modules, sys.modules['app.main'].fast.X)
        print(*to(2).modules, sys.modules['app.main'].fast, 'app.fast' in sys.modules)
        """,
        files,
        {**files, "app/fast.py": "X = 1\n"},
        {**files, "app/other.py": ""},
    ) == ["app.main 1", "app.main app.fast None False"]


def test_threads_of_old_code_run_on_in_their_version(run: Run) -> None:
    """Also where they were started while the module was executed."""
    files = version(1)
    main = (
        str(files["app/main.py"])
        + """
        import threading
        told = []
        def work():
            while len(told) < 3:
                told.append((answer(), late()))
                more.acquire()
        more = threading.Semaphore(0)
        thread = threading.Thread(target=work)
        thread.start()
    """
    )
    assert run(
        """
        import app.main
        old = app.main
        to(1)
        import app.main
        new = app.main
        for module in (old, new):
            while module.thread.is_alive():
                module.more.release()
        print(set(old.told), set(new.told))
        """,
        version(1, main=main),
        version(2, main=main),
    ) == ["{(1, 1)} {(2, 2)}"]


def test_at_end_is_called_when_nobody_uses_the_old_version(run: Run) -> None:
    assert run(
        """
        from app import main
        old = current_generation()
        old.at_end(lambda: print('end'))
        with old.enter():
            to(1)
            print('swapped', old.users)
        print('left', old.users)
        """,
        version(1),
        version(2),
    ) == ["swapped 1", "end", "left 0"]


@pytest.mark.parametrize(
    "made",
    [
        "types.ModuleType(__name__)",
        "types.SimpleNamespace()",
        "types.SimpleNamespace(__spec__=__spec__, __name__=__name__)",
    ],
)
def test_a_module_that_puts_an_object_in_its_place(run: Run, made: str) -> None:
    """It can stay, and come; what would have to execute it again is refused."""
    lazy = f"""
        import sys, types
        from app import consts
        def answer():
            import app.consts
            return app.consts.VERSION
        made = {made}
        made.answer = answer
        sys.modules[__name__] = made
    """
    main = "from app import lazy\ndef answer():\n    return lazy.answer()\n"
    told = run(
        """
        from app import main as old
        to(1, 'refused')
        print('app.lazy' in sys.modules)
        to(2)
        from app import main as new
        lazy = sys.modules['app.lazy']
        print(*to(3).modules)
        import app.main
        print(app.main.answer(), new.answer(), sys.modules['app.lazy'] is lazy)
        print(to(4, 'refused').reason)
        print(app.main.answer(), new.answer(), sys.modules['app.lazy'] is lazy)
        """,
        version(1),
        version(1, main=main + "1 / 0\n", lazy=lazy),
        version(1, main=main, lazy=lazy),
        version(1, main=main + "#\n", lazy=lazy),
        version(2, main=main, lazy=lazy),
    )
    assert told[:3] == ["False", "app.main", "1 1 True"]
    assert "app.lazy would have to be executed again" in told[3]
    assert told[4:] == ["1 1 True"]


def test_a_swap_before_anything_is_imported(run: Run) -> None:
    """Nothing has opened the archive that this process began with."""
    assert run(
        """
        to(1)
        from app import main
        print(main.answer(), main.late())
        """,
        version(1),
        version(2),
    ) == ["2 2"]
