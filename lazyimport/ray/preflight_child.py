"""The other side of `lazyimport.deploy.check`: runs in a clean child interpreter.

It reads one JSON object from stdin and writes one to the file that this names: what
it found, or the text that says why the archive is ``refused``. It stands for what Ray
does, and asks the Ray of that interpreter if it has to.
"""

from __future__ import annotations

import base64
import csv
import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Iterator
from functools import cache, partial
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.metadata import distributions
from pkgutil import get_importer
from types import TracebackType
from typing import Any, cast

from lazyimport.errors import LazyImportError, as_python_says
from lazyimport.importing import shadowing
from lazyimport.importing.missing import NOT_INSTALLED
from lazyimport.packing.imports import Fault, Module, find_faults
from lazyimport.runtime import Installation, install

#: names that, taken by an archive, break every worker
_NEVER = {"ray", "lazyimport"}
_ADVICE = (
    "install what is missing in the image, or pack it: --with, --requirements; what may "
    "be missing is imported below 'try', with 'except ImportError'"
)
_ELSEWHERE, _NAMESPACE = Module("", None), Module("", b"")
#: whose frames a traceback begins with before it comes to the program's own
_OURS = {__file__, import_module.__code__.co_filename}


class _RefusedError(Exception):
    """A worker could not do it either; the text says why."""


def main() -> None:
    """Answer the question on stdin."""
    question = json.loads(sys.stdin.read())
    sys.path[:] = [folder for folder in sys.path if folder not in question["own"]]
    try:
        answer = _load(question) if "pickled" in question else _import(question)
    except _RefusedError as error:
        answer = {"refused": str(error)}
    with open(question["answer"], "w", encoding="utf-8") as file:
        json.dump(answer, file)
    os._exit(0)  # a thread that a module has started would keep the process


def _import(question: dict[str, Any]) -> dict[str, Any]:
    """Import the entries from the archive, as the task that builds an application."""
    installed = _install(question["hash"])
    shadowed = [(name, place) for name, _, place in shadowing.shadowed(installed.tree)]
    started = time.perf_counter()
    reasons, told = list[str](), set[str | None]()
    for entry, error in _failures(question["entries"]):
        reasons.append(_reason(error, entry, question))
        told |= {getattr(error, "name", None), getattr(error, "filename", None)}
    seconds = time.perf_counter() - started
    faults = [
        fault
        for fault in _faults(question["entries"], installed)
        if not {fault.missing or f"{installed.root}/{fault.path}"} & told
    ]
    reasons += [fault.text for fault in faults if fault.certain]
    if any(fault.certain and fault.missing for fault in faults):
        reasons.append(_ADVICE)
    if reasons:
        raise _RefusedError("\n".join(reasons))
    modules = _count(installed)
    try:
        pickled = _pickled(question["by_value"], installed)
    except BaseException as error:
        text = _reason(error, ", ".join(question["entries"]), question)
        raise _RefusedError(text) from error
    doubtful = [fault.text for fault in faults]
    found = {"shadowed": shadowed, "pickled": pickled, "doubtful": doubtful}
    return {"modules": modules, "seconds": seconds, **found}


def _install(hash: str) -> Installation:
    """Install the archive *hash*, unless no worker could run it."""
    try:
        installed = install(hash)
    except LazyImportError as error:
        raise _RefusedError(str(error)) from error
    tops = {name.partition(".")[0] for name, _ in installed.tree.archive.children("")}
    for name in tops & _NEVER:
        # Nothing that follows would say what is really wrong.
        raise _RefusedError(
            f"archive {hash} has a {name!r} of its own, which wins over that of the "
            "image: no worker would start; rename it, or leave it out when packing"
        )
    return installed


def _failures(entries: list[str]) -> Iterator[tuple[str, BaseException]]:
    """Look up every entry; yield those that cannot be, and what went wrong."""
    for entry in entries:
        try:
            _look_up(entry)
        except BaseException as error:  # noqa: BLE001 - whatever user code raises
            yield entry, error


def _faults(entries: list[str], installed: Installation) -> list[Fault]:
    """Return what would fail later in the modules that *entries* import.

    Optional imports of distributions that are packed are theirs, so only the one of an
    entry is looked into.
    """
    inside, names = f"{installed.root}/", []
    for entry in entries:
        name = entry.partition(":")[0]
        while name and _spec(name) is None:
            name = name.rpartition(".")[0]
        names += [name] if name else []
    ours = {str(spec.origin) for spec in map(_spec, names) if spec is not None}
    foreign: set[str] = set()
    for distribution in distributions(path=[installed.root]):
        record = (distribution.read_text("RECORD") or "").splitlines()
        files = {inside + row[0] for row in csv.reader(record) if row}
        foreign |= set() if files & ours else files

    @cache
    def find(name: str) -> Module | None:
        above, _, _ = name.rpartition(".")
        if name.partition(".")[0] in sys.stdlib_module_names:
            return _ELSEWHERE
        package = find(above) if above else _NAMESPACE
        if package is None or package.source is None:
            return package
        spec = _spec(name)
        if spec is None:
            return _ELSEWHERE if name in sys.modules else None
        origin, loader = spec.origin or "", cast("Any", spec.loader)
        if not origin and spec.submodule_search_locations is not None:
            return _NAMESPACE
        if not origin.startswith(inside) or origin in foreign or origin[-3:] != ".py":
            return _ELSEWHERE
        return Module(origin[len(inside) :], loader.get_data(origin))

    return find_faults(names, find)


