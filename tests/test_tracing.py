"""Spans of OpenTelemetry: where somebody collects them, and at no cost elsewhere."""

from __future__ import annotations

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest

from lazyimport.lazy import traced
from tests.cli.conftest import CommandLine, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("opentelemetry.sdk")

PROGRAM = """\
import sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
import lazyimport
from lazyimport.tracing import record

store, cache, hash = sys.argv[1:]
with lazyimport.install(hash, store=store, cache_dir=cache) as installed:
    assert installed.traced
try:
    lazyimport.install("f" * 64, store=store, cache_dir=cache)
except lazyimport.errors.ArchiveMissing:
    pass
record("late", 1.5, 0.25, hash="x", none=None)
for span in exporter.get_finished_spans():
    names = {s.context.span_id: s.name for s in exporter.get_finished_spans()}
    parent = span.parent and names[span.parent.span_id]
    print(span.name, parent, span.status.status_code.name, dict(span.attributes), sep="|")
    if span.name.endswith("late"):
        print(span.start_time, span.end_time)
"""


def test_spans_of_installing(cli: CommandLine) -> None:
    hash = cli.push(write(cli.folder / "p", {"p.py": ""}))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, cli.url, str(cli.folder / "other"), hash],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "" == done.stderr

    rows = [line.split("|") for line in done.stdout.splitlines()]
    install, fetch = "lazyimport install", "lazyimport fetch"
    assert [fetch, install, "UNSET"] == rows[0][:3]
    assert f"'lazyimport.hash': '{hash}', 'lazyimport.store': '{cli.url}'" in rows[0][3]
    assert [install, "None", "UNSET"] == rows[1][:3]
    assert f"'lazyimport.hash': '{hash}', 'lazyimport.bytes': " in rows[1][3]
    assert [[fetch, install, "ERROR"], [install, "None", "ERROR"]] == [
        row[:3] for row in rows[2:4]
    ]
    assert "{'lazyimport.hash': 'x'}" == rows[4][3]
    assert "1500000000 1750000000" == rows[5][0]


def test_a_process_without_opentelemetry_loads_nothing_for_it() -> None:
    code = (
        "import sys; from lazyimport import tracing\n"
        "from lazyimport.lazy import traced\n"
        "f = traced('x')(lambda a: a)\n"
        "assert f(1) == 1 and not tracing.note(a=1); tracing.record('x', 0, 0)\n"
        "print([n for n in sys.modules if 'opentelemetry' in n or n == 'functools'])"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path += {sys.path!r}\n{code}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ("[]\n", "") == (done.stdout, done.stderr)


def test_what_is_traced_looks_like_the_function() -> None:
    @traced("x")
    def plain(a: int, *, b: int = 2) -> int:
        """Add."""
        return a + b

    from inspect import signature

    assert ("plain", "Add.") == (plain.__name__, plain.__doc__)
    assert ["a", "b"] == list(signature(plain).parameters)
    assert 5 == plain(3)


class Collector(BaseHTTPRequestHandler):
    """Takes what an exporter sends."""

    received: ClassVar[list[tuple[str, bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append((self.path, body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(name="collector")
def _collector() -> Iterator[str]:
    Collector.received.clear()
    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_commands_send_spans_where_the_variables_say(
    cli: CommandLine, project: Path, collector: str
) -> None:
    """As a part of the trace of whoever called them."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
        "TRACEPARENT": f"00-{trace}-00f067aa0ba902b7-01",
    }
    hash = cli.push(project, **environ)

    ((path, body),) = Collector.received
    assert "/v1/traces" == path
    assert b"lazyimport push" in body
    assert hash.encode() in body
    assert bytes.fromhex(trace) in body


def test_a_collector_that_is_away_is_a_warning(cli: CommandLine, project: Path) -> None:
    cli.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:9"
    done = cli.run("push", project, "--store", cli.url)

    *_, last = done.stderr.splitlines()
    assert last.startswith("warning: no spans were sent: ")
    assert "Traceback" not in done.stderr


@pytest.fixture(name="cli")
def _cli(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.fixture(name="project")
def _project(tmp_path: Path) -> Path:
    return write(tmp_path / "project", {"shop.py": "x = 1\n"})
