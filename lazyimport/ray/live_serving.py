"""An object behind a replica's class, of one version, and its requests."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import inspect
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any
from weakref import finalize, ref

from starlette.responses import Response

from lazyimport.live import Generation
from lazyimport.ray import serve_internals
from lazyimport.ray.live_methods import Shape, shapes_of

_logger = logging.getLogger("ray.serve")
#: What the request at hand is bound to, with all that it has started: weakly, since
#: tasks of Serve that a request has started go on for ever.
_bound: ContextVar[ref[Serving]] = ContextVar("lazyimport_serving")


class Serving:
    """The object that *deployment* makes in its *generation*, and its users.

    ``real`` is the object, ``shapes`` are those of its methods, ``hash`` is that of the
    archive. Requests `take` it and `drop` it; after `retire` nobody can, and it ends
    when the last one has dropped it.
    """

    def __init__(self, deployment: Any, generation: Generation) -> None:
        self.hash = generation.hash
        self.deployment = deployment
        self.shapes: dict[str, Shape] = shapes_of(deployment.func_or_class)
        self.real: Any = None
        self._generation = generation
        self._stay = generation.enter()  # from the constructor to the end
        self._begun = False
        self._users = 0
        self._lock = threading.RLock()  # a finalizer may drop at any time
        self._idle: Callable[[], None] | None = None

    @classmethod
    def current(cls) -> Serving | None:
        """Return what the running request is bound to, None outside of any."""
        bound = _bound.get(None)
        return None if bound is None else bound()

    async def begin(self, given: tuple[Any, Any] | None) -> None:
        """Make the object as Serve does, on the loop of the user's code.

        It is given its own user_config, and rank, unless *given* is None.
        """
        self._stay.__enter__()
        _bound.set(ref(self))  # also for tasks that the constructor starts
        try:
            await self._make()
            if given is not None:
                await self.reconfigure(*given)
        except BaseException:
            await self.end()
            raise

    async def _make(self) -> None:
        made, deployment = self.deployment.func_or_class, self.deployment
        if not inspect.isclass(made):
            self.real = SimpleNamespace(__call__=made)
            return
        self.real = made.__new__(made)
        result = self.real.__init__(*deployment.init_args, **deployment.init_kwargs)
        if inspect.isawaitable(result):
            await result
        if serve_internals.serves_asgi(made):
            await serve_internals.start_asgi(self.real)
        self._begun = True

    async def reconfigure(self, config: Any, rank: Any) -> None:
        """Give the object its own user_config, as Serve does. Raises what it raises."""
        config = self.deployment.user_config if config is None else config
        method = getattr(self.real, "reconfigure", None)
        ranked = method is not None and "rank" in inspect.signature(method).parameters
        if method is None:
            if config is not None:
                raise TypeError(
                    f"deployment {self.deployment.name!r} has a user_config and no "
                    "method 'reconfigure'"
                )
            return
        if config is not None or ranked:
            result = method(config, **({"rank": rank} if ranked else {}))
            if inspect.isawaitable(result):
                await result

    @contextlib.contextmanager
    def use(self) -> Iterator[Any]:
        """Bind what runs inside to this, and give the object; `take` has succeeded."""
        try:
            with self._bind():
                yield self.real
        finally:
            self.drop()

    @contextlib.contextmanager
    def _bind(self) -> Iterator[None]:
        _bound.set(ref(self))
        with self._generation.enter():
            yield

    def take(self) -> bool:
        """Count a user; return whether this still takes any."""
        with self._lock:
            if self._idle is None:
                self._users += 1
            return self._idle is None

    def drop(self) -> None:
        """Take the count of a user back."""
        with self._lock:
            self._users -= 1
            idle = self._idle if self._users == 0 else None
        if idle is not None:
            idle()

    def hold(self, result: Any) -> Any:
        """Return *result*, if it goes on after its method, as one that uses this."""
        holders: tuple[tuple[Callable[[Any], bool], Callable[[Any], Any]], ...] = (
            (inspect.iscoroutine, self._wait),
            (inspect.isgenerator, self._pass),
            (inspect.isasyncgen, self._pass_later),
            (lambda result: isinstance(result, Response), self._answer),
        )
        for is_one, held in holders:
            if is_one(result):
                with self._lock:
                    self._users += 1
                return held(result)
        return result

    async def _wait(self, result: Any) -> Any:
        with self.use():
            return await result

    def _pass(self, result: Any) -> Iterator[Any]:
        with self.use():
            yield from result

    async def _pass_later(self, result: Any) -> AsyncIterator[Any]:
        with self.use():
            async with contextlib.aclosing(result) as items:
                async for item in items:
                    yield item

    def _answer(self, result: Response) -> Response:
        held = _Held(result, self._bind)
        finalize(held, self.drop).atexit = False  # whether it was sent or not
        return held

    async def retire(self) -> None:
        """Wait until nobody uses this any more, and end the object, once."""
        loop, idle = asyncio.get_running_loop(), asyncio.Event()
        with self._lock:
            self._idle = lambda: loop.call_soon_threadsafe(idle.set)  # type: ignore[assignment]
            waiting = self._users > 0
        if waiting:
            await idle.wait()
        await self.end()

    async def end(self) -> None:
        """Run the end of the object, once, and let it go."""
        real, self.real = self.real, None
        kind, end = type(real), getattr(real, "__del__", None)
        try:
            if end is not None:
                with contextlib.suppress(TypeError):  # __slots__, say
                    ended = {"__del__": lambda _: None}  # when it is collected
                    real.__class__ = type(kind.__name__, (kind,), ended)
            if end is not None and self._begun:
                with self._generation.enter():
                    result = end()
                    if inspect.isawaitable(result):
                        await result
            await serve_internals.end_multiplexer(real)
        except Exception:
            _logger.exception("the end of %s of archive %s", kind.__name__, self.hash)
        finally:
            self._stay.__exit__()
            self.deployment = None


class _Held(Response):
    """The *response* of a version, which Serve sends after the method has returned."""

    def __init__(
        self, response: Response, bind: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._response = response
        self._bind = bind

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        with self._bind():
            await self._response(scope, receive, send)

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["_response"], name)

    def __reduce__(self) -> Any:
        return copy.copy, (self._response,)  # to another deployment
