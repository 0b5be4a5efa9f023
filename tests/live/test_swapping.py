"""Swaps: what changes in a living process, and what stays the very same."""

from __future__ import annotations

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
    assert run(
        """
        import app.main
        refs = []
        for number in range(1, 6):
            refs.append(weakref.ref(current_generation()))
            refs.append(weakref.ref(sys.modules['app.main']))
            to(number)
            import app.main
            assert app.main.late() == number + 1
            gc.collect()
        del app
        gc.collect()
        print([ref() for ref in refs if ref() is not None])
        """,
        *map(version, range(1, 7)),
    ) == ["[]"]


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
