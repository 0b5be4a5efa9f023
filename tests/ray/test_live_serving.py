"""What a version serves holds its object until that has been sent."""

from __future__ import annotations

import asyncio
import pickle
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

pytest.importorskip("ray")

from starlette.responses import JSONResponse, StreamingResponse

from lazyimport.live import Swap
from lazyimport.ray.environment import FIELD
from lazyimport.ray.live import StandIn
from lazyimport.ray.live_methods import make_method, shapes_of
from lazyimport.ray.live_serving import Serving

pytestmark = pytest.mark.ray

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any

OLD, NEW = "a1" * 32, "b2" * 32


class Real:
    """What a user writes."""

    def __init__(self) -> None:
        self.is_open = True
        self.configs: list[Any] = []

    async def lines(self) -> AsyncIterator[str]:
        for _ in range(3):
            yield f"{self.is_open} "
            await asyncio.sleep(0)

    def later(self) -> AsyncIterator[str]:
        return self.lines()

    def sync(self) -> StreamingResponse:
        return StreamingResponse(self.lines())

    async def waits(self) -> StreamingResponse:
        return StreamingResponse(self.lines())

    async def one(self) -> JSONResponse:
        return JSONResponse({"a": 1}, status_code=201)

    def reconfigure(self, config: Any) -> None:
        if config == "bad":
            raise ValueError(config)
        self.configs.append(config)

    def __del__(self) -> None:
        self.is_open = False


class Replica(StandIn):
    """A replica of ``Real`` without a cluster, in which no swap succeeds."""

    async def __init__(self) -> None:  # type: ignore[misc]
        deployment = SimpleNamespace(
            name="Real", func_or_class=Real, init_args=(), init_kwargs={}, user_config=None
        )  # fmt: skip
        generation: Any = SimpleNamespace(hash=OLD, enter=nullcontext)
        self._serving = Serving(deployment, generation)
        self._serving._stay = SimpleNamespace(__enter__=int, __exit__=int)  # type: ignore[assignment]
        await self._serving.begin(None)
        self._lock = asyncio.Lock()
        self._given = None
        self.told: list[Swap] = []

    def _tell(self, swap: Swap) -> None:
        self.told.append(swap)

    async def _swap(self, hash: str, given: Any) -> Swap:
        return Swap("refused", hash, OLD, "no")

    def __del__(self) -> None:  # type: ignore[override]
        pass


async def make() -> Any:
    replica = object.__new__(Replica)
    await replica.__init__()  # type: ignore[misc]
    return replica


async def sent(replica: Any, name: str) -> str:
    """Return what *name* sends, whose version is replaced after its begin."""
    result = make_method(name, shapes_of(Real)[name])(replica)
    if asyncio.iscoroutine(result):
        result = await result
    ending = asyncio.create_task(replica._serving.retire())
    await asyncio.sleep(0.01)
    assert not ending.done()
    if hasattr(result, "__anext__"):
        text = "".join([line async for line in result])
    else:
        parts: list[bytes] = []

        async def send(message: dict[str, Any]) -> None:
            parts.append(message.get("body", b""))

        async def receive() -> None:
            await asyncio.Event().wait()

        await result({"type": "http", "asgi": {}}, receive, send)
        text = b"".join(parts).decode()
    del result
    await asyncio.wait_for(ending, 10)
    return text


@pytest.mark.parametrize("name", ["later", "sync", "waits"])
def test_what_is_sent_after_the_method_has_its_object(name: str) -> None:
    async def main() -> str:
        return await sent(await make(), name)

    assert "True True True " == asyncio.run(main())


def test_a_response_to_another_deployment_is_the_one_of_the_method() -> None:
    """It may never be sent: then it holds the object until it is gone."""

    async def main() -> None:
        replica = await make()
        response = await make_method("one", shapes_of(Real)["one"])(replica)
        assert 201 == response.status_code
        assert "application/json" == response.headers["content-type"]
        copy = pickle.loads(pickle.dumps(response))
        assert (JSONResponse, b'{"a":1}') == (type(copy), copy.body)
        del response
        await asyncio.wait_for(replica._serving.retire(), 10)

    asyncio.run(main())


def test_a_config_counts_once_it_was_taken() -> None:
    """And none of what it may be ends a replica that serves."""

    async def main() -> None:
        replica = await make()
        real = replica._serving.real

        def config(hash: str, own: Any) -> dict[str, Any]:
            return {FIELD: {"hash": hash, "user_config": own}}

        with pytest.raises(ValueError, match="bad"):  # it does not serve yet
            await replica.reconfigure(config(OLD, "bad"))
        await replica.reconfigure(config(OLD, 1))
        await replica.reconfigure(config(NEW, 2))
        await replica.reconfigure(config(OLD, 2))
        await replica.reconfigure(config(OLD, "bad"))
        await replica.reconfigure("what is no config")
        assert [1, 2] == real.configs
        states = ["unchanged", "refused", "unchanged", "refused", "refused"]
        assert states == [swap.state for swap in replica.told]

    asyncio.run(main())
