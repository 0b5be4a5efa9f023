"""Where the spans of a command go: to the collector that variables name."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from lazyimport.cli import console

#: Seconds that a command waits at its end for a collector that does not answer.
_PATIENCE = 2


class _Warning(logging.Handler):
    """Warns in a line, once; OpenTelemetry would show tracebacks."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        console.warn(f"no spans were sent: {error or record.getMessage()}")
        self.setLevel(logging.CRITICAL + 1)


def send_spans(environ: Mapping[str, str]) -> None:
    """Send the spans of this process, as a part of the trace that TRACEPARENT names.

    Does nothing without the extra ``otel``: the variables may be meant for others.
    """
    try:
        from opentelemetry import context, trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import (
            TraceContextTextMapPropagator,
        )
    except ImportError:
        return
    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return  # somebody has done it, such as opentelemetry-instrument
    said = logging.getLogger("opentelemetry")
    said.propagate = False
    said.addHandler(_Warning(logging.ERROR))
    seconds = None if environ.get("OTEL_EXPORTER_OTLP_TIMEOUT") else _PATIENCE
    name = environ.get("OTEL_SERVICE_NAME") or "lazyimport"
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=seconds)))
    trace.set_tracer_provider(provider)  # which sends what is left at the end
    parent = {"traceparent": environ.get("TRACEPARENT", "")}
    context.attach(TraceContextTextMapPropagator().extract(parent))
