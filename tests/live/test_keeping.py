"""keep: one object under a living model, as long as its code and arguments stay."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.live.conftest import Run

MODEL = """
    from app import consts
    LOADS = []
    class Model:
        def __init__(self, path):
            self.path = path
            LOADS.append(path)
    def load(path):
        return Model(path)
"""
SERVE = """
    from lazyimport import keep
    from app import model, consts
    class Server:
        def __init__(self):
            self.version = consts.VERSION
            self.model = keep("model", model.load, {arguments!r}{option})
"""
PROGRAM = """
    import app.serve
    old = app.serve.Server()
    made = []
    def prepare(generation):
        made.append(generation.import_module('app.serve').Server())
    done = to(1, prepare=prepare)
    new, = made
    print(old.version, new.version, new.model is old.model, *done.kept)
    print(len(app.serve.model.LOADS), new.model.path)
"""


def app(
    number: int,
    *,
    model: str = "LOADS = []",
    arguments: str = "/weights",
    option: str = "",
    consts: str = "",
) -> dict[str, str]:
    return {
        "app/__init__.py": "",
        "app/consts.py": f"VERSION = {number}\n{consts}",
        "app/model.py": model,
        "app/serve.py": SERVE.format(arguments=arguments, option=option),
    }


STAYS = MODEL.replace("from app import consts", "")


def test_a_model_stays_while_the_code_around_it_changes(run: Run) -> None:
    assert run(PROGRAM, app(1, model=STAYS), app(2, model=STAYS)) == [
        "1 2 True model",
        "1 /weights",
    ]


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (app(2, model=STAYS, arguments="/others"), "its arguments have changed"),
        (
            app(2, model=STAYS.replace("Model(path)", "Model(path + '!')")),
            "the code that makes it has changed",
        ),
        (
            app(2, model=STAYS.replace("self.path = path", "self.path = path[:]")),
            "the code that makes it has changed",
        ),
        (
            app(2, model=f"{STAYS}    X = 1\n"),
            "it has objects of app.model, which was executed again",
        ),
    ],
)
def test_memory_is_not_taken_twice(run: Run, after: dict[str, str], why: str) -> None:
    told = run(
        """
        import app.serve
        old = app.serve.Server()
        def prepare(generation):
            generation.import_module('app.serve').Server()
        print(to(1, 'refused', prepare=prepare).reason)
        print(len(app.serve.model.LOADS))
        """,
        app(1, model=STAYS),
        after,
    )

    reason = (
        "app/serve.py:7: KeepError: 'model' would be made again while the one from "
        f"before is in memory: {why}; start new processes for this version, or allow "
        "both for a while with keep(..., twice=True)"
    )
    assert told == [reason, "1"]


def test_memory_is_taken_twice_if_that_is_allowed(run: Run) -> None:
    after = app(2, model=STAYS, arguments="/others", option=", twice=True")

    assert run(PROGRAM, app(1, model=STAYS), after) == ["1 2 False", "2 /others"]


def test_a_constant_that_the_factory_reads_counts(run: Run) -> None:
    """The factory makes an object of the image, so its own module does not matter."""
    files = {
        "app/__init__.py": "",
        "app/paths.py": "WEIGHTS = 'a'\n",
        "app/serve.py": """
            import collections
            from lazyimport import keep
            from app import paths
            def load():
                return collections.OrderedDict(path=paths.WEIGHTS)
            def make():
                return keep('weights', load)
        """,
    }
    told = run(
        """
        import app.serve
        old = app.serve.make()
        to(1)
        import app.serve
        print(app.serve.make() is old)
        to(2)
        import app.serve
        try:
            app.serve.make()
        except lazyimport.errors.KeepError as error:
            print(error.key)
        """,
        files,
        {**files, "app/paths.py": "WEIGHTS = 'a'\nOTHER = 1\n"},
        {**files, "app/paths.py": "WEIGHTS = 'b'\nOTHER = 1\n"},
    )

    assert told == ["True", "weights"]


def test_what_a_module_keeps_that_stays_outlives_many_swaps(run: Run) -> None:
    files = {
        "app/__init__.py": "",
        "app/consts.py": "VERSION = 0\n",
        "app/model.py": """
            from lazyimport import keep
            class Model: pass
            MODEL = keep('model', Model)
        """,
    }
    told = run(
        """
        import app.consts, app.model
        old = app.model.MODEL
        for number in 1, 2, 3:
            to(number)
        del app
        print(to(4, 'refused').reason.partition(' would')[0])
        del old
        import app.model
        app.model.MODEL = None
        """,
        *({**files, "app/consts.py": f"VERSION = {number}\n"} for number in range(4)),
        {**files, "app/model.py": files["app/model.py"].replace("pass", "X = 1")},
    )

    assert told == ["app/model.py:4: KeepError: 'model'"]


def test_a_model_that_no_version_asks_for_any_more_is_freed(run: Run) -> None:
    server = app(1, model=STAYS)
    without = {**server, "app/serve.py": "from app import model\n"}
    told = run(
        """
        import app.serve
        server = app.serve.Server()
        model = weakref.ref(server.model)
        del server, app
        for number in 1, 2:
            to(number)
        gc.collect()
        print(model())
        """,
        server,
        without,
        {**without, "app/consts.py": "VERSION = 3\n"},
    )

    assert told == ["None"]


def test_a_refused_swap_lets_go_of_nothing(run: Run) -> None:
    """Not of a model that only a request asks for either."""
    main = "from app import consts, model\nfrom lazyimport import keep\n"
    main += "def get():\n    return keep('model', model.load, 'path')\n"
    files = {**app(1, model=STAYS), "app/main.py": main}
    told = run(
        """
        import app.main
        app.main.get()
        to(1)
        to(2, 'refused')
        import app.main
        app.main.get()
        print(len(app.main.model.LOADS))
        """,
        files,
        {**files, "app/consts.py": "VERSION = 2\n"},
        {**files, "app/consts.py": "1 / 0\n"},
    )

    assert told == ["1"]


def test_without_live_code_each_key_is_made_once() -> None:
    """Nothing is loaded for it of what compares code."""
    program = """
import sys
from lazyimport import keep
made = keep("list", list, "abc")
assert made == ["a", "b", "c"]
assert keep("list", list, "xyz") is made
assert keep("other", list) == []
live = sorted(name for name in sys.modules if name.startswith("lazyimport.live"))
assert live == ["lazyimport.live", "lazyimport.live.kept"], live
assert not {"dis", "inspect", "lazyimport.packing"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_forked_child_keeps_what_another_thread_was_making() -> None:
    program = """
import os, threading
from lazyimport import keep
making, end = threading.Event(), threading.Event()
def make():
    making.set()
    end.wait()
thread = threading.Thread(target=keep, args=["model", make])
thread.start()
making.wait()
child = os.fork()
if not child:
    keep("model", os._exit, 7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
end.set()
"""
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], check=True, timeout=20
    )
