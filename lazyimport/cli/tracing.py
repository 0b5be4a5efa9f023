"""Where the spans of a command go: to the collector that variables name."""

from __future__ import annotations

from collections.abc import Mapping


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
    name = environ.get("OTEL_SERVICE_NAME") or "lazyimport"
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)  # which sends what is left at the end
    parent = {"traceparent": environ.get("TRACEPARENT", "")}
    context.attach(TraceContextTextMapPropagator().extract(parent))
