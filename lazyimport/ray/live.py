"""Live code: an application whose living replicas change to another archive.

`lazyimport dev` gives Serve a config whose ``import_path`` is `application` here. It
builds the application that ``args`` name, with a class of the image, `StandIn`, in
place of each deployment. Serve holds the `StandIn`, which lets objects of another
version serve when ``user_config`` names its hash.
"""

from __future__ import annotations

import asyncio
import contextlib
import pkgutil
from base64 import b64decode
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from types import MethodType
from typing import Any, NamedTuple

from ray import serve

from lazyimport import live
from lazyimport.cache.node import NodeCache
from lazyimport.cache.room import make_room
from lazyimport.delivery.handover import take_handed
from lazyimport.errors import InstallError
from lazyimport.live.swapping import Refused
from lazyimport.ray import serve_internals
from lazyimport.ray.environment import FIELD
from lazyimport.ray.live_methods import make_method, shapes_of
from lazyimport.ray.live_serving import Serving
from lazyimport.runtime import current

#: what Serve asks replicas for if they have it when they start
_ASKED = {
    "check_health",
    "record_autoscaling_stats",
    "record_replica_metadata",
    "record_routing_stats",
}
_OPTIONS = (
    "num_replicas",
    "max_ongoing_requests",
    "max_queued_requests",
    "ray_actor_options",
)


#: the `StandIn` of this process, if it is a replica
_here: list[StandIn] = []


def application(args: dict[str, Any]) -> Any:
    """Return the application at the import path ``application``, as one that is live.

    That is an application or a function that makes one of ``args``. Raises
    InstallError unless ``LAZYIMPORT_LIVE`` allows it.
    """
    hash = _installed()
    path, theirs = args["application"], args.get("args") or {}
    built = serve_internals.build(pkgutil.resolve_name(path), theirs, "")
    names = tuple(sorted(built.deployments))
    made = {}
    for name, deployment in built.deployments.items():
        known = Known(path, theirs, name, names)
        made[name] = deployment.options(
            func_or_class=_stand_in(deployment.func_or_class, known),
            name=name,
            user_config={FIELD: {"hash": hash}},
        )
    ingress = made.pop(built.ingress)
    return ingress.bind(*[each.bind() for each in made.values()])


def _stand_in(real: Any, known: Known) -> type:
    """Return a class with the methods of *real*, which it does not refer to."""
    methods = {n: make_method(n, shape) for n, shape in shapes_of(real).items()}
    bases: tuple[type, ...] = (StandIn,)
    if serve_internals.serves_asgi(real):
        bases = StandIn, serve.ingress(Dispatch())(type("Ingress", (), {}))
    # Serve pickles it by value, as no module has it.
    own = {"_known": known, "__module__": "live_code"}
    return type(known.name, bases, {**methods, **own})


class Known(NamedTuple):
    """The deployment ``name``, among ``names``, of what ``path`` and ``args`` make."""

    path: str
    args: Mapping[str, Any]
    name: str
    names: tuple[str, ...]


