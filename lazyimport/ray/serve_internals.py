"""What live code needs of Ray Serve beyond its public API, all in one place.

Tested on the oldest and on the newest Ray that lazyimport runs with.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import ray.serve.exceptions
from ray import serve
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary
from ray.serve._private.build_app import build_app
from ray.serve._private.http_util import ASGIAppReplicaWrapper

_BUILD_ASGI = "__serve_build_asgi_app__"
_MULTIPLEXED = "_serve_multiplexed_function"
_MULTIPLEXER = "__serve_multiplex_wrapper"
#: handles by application and deployment: a new one would start a router of its own
_handles: dict[tuple[str, str], Any] = {}


class Built(NamedTuple):
    """The ``deployments`` of an application by name, and the name of its ``ingress``.

    Their arguments hold handles in place of the applications that are bound there.
    """

    deployments: Mapping[str, Any]
    ingress: str


def build(application: Any, args: Mapping[str, Any], name: str) -> Built:
    """Build *application*, or what this function of *args* returns, as Serve does."""

    def handle(deployment: Any, app_name: str) -> Any:
        key = app_name, deployment.name
        if key not in _handles:
            _handles[key] = serve.handle.DeploymentHandle(
                deployment.name, app_name=app_name
            )
        return _handles[key]

    app = call_user_app_builder_with_args_if_necessary(application, dict(args))
    built = build_app(app, name=name, make_deployment_handle=handle)
    found = {deployment.name: deployment for deployment in built.deployments}
    return Built(found, built.ingress_deployment_name)


def user_config_of_replica() -> Any:
    """Return the user_config with which this replica starts."""
    config = getattr(serve.get_replica_context(), "_deployment_config", None)
    return getattr(config, "user_config", None)


def serves_asgi(cls: Any) -> bool:
    """Whether *cls* was made by `serve.ingress`."""
    return inspect.isclass(cls) and issubclass(cls, ASGIAppReplicaWrapper)


def names_of_asgi() -> set[str]:
    """Return the names that `serve.ingress` gives to what it makes."""
    return set(dir(ASGIAppReplicaWrapper))


def is_multiplexed(function: Any) -> bool:
    """Whether *function* was made by `serve.multiplexed`."""
    return inspect.getattr_static(function, _MULTIPLEXED, False) is True


def mark_multiplexed(function: Any) -> None:
    """Let Serve route requests to *function* by their model."""
    setattr(function, _MULTIPLEXED, True)


async def start_asgi(real: Any) -> None:
    """Start the ASGI application of *real*, as Serve does after the constructor."""
    build = getattr(real, _BUILD_ASGI, None)
    if build is not None:
        made = build()
        real._set_asgi_app(await made if inspect.isawaitable(made) else made)  # noqa: SLF001
    if hasattr(real.app, "add_exception_handler"):
        for error in _unavailable():
            real.app.add_exception_handler(error, _refuse)
    await real._run_asgi_lifespan_startup()  # noqa: SLF001


async def end_multiplexer(real: Any) -> None:
    """Unload the models that *real* has multiplexed."""
    multiplexer = getattr(real, _MULTIPLEXER, None)
    if multiplexer is not None:
        await multiplexer.shutdown()


def bind_servable(bound: Callable[[Any], Any]) -> None:
    """Let `serve.get_replica_context` name the object that serves the request.

    *bound* returns it for the object that Serve knows. FastAPI's routes get their
    ``self`` from there.
    """
    plain = serve.get_replica_context

    def get_replica_context() -> Any:
        context = copy.copy(plain())
        context.servable_object = bound(context.servable_object)
        return context

    serve.get_replica_context = get_replica_context


def _unavailable() -> list[type[Exception]]:
    names = "BackPressureError", "DeploymentUnavailableError"
    found = (getattr(ray.serve.exceptions, name, None) for name in names)
    return [error for error in found if error is not None]


def _refuse(_: Any, error: Any) -> Any:
    """Answer as Serve does where it cannot take a request now."""
    from starlette.responses import Response

    return Response(error.message, status_code=getattr(error, "status_code", 503))
