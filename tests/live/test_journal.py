"""What modules register elsewhere goes with them, and comes back with them."""

from __future__ import annotations

import pytest

from tests.live.conftest import Run

LOGS = """
    import atexit, logging, signal
    VERSION = {version}
    log = logging.getLogger("app")
    log.setLevel(logging.INFO)
    handler = logging.StreamHandler(__import__("sys").stdout)
    handler.setFormatter(logging.Formatter(f"v{{VERSION}} %(message)s"))
    log.addHandler(handler)
    atexit.register(print, "end of", VERSION)
    def on_signal(*_):
        print("signal", VERSION)
    signal.signal(signal.SIGUSR1, on_signal)
    {more}
"""


def logs(version: int, more: str = "") -> dict[str, str]:
    return {
        "app/__init__.py": "",
        "app/logs.py": LOGS.format(version=version, more=more),
    }


def test_one_line_for_each_call_after_many_swaps(run: Run) -> None:
    told = run(
        """
        import app.logs, logging, signal
        for number in range(1, 4):
            to(number)
        to(4, 'refused')
        logging.getLogger('app').info('hello')
        signal.raise_signal(signal.SIGUSR1)
        """,
        *map(logs, range(1, 5)),
        logs(9, more="raise ValueError"),
    )

    assert told == ["v4 hello", "signal 4", "end of 4"]


def test_what_the_program_has_taken_back_stays_so(run: Run) -> None:
    more = "log.removeHandler(handler)\n    atexit.unregister(print)"
    told = run(
        """
        import app.logs, logging
        to(1, 'refused')
        print(logging.getLogger('app').handlers)
        """,
        logs(1, more=more),
        logs(2, more="1 / 0"),
    )

    assert told == ["[]"]


def test_metrics_are_not_doubled(run: Run) -> None:
    pytest.importorskip("prometheus_client")
    metrics = """
        from prometheus_client import REGISTRY, Counter
        VERSION = {version}
        REQUESTS = Counter("requests", "All of them")
        class Server:
            def __init__(self):
                self.errors = Counter("errors", "Those that failed")
                if VERSION == 2:
                    raise OSError("no weights")
        def count():
            return sorted(
                s.name for m in REGISTRY.collect() for s in m.samples if s.name[-5:] == 'total'
            )
    """
    told = run(
        """
        import app.metrics as first
        first.Server()
        first.REQUESTS.inc()
        names = [n for n in first.count() if n in ('requests_total', 'errors_total')]
        make = lambda generation: generation.import_module('app.metrics').Server()
        to(1, 'refused', prepare=make)
        print([n for n in first.count() if n in ('requests_total', 'errors_total')] == names)
        print(first.REGISTRY.get_sample_value('requests_total'))
        to(2, prepare=make)
        print([n for n in first.count() if n in ('requests_total', 'errors_total')] == names)
        print(first.REGISTRY.get_sample_value('requests_total'))
        """,
        *(
            {"app/__init__.py": "", "app/metrics.py": metrics.format(version=number)}
            for number in (1, 2, 3)
        ),
    )

    assert told == ["True", "1.0", "True", "0.0"]


def test_what_requests_register_and_take_back_is_not_remembered(run: Run) -> None:
    """Else a process that serves for long keeps each of their handlers and metrics."""
    pytest.importorskip("prometheus_client")
    request = """
        import atexit, logging, signal
        from prometheus_client import CollectorRegistry, Gauge
        log = logging.getLogger("app")
        class Handler(logging.NullHandler):
            pass
        class Registry(CollectorRegistry):
            pass
        class Made(Gauge):
            pass
        def on_signal(*_):
            pass
        def work():
            handler = Handler()
            log.addHandler(handler)
            log.removeHandler(handler)
            atexit.register(handler.close)
            atexit.unregister(handler.close)
            before = signal.signal(signal.SIGUSR1, on_signal)
            signal.signal(signal.SIGUSR1, before)
            Made("pushed", "and forgotten", registry=Registry())
            registry = CollectorRegistry()
            registry.unregister(Made("taken", "back", registry=registry))
    """
    told = run(
        """
        from app.request import Handler, Made, Registry, work
        for _ in range(50):
            work()
        gc.collect()
        work()
        kinds = Handler, Made, Registry
        print(*(sum(type(one) is kind for one in gc.get_objects()) for kind in kinds))
        """,
        {"app/__init__.py": "", "app/request.py": request},
    )

    assert told == ["0 0 0"]


def test_a_handler_that_was_set_twice_gives_way_to_the_one_before(run: Run) -> None:
    handlers = """
        import signal
        def on_signal(*_):
            print("signal", {version})
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.signal(signal.SIGUSR1, on_signal)
    """
    told = run(
        """
        import signal
        signal.signal(signal.SIGUSR1, lambda *_: print("program"))
        import app.main
        signal.raise_signal(signal.SIGUSR1)
        to(1)
        signal.raise_signal(signal.SIGUSR1)
        to(2, 'refused')
        signal.raise_signal(signal.SIGUSR1)
        to(3)
        signal.raise_signal(signal.SIGUSR1)
        """,
        *(
            {"app/__init__.py": "", "app/main.py": text}
            for text in (
                handlers.format(version=1),
                handlers.format(version=2),
                handlers.format(version=3) + "    1 / 0\n",
                "",
            )
        ),
    )

    assert told == ["signal 1", "signal 2", "signal 2", "program"]