class Dispatch:
    """An ASGI application that passes each request to that of the current version."""

    @property
    def routes(self) -> list[Any]:
        """The routes of the current version, after which Serve names requests."""
        return list(getattr(_here[0]._serving.real.app, "routes", ()))  # noqa: SLF001

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection, as ASGI has it."""
        if scope["type"] != "lifespan":
            with _here[0]._request() as real:  # noqa: SLF001
                await real.app(scope, receive, send)
            return
        while True:  # each version has a lifespan of its own
            message = (await receive())["type"]
            await send({"type": f"{message}.complete"})
            if message == "lifespan.shutdown":
                return


class StandIn:
    """Stands for one deployment; subclasses have methods like those of its class.

    Serve makes one in each replica. Each request is bound to the version that serves
    when it begins: to one object, and to what that imports, also later. All that is
    its own has a name with an underscore, which theirs have not.
    """

    _known: Known
    #: what serves requests that begin now
    _serving: Serving

    # Serve awaits it.
    async def __init__(self, *_: Any) -> None:  # type: ignore[misc]
        _here[:] = [self]
        self._lock = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, "lazyimport-live")
        self._ending: set[asyncio.Task[None]] = set()
        self._given: tuple[Any, Any] | None = None
        serve_internals.bind_servable(self._bound)
        installed = _installed()
        wanted = _wanted(serve_internals.user_config_of_replica())
        hash, self._wish = wanted.get("hash", installed), wanted.get("wish")
        self._delta = wanted.get("delta")
        if hash == installed:
            loop, now = asyncio.get_running_loop(), live.current_generation()
            self._serving = await self._in_thread(self._make, now, loop, None)
        else:
            swap = await self._swap(hash, None)
            self._tell(swap)
            if swap.state == "refused":
                raise InstallError(swap.reason, hash=hash, installed=installed)
        following: Any = super().__init__  # of serve.ingress, if it serves ASGI
        result = following()
        if result is not None:
            await result

    async def reconfigure(self, user_config: dict[str, Any], rank: Any = None) -> None:
        """Serve the version that *user_config* names from now on.

        It never raises in a replica that serves, which Serve would stop. The log of the
        replica, metrics and `LOG_NAME` say why the old version goes on.
        """
        async with self._lock:
            hash = self._serving.hash
            try:
                wanted = _wanted(user_config)
                self._wish, hash = wanted.get("wish"), wanted.get("hash", hash)
                self._delta = wanted.get("delta")
                given = wanted.get("user_config"), rank
                swap = await self._change(hash, given)
                if swap.state != "refused":
                    self._given = given
            except Exception as error:
                if self._given is None:
                    raise
                before, why = self._serving.hash, f"reconfigure: {error!r}"
                swap = live.Swap("refused", hash, before, why)
            self._tell(swap)

    async def _change(self, hash: str, given: tuple[Any, Any]) -> live.Swap:
        if hash != self._serving.hash:
            return await self._swap(hash, given)
        if given != self._given:
            await self._serving.reconfigure(*given)
        return live.Swap("unchanged", hash, hash, "")

    def _request(self) -> AbstractContextManager[Any]:
        """Bind what runs inside to the version that serves now, and give its object."""
        while not (serving := self._serving).take():
            pass  # it was replaced this very moment
        return serving.use()

    def _hold(self, result: Any) -> Any:
        """Return *result* of a method as what uses this version until it has ended."""
        serving = Serving.current()
        assert serving is not None
        return serving.hold(result)

    def __getattr__(self, name: str) -> Any:
        """Return a method that the class did not have when it was deployed."""
        serving = vars(self).get("_serving")
        if serving is None or name not in serving.shapes:
            raise AttributeError(name)
        return MethodType(make_method(name, serving.shapes[name]), self)

    async def __del__(self) -> None:
        if "_serving" in vars(self):
            await self._serving.end()
        asgi = getattr(super(), "__del__", None)
        if asgi is not None:
            await asgi()

    async def _swap(self, hash: str, given: tuple[Any, Any] | None) -> live.Swap:
        """Let the archive *hash* serve, if it can; its object is given its config."""
        made: list[Serving] = []
        loop = asyncio.get_running_loop()

        def prepare(generation: live.Generation) -> None:
            made.append(self._make(generation, loop, given))

        handed = self._delta and await self._in_thread(_take, hash, self._delta)
        change = partial(live.swap, hash, prepare=prepare)
        swap: live.Swap = await self._in_thread(change)
        if handed:
            self._thread.submit(_make_room)
        ending = made[0] if made else None
        if made and swap.state == "swapped":
            ending, self._serving = vars(self).get("_serving"), made[0]
        if ending is not None:
            task = loop.create_task(ending.retire())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        return swap

    def _make(
        self,
        generation: live.Generation,
        loop: asyncio.AbstractEventLoop,
        given: tuple[Any, Any] | None,
    ) -> Serving:
        """Import the application, in this thread, and make the object, on *loop*."""
        name = serve.get_replica_context().app_name
        path, args, own, names = self._known
        built = serve_internals.build(pkgutil.resolve_name(path), args, name)
        _refuse_other_names(names, built.deployments)
        new = Serving(built.deployments[own], generation)
        if "_serving" in vars(self):
            _refuse_other_shape(self._serving, new)

        asyncio.run_coroutine_threadsafe(new.begin(given), loop).result()
        return new

    async def _in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call *function* in a thread of its own: Serve's may all be busy."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, function, *args)

    def _bound(self, servable: Any) -> Any:
        """Return the user's object where Serve has *servable*."""
        serving = Serving.current() or vars(self).get("_serving")
        return serving.real if servable is self and serving is not None else servable

    def _tell(self, swap: live.Swap) -> None:
        """Report what came of a swap; if that fails, nothing else does."""
        with contextlib.suppress(Exception):
            from lazyimport.ray.metrics import report_swap

            context = serve.get_replica_context()
            report_swap(
                swap,
                application=context.app_name,
                deployment=self._known.name,
                replica=context.replica_tag,
                wish=self._wish,
            )


def _installed() -> str:
    installation, allowed = current(), live.current_generation()
    if installation is None or allowed is None:
        raise InstallError(
            "lazyimport.ray.live serves an application whose code can change while it "
            "runs, which is off here: 'lazyimport dev' sets LAZYIMPORT_LIVE=1 and "
            "LAZYIMPORT_HASH in the runtime_env of its application; in production, "
            "give Serve your own import_path"
        )
    return installation.hash


def _take(hash: str, delta: str) -> bool:
    """Bring the archive *hash* to this node from what came with the wish for it."""
    installation = current()
    return installation is not None and take_handed(
        installation.settings, hash, b64decode(delta)
    )


def _make_room() -> None:
    installation = current()
    if installation is not None:
        settings = installation.settings
        make_room(NodeCache(settings.cache_dir), settings.cache_limit)


def _wanted(user_config: Any) -> Mapping[str, Any]:
    return dict((user_config or {}).get(FIELD) or {})


def _refuse_other_names(before: Sequence[str], now: Collection[str]) -> None:
    gone, new = sorted(set(before) - set(now)), sorted(set(now) - set(before))
    if gone or new:
        changes = [f"{name!r} is gone" for name in gone]
        changes += [f"{name!r} is new" for name in new]
        raise Refused(
            f"the application has other deployments now: {', '.join(changes)}"
        )


def _refuse_other_shape(old: Serving, new: Serving) -> None:
    """Refuse what Serve has taken from the class when the replica started."""
    name = new.deployment.name
    for option in _OPTIONS:
        was, now = getattr(old.deployment, option), getattr(new.deployment, option)
        if was != now:
            raise Refused(f"{option} of deployment {name!r} was {was} and is {now} now")
    if serve_internals.serves_asgi(old.deployment.func_or_class) != (
        serve_internals.serves_asgi(new.deployment.func_or_class)
    ):
        raise Refused(f"@serve.ingress of deployment {name!r} has changed")
    both = old.shapes.keys() & new.shapes.keys()
    for method in sorted(both | (_ASKED & (old.shapes.keys() | new.shapes.keys()))):
        before, after = old.shapes.get(method), new.shapes.get(method)
        if before != after:
            raise Refused(
                f"method {method!r} of deployment {name!r} was "
                f"{before.kind if before else 'missing'} and is "
                f"{after.kind if after else 'missing'} now"
            )
