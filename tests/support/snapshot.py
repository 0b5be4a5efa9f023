"""All that programs can see of some packages: modules, sources, data, metadata.

`snapshot` takes a snapshot in a child process, from a directory or from an archive,
and `differences` lists where two of them differ. The same files must give the same
snapshot, whichever importer found them.

Run as a script, this file is the child process. It must not import any module that
the packages under test may contain as well.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

#: how many functions and classes of each module are asked for their source
OBJECTS = 2
#: seconds that a child process may take
TIMEOUT = 1200.0
#: attributes of a module that may depend on the process or on the importer
PRIVATE = {"__builtins__", "__warningregistry__", "__cached__", "__loader__"}

Snapshot = dict[str, Any]


def modules_of(folder: Path, files: Iterable[str]) -> list[str]:
    """Return the names of the modules among *files*, relative to *folder*."""
    names = set()
    for file in files:
        match = re.fullmatch(
            r"((?:\w+/)*\w+)\.(?:py|cpython-\d+\w*-[\w-]+\.so|abi3\.so|so)", file
        )
        if match and (folder / file).is_file():
            name = match[1].replace("/", ".").removesuffix(".__init__")
            if name.rpartition(".")[2] != "__main__":  # a program
                names.add(name)
    return sorted(names)


def snapshot(
    folder: Path,
    modules: Sequence[str],
    *,
    hash: str | None = None,
    cache: Path | None = None,
    out: Path,
) -> Snapshot:
    """Return what can be seen of *modules* and of everything else in *folder*.

    With *hash* and *cache* the archive takes the place of *folder*. *out* is a scratch
    file. A module that crashes the child process is noted as a crash, and a new child
    goes on with the next module.
    """
    seen: Snapshot = {"modules": {}}
    rest = list(modules)
    root = str(folder)
    while True:
        job = {
            "root": root,
            "cache": str(cache) if hash else None,
            "hash": hash,
            "modules": rest,
            "out": str(out),
            "path": _path_of_lazyimport() if hash else None,
        }
        how = _run(job)
        begun = None
        for line in out.read_text().splitlines():
            key, value = json.loads(line)
            if key == "begin":
                begun = value
            elif key == "module":
                seen["modules"][value[0]] = value[1]
                begun = None
            else:
                seen[key] = value
        if "end" in seen:
            del seen["end"]
            return seen
        if begun is None or begun not in rest:
            seen["broke off"] = how
            return seen
        seen["modules"][begun] = {"crash": how}
        rest = rest[rest.index(begun) + 1 :]


def _run(job: Mapping[str, object]) -> str:
    clean = {n: v for n, v in os.environ.items() if not n.startswith("LAZYIMPORT_")}
    environ = {
        **clean,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONWARNINGS": "ignore",
        "MPLBACKEND": "agg",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    environ.pop("PYTHONPATH", None)
    order = Path(f"{job['out']}.job")  # a command line cannot hold that many modules
    order.write_text(json.dumps(job))
    try:
        status = subprocess.run(
            [sys.executable, "-S", "-s", __file__, str(order)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=os.path.dirname(str(job["out"])),  # where modules may leave files
            timeout=TIMEOUT,
            env=environ,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        return "timeout"
    return f"exit code {status}"


def _path_of_lazyimport() -> str:
    import lazyimport

    return os.path.dirname(os.path.dirname(os.path.abspath(lazyimport.__file__)))


def differences(directory: Any, archive: Any, where: str = "") -> Iterator[str]:
    """Yield one line for each place where two snapshots differ."""
    if isinstance(directory, dict) and isinstance(archive, dict):
        for key in sorted({*directory, *archive}):
            yield from differences(
                directory.get(key, "nothing"),
                archive.get(key, "nothing"),
                f"{where}/{key}" if where else key,
            )
    elif directory != archive:
        if isinstance(directory, list) and isinstance(archive, list):
            only = [x for x in directory if x not in archive]
            added = [x for x in archive if x not in directory]
            yield f"{where}: only directory {only[:6]}, only archive {added[:6]}"
        else:
            yield f"{where}: directory {directory!r}, archive {archive!r}"


# The child process.


class _Observer:
    def __init__(self, job: Mapping[str, Any]) -> None:
        self.roots = [job["root"]]
        if job["hash"]:
            self.roots = [f"{job['cache']}/trees/{job['hash']}"]
        self.modules = job["modules"]
        self.out = open(job["out"], "w", encoding="utf-8")  # noqa: SIM115

    def say(self, key: str, value: object) -> None:
        text = json.dumps((key, value), default=repr)
        for root in self.roots:
            text = text.replace(root, "ROOT")
        self.out.write(text + "\n")
        self.out.flush()

    def observe(self) -> None:
        for name in self.modules:
            self.say("begin", name)
            self.say("module", (name, _module(name, self.roots[0])))
        self.say("resources", dict(self._resources()))
        self.say("metadata", dict(_metadata()))
        self.say("enumerated", _tried(lambda: _children([self.roots[0]])))
        self.say("end", True)

    def _resources(self) -> Iterator[tuple[str, object]]:
        tops = {name.partition(".")[0] for name in self.modules}
        for top in sorted(tops):
            if (sys.modules.get(top) and hasattr(sys.modules[top], "__path__")) or (
                top not in sys.modules
            ):
                yield top, _tried(lambda top=top: dict(_walk(_files(top))))


def _module(name: str, root: str) -> dict[str, object]:
    try:
        module = importlib.import_module(name)
    except BaseException as error:
        return {"error": _error(error)}
    return {
        "names": _tried(lambda: sorted(n for n in vars(module) if n not in PRIVATE)),
        "file": _tried(lambda: getattr(module, "__file__", None)),
        "path": _tried(lambda: list(getattr(module, "__path__", []))),
        "package": _tried(lambda: module.__package__),
        "doc": _tried(lambda: _digest(module.__doc__)),
        "spec": _tried(lambda: _spec(module)),
        "source": _tried(lambda: _source(module)),
        "objects": _tried(lambda: dict(_objects(module, root))),
        "children": _tried(lambda: _children(module.__path__)),
        "files": _tried(lambda: sorted(p.name for p in _listed(_files(name)))),
        "folder": _tried(lambda: _still(str(_files(name)))),
    }


def _tried(function: Callable[..., Any]) -> Any:
    try:
        return function()
    except BaseException as error:
        return {"error": _error(error)}


def _error(error: BaseException) -> tuple[str, str]:
    kind = next(k for k in type(error).__mro__ if k.__module__[:11] != "lazyimport.")
    text = re.sub(r"(\n  lazyimport: [^\n]*)+", "", str(error))
    return kind.__name__, _still(text)


def _still(text: str) -> str:
    return re.sub(r"0x[0-9a-f]{6,}", "0xADDRESS", text)


def _digest(data: str | bytes | None) -> str | None:
    if data is None:
        return None
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    return f"{len(data)} {hashlib.sha256(data).hexdigest()[:16]}"


def _spec(module: ModuleType) -> object:
    spec = module.__spec__
    if spec is None:
        return None
    places = spec.submodule_search_locations
    return {
        "name": spec.name,
        "origin": spec.origin,
        "parent": spec.parent,
        "has_location": spec.has_location,
        "places": None if places is None else list(places),
        "code": _tried(lambda: spec.loader.get_code(spec.name).co_filename),  # type: ignore[union-attr]
        "is_package": _tried(lambda: spec.loader.is_package(spec.name)),  # type: ignore[union-attr]
        "get_source": _tried(lambda: _digest(spec.loader.get_source(spec.name))),  # type: ignore[union-attr]
        "get_data": _tried(lambda: _digest(spec.loader.get_data(spec.origin))),  # type: ignore[union-attr]
    }


def _source(module: ModuleType) -> object:
    import inspect
    import linecache

    file = module.__file__
    assert file
    return [
        _tried(lambda: _digest(inspect.getsource(module))),
        _tried(lambda: _digest("".join(linecache.getlines(file)))),
        _tried(lambda: inspect.getsourcefile(module)),
    ]


def _objects(module: ModuleType, root: str) -> Iterator[tuple[str, object]]:
    import inspect
    import types

    count = 0
    for name, thing in sorted(vars(module).items()):
        if count == OBJECTS:
            return
        if isinstance(thing, (type, types.FunctionType)) and (
            getattr(thing, "__module__", None) == module.__name__
        ):
            count += 1
            yield (
                name,
                [
                    _tried(lambda thing=thing: inspect.getfile(thing)),
                    _tried(lambda thing=thing: _digest(inspect.getsource(thing))),
                    _tried(lambda thing=thing: thing.__code__.co_filename)
                    if isinstance(thing, types.FunctionType)
                    else None,
                ],
            )


def _children(path: Iterable[str]) -> list[tuple[str, bool]]:
    import pkgutil

    return sorted((m.name, m.ispkg) for m in pkgutil.iter_modules(path))


def _files(name: str) -> Any:
    from importlib.resources import files

    return files(name)


def _listed(folder: Any) -> list[Any]:
    return [p for p in folder.iterdir() if p.name != "__pycache__"]


def _walk(folder: Any, inside: str = "") -> Iterator[tuple[str, object]]:
    for item in sorted(_listed(folder), key=lambda item: item.name):
        name = f"{inside}{item.name}"
        if item.is_dir():
            yield from _walk(item, f"{name}/")
        else:
            yield name, _tried(lambda item=item: _digest(item.read_bytes()))


def _metadata() -> Iterator[tuple[str, object]]:
    from importlib import metadata

    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        files = distribution.files
        yield (
            name,
            {
                "version": _tried(lambda name=name: metadata.version(name)),
                "requires": distribution.requires,
                "entry points": sorted(
                    (e.group, e.name, e.value) for e in distribution.entry_points
                ),
                "files": files and [(str(f), f.size) for f in files],
                "lie at": files and [str(f.locate()) for f in files[:20]],
                "exist": files and sum(os.path.exists(f.locate()) for f in files[:20]),
                "bytes": files
                and [_tried(lambda f=f: _digest(f.read_binary())) for f in files[:20]],
                "texts": {
                    file: _digest(distribution.read_text(file))
                    for file in ("METADATA", "RECORD", "WHEEL", "top_level.txt", "no")
                },
            },
        )
    yield "names", sorted(d.metadata["Name"] for d in metadata.distributions())
    if sys.version_info >= (3, 11):
        yield (
            "packages",
            {k: sorted(v) for k, v in metadata.packages_distributions().items()},
        )


def _child() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    sys.argv[1:] = []
    if sys.path[0] == os.path.dirname(os.path.abspath(__file__)):
        del sys.path[0]  # Python 3.10 does not know PYTHONSAFEPATH
    observer = _Observer(job)
    if job["hash"]:
        sys.path.append(job["path"])
        lazyimport = importlib.import_module("lazyimport")
        sys.path.remove(job["path"])
        lazyimport.install(job["hash"], cache_dir=job["cache"])
    else:
        sys.path.append(job["root"])
        os.environ["PYTHONPATH"] = job["root"]  # for its children, as install() does
    with contextlib.suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    observer.observe()
    os._exit(0)  # without the threads and exit handlers that modules left behind


if __name__ == "__main__":
    _child()
