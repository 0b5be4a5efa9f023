"""Methods that stand for those of a deployment, and are of the same kinds."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NamedTuple

from lazyimport.ray import serve_internals

#: the parameter through which Serve passes the context of a gRPC request
_GRPC = "grpc_context"


class Shape(NamedTuple):
    """What Serve sees of a method.

    ``kind`` is ``sync``, ``async``, ``generator`` or ``async generator``. ``takes`` is
    whether an HTTP request is passed to it, ``grpc`` whether the context of gRPC is.
    """

    kind: str
    takes: bool
    grpc: bool
    multiplexed: bool


def shapes_of(real: Any) -> dict[str, Shape]:
    """Return the shapes of a deployment's methods, or of the function, by name."""
    if not inspect.isclass(real):
        return {"__call__": _shape(real, takes=bool(_parameters(real)))}
    known = serve_internals.names_of_asgi() if serve_internals.serves_asgi(real) else ()
    found = {}
    for name in dir(real):
        own = name == "__call__" or name[:1] != "_"
        if own and name not in known and name != "reconfigure":
            value = getattr(real, name)
            if callable(value) and not inspect.isclass(value):
                static = inspect.getattr_static(real, name)
                bound = isinstance(static, (staticmethod, classmethod))
                takes = name != "__call__" or len(_parameters(value)) > (not bound)
                found[name] = _shape(value, takes=takes)
    return found


def make_method(name: str, shape: Shape) -> Callable[..., Any]:
    """Return a method that calls *name* of the object that serves the request.

    Serve pickles it by value, so it names nothing but what `StandIn` has.
    """
    method = _MAKERS[shape.kind](name)
    parameters = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)]
    if shape.takes:
        parameters.append(inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL))
    if shape.grpc:
        parameters.append(inspect.Parameter(_GRPC, inspect.Parameter.KEYWORD_ONLY))
    if shape.takes:
        parameters.append(inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD))
    method.__name__ = name
    method.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    if shape.multiplexed:
        serve_internals.mark_multiplexed(method)
    return method


def _shape(function: Any, *, takes: bool) -> Shape:
    grpc = _GRPC in _parameters(function)
    multiplexed = serve_internals.is_multiplexed(function)
    return Shape(_kind_of(function), takes, grpc, multiplexed)


def _parameters(function: Any) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(function).parameters)
    except ValueError:  # it is built in
        return ("self", "args")


def _kind_of(function: Any) -> str:
    if inspect.isasyncgenfunction(function):
        return "async generator"
    if inspect.iscoroutinefunction(function):
        return "async"
    return "generator" if inspect.isgeneratorfunction(function) else "sync"


def _sync(name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self._request() as real:
            result = getattr(real, name)(*args, **kwargs)
            return self._hold(result)

    return method


def _async(name: str) -> Callable[..., Any]:
    async def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self._request() as real:
            return self._hold(await getattr(real, name)(*args, **kwargs))

    return method


def _generator(name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        with self._request() as real:
            yield from getattr(real, name)(*args, **kwargs)

    return method


def _async_generator(name: str) -> Callable[..., Any]:
    async def method(self: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        with self._request() as real:
            made = getattr(real, name)(*args, **kwargs)
            async with contextlib.aclosing(made) as items:
                async for item in items:
                    yield item

    return method


_MAKERS = {
    "sync": _sync,
    "async": _async,
    "generator": _generator,
    "async generator": _async_generator,
}
