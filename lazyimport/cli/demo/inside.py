"""What the demo's workers do. Nothing of the application is known here.

Ray sends `call` by name; a plain worker process runs this module, which answers
one JSON request a line.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["call"]

_objects: dict[str, Any] = {}


def call(target: str, *arguments: Any) -> dict[str, Any]:
    """Return what ``module:function`` of the archive gives, and how it came here."""
    module, function = _look_up(target)
    return {"result": function(*arguments), **_circumstances(module)}


def create(name: str, target: str) -> dict[str, Any]:
    """Keep an object of the class ``module:Class`` in this process as *name*."""
    module, kind = _look_up(target)
    _objects[name] = kind()
    return _circumstances(module)


def send(name: str, method: str, *arguments: Any) -> dict[str, Any]:
    """Call a method of an object that `create` made."""
    module = sys.modules[type(_objects[name]).__module__]
    result = getattr(_objects[name], method)(*arguments)
    return {"result": result, **_circumstances(module)}


def create_actor(name: str, target: str) -> dict[str, Any]:
    """Make a Ray actor of the class ``module:Class``; it lives until it is killed."""
    import ray

    module, kind = _look_up(target)
    ray.remote(kind).options(name=name, lifetime="detached", num_cpus=0).remote()
    return _circumstances(module)


def send_to_actor(name: str, method: str, *arguments: Any) -> dict[str, Any]:
    """Call a method of an actor that `create_actor` made, from a task beside it."""
    import ray

    actor = ray.get_actor(name)
    return {"result": ray.get(getattr(actor, method).remote(*arguments))}


def _look_up(target: str) -> tuple[Any, Any]:
    from importlib import import_module

    name, _, attribute = target.partition(":")
    module = import_module(name)
    return module, getattr(module, attribute)


def _circumstances(module: Any) -> dict[str, Any]:
    import lazyimport

    installed = lazyimport.current()
    root = installed.root + "/" if installed else "/nowhere"
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    return {
        "file": module.__file__,
        "hash": installed.hash if installed else None,
        "fetched": installed.fetched if installed else 0,
        "imported": sum(
            isinstance(file, str) and file.startswith(root) for file in files
        ),
        "pid": os.getpid(),
    }


def _serve() -> None:
    """Answer requests until stdin ends."""
    import json

    import lazyimport

    if lazyimport.current() is None:
        lazyimport.install()  # a checkout: nothing has done it at start
    verbs: dict[str, Callable[..., Any]] = {
        "call": call,
        "create": create,
        "send": send,
    }
    answers, sys.stdout = sys.stdout, sys.stderr  # what the program prints is no answer
    for line in sys.stdin:
        verb, *arguments = json.loads(line)
        print(json.dumps(verbs[verb](*arguments)), file=answers, flush=True)


if __name__ == "__main__":
    _serve()
