"""Tracing: spans of OpenTelemetry for push, fetch, install and deploy.

This loads nothing, and records nothing until somebody else has loaded OpenTelemetry:
before that nobody can have said where spans go. The command line loads it where
``OTEL_EXPORTER_OTLP_ENDPOINT`` is set. `lazyimport.lazy.traced` marks the functions
whose calls are spans.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MODULE = "opentelemetry.trace"


def call(
    name: str,
    function: Callable[..., Any],
    arguments: tuple[object, ...],
    options: dict[str, object],
) -> Any:
    """Call a function in a span called ``lazyimport NAME``."""
    tracer = _tracer()
    if tracer is None:
        return function(*arguments, **options)
    with tracer.start_as_current_span(f"lazyimport {name}"):
        return function(*arguments, **options)


def note(**facts: object) -> bool:
    """Add *facts* to the span of the call; return whether it is recorded."""
    if _tracer() is None:
        return False
    span = sys.modules[_MODULE].get_current_span()
    span.set_attributes(_attributes(facts))
    return bool(span.is_recording())


def record(name: str, began: float, seconds: float, **facts: object) -> None:
    """Record a span that *began* at a time since the epoch and lasted *seconds*."""
    if (tracer := _tracer()) is not None:
        start = int(began * 1e9)
        span = tracer.start_span(
            f"lazyimport {name}", attributes=_attributes(facts), start_time=start
        )
        span.end(start + int(seconds * 1e9))


def _tracer() -> Any:
    """Return OpenTelemetry's tracer for us, None if nobody has loaded it."""
    module = sys.modules.get(_MODULE)
    get = getattr(module, "get_tracer", None)  # it may be just being imported
    return get and get("lazyimport")


def _attributes(facts: dict[str, object]) -> dict[str, object]:
    return {f"lazyimport.{k}": v for k, v in facts.items() if v is not None}
