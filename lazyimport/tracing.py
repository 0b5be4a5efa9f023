"""Tracing: spans of OpenTelemetry for push, fetch, install and deploy.

Nothing is loaded for it, and nothing recorded before somebody else has loaded
OpenTelemetry: until then nobody can have said where spans go. The command line does
that where ``OTEL_EXPORTER_OTLP_ENDPOINT`` is set.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    Function = TypeVar("Function", bound=Callable[..., Any])

_MODULE = "opentelemetry.trace"


def traced(name: str) -> Callable[[Function], Function]:
    """Make each call of a function a span called ``lazyimport NAME``."""

    def decorate(function: Function) -> Function:
        def call(*arguments: Any, **options: Any) -> Any:
            tracer = _tracer()
            if tracer is None:
                return function(*arguments, **options)
            with tracer.start_as_current_span(f"lazyimport {name}"):
                return function(*arguments, **options)

        # functools is not loaded where a process starts
        call.__wrapped__ = function  # type: ignore[attr-defined]
        for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
            setattr(call, attribute, getattr(function, attribute))
        return call  # type: ignore[return-value]

    return decorate


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