@cache
def _spec(name: str) -> ModuleSpec | None:
    """Return the spec of a module, without importing any; None if there is none."""
    above, _, _ = name.rpartition(".")
    if not above:
        finders = [partial(finder.find_spec, name, None) for finder in sys.meta_path]
    else:
        package: Any = sys.modules.get(above) or _spec(above)
        found = getattr(package, "submodule_search_locations", None)
        path = getattr(package, "__path__", found) or ()
        at = filter(None, map(get_importer, path))
        finders = [partial(finder.find_spec, name) for finder in at]
    portions: list[str] = []
    for find in finders:
        try:
            spec = find()
        except ImportError:
            continue
        if spec is not None and spec.origin is None and spec.submodule_search_locations:
            portions += spec.submodule_search_locations
        elif spec is not None:
            return spec
    if not portions:
        return None
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = portions
    return spec


def _reason(error: BaseException, entry: str, question: dict[str, Any]) -> str:
    text = f"cannot import {entry} from {question['hash']}:\n{_describe(error)}"
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    modules = [entry.partition(":")[0] for entry in question["entries"]]
    if missing and not any(f"{name}.".startswith(f"{missing}.") for name in modules):
        lines = [line for line in text.splitlines() if NOT_INSTALLED not in line]
        text = "\n".join(lines) + (
            f"\n{missing!r} is neither in the archive nor installed for "
            f"{question['python']}; install it in the image, or pack it: --with, "
            "--requirements"
        )
    return text


def _look_up(entry: str) -> Any:
    name, _, attribute = entry.partition(":")
    if not attribute and entry.count("."):
        try:  # a path with dots alone, as Ray takes it too
            return import_module(entry)
        except ModuleNotFoundError as error:
            if error.name != entry:
                raise
            name, _, attribute = entry.rpartition(".")
            above = import_module(name)
            if hasattr(above, "__path__") and not hasattr(above, attribute):
                raise  # a package lacks a module, and says more than of an attribute
    found = import_module(name)
    for part in attribute.split(".") if attribute else ():
        found = getattr(found, part)
    return found


def _count(installed: Installation) -> int:
    root = f"{installed.root}/"
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    return sum(isinstance(file, str) and file.startswith(root) for file in files)


def _pickled(paths: list[str], installed: Installation) -> list[tuple[str, str]]:
    """Return (name, pickle) of what Serve will unpickle outside of replicas.

    These are the policies and routers at import *paths*, and those of all
    deployments that the entries have made.
    """
    found = [*_named(paths, installed), *_in_deployments()]
    return [(name, base64.b64encode(data).decode()) for name, data in found if data]


def _named(paths: list[str], installed: Installation) -> Iterator[tuple[str, bytes]]:
    """Yield what is at import *paths* in the archive, pickled as Serve does it."""
    for path in paths:
        target = _look_up(path)
        module = sys.modules[target.__module__]
        if str(getattr(module, "__file__", "")).startswith(installed.root):
            from ray import cloudpickle

            cloudpickle.register_pickle_by_value(module)
            yield path, cloudpickle.dumps(target)
            cloudpickle.unregister_pickle_by_value(module)


def _in_deployments() -> Iterator[tuple[str, bytes | None]]:
    """Yield what the deployments of this process have pickled already."""
    serve: Any = sys.modules.get("ray.serve")
    for deployment in gc.get_objects() if serve is not None else ():
        # Not isinstance(): it asks proxies, and they ask who knows what.
        if not issubclass(type(deployment), serve.Deployment):
            continue
        config = deployment._deployment_config  # noqa: SLF001 - Serve's own pickles
        scaling = getattr(config.autoscaling_config, "policy", None)
        if scaling is not None:
            name = f"the autoscaling policy of {deployment.name}"
            yield name, scaling.get_serialized_policy_def()
        routing = getattr(config, "request_router_config", None)
        if routing is not None:
            name = f"the request router of {deployment.name}"
            yield name, routing.get_serialized_request_router_cls()


def _load(question: dict[str, Any]) -> dict[str, Any]:
    """Unpickle as Serve's controller and proxies do: without the archive."""
    from ray import cloudpickle

    for name, data in question["pickled"]:
        try:
            cloudpickle.loads(base64.b64decode(data))
        except BaseException as error:
            raise _RefusedError(
                f"{name} runs in Serve's controller or proxies, which have no archive, "
                f"and cannot be loaded there:\n{_describe(error)}\nlet its module "
                "import nothing from the archive, or install it in the image"
            ) from error
    return {}


def _describe(error: BaseException) -> str:
    text = "".join(traceback.format_exception(error.with_traceback(_theirs(error))))
    return as_python_says(text.strip())


def _theirs(error: BaseException) -> TracebackType | None:
    """Return the traceback from the first frame on that is the program's own."""
    tb = error.__traceback__
    while tb is not None:
        file = tb.tb_frame.f_code.co_filename
        if file not in _OURS and not file.startswith("<frozen importlib"):
            break
        tb = tb.tb_next
    return tb
