"""Interpreters: the Pythons on this machine that bytecode can be made for.

`find_interpreters` turns what a person asks for into interpreters that can run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.util import MAGIC_NUMBER
from typing import NamedTuple

from lazyimport.errors import PackError

#: a native module: its path without suffix, and the Python or ABI that it is for
_NATIVE = re.compile(r"([^.]+)(?:\.(cpython-\d+t?|abi3)[^/]*)?\.so", re.DOTALL)
_PROBE_SECONDS = 60
_PROBE = """\
import sys, _frozen_importlib_external as external
print("lazyimport", sys.executable or "")
print(sys.implementation.cache_tag, external.MAGIC_NUMBER.hex(), *sys.version_info[:3])
print(*sorted(sys.stdlib_module_names))
"""


class Interpreter(NamedTuple):
    """A Python that can compile.

    ``executable`` is its path, ``tag`` what its bytecode files are tagged with
    (``cpython-311``), ``magic`` the four bytes they begin with, ``version`` major,
    minor and micro, ``stdlib_names`` its ``sys.stdlib_module_names``.
    """

    executable: str
    tag: str
    magic: bytes
    version: tuple[int, int, int]
    stdlib_names: frozenset[str]


def find_interpreters(
    requests: Sequence[str], *, environ: Mapping[str, str] | None = None
) -> list[Interpreter]:
    """Return the interpreters that *requests* name, each bytecode format once.

    A request is a version (``"3.12"``), a path, or ``""`` for the running Python, which
    is also returned without requests. A version is looked for in the running Python,
    as ``python3.X`` on PATH, in pyenv and in uv, in this order. PATH, PYENV_ROOT and
    HOME come from *environ*, by default the process's.

    Raises PackError with an issue for each request that finds nothing.
    """
    variables = os.environ if environ is None else environ
    found: dict[tuple[str, bytes], Interpreter] = {}
    issues: list[str] = []
    for request in dict.fromkeys(requests or ("",)):
        try:
            interpreter = _find(request.strip(), variables)
        except PackError as error:
            issues.append(str(error))
        else:
            found.setdefault((interpreter.tag, interpreter.magic), interpreter)
    if issues:
        raise PackError("\n".join(issues), issues=tuple(issues))
    return list(found.values())


def native_warnings(
    paths: Iterable[str], interpreters: Sequence[Interpreter]
) -> Iterator[str]:
    """Yield a warning for each interpreter that cannot load native modules of *paths*.

    Those have a Python in their names, and no file beside them is for this one.
    """
    builds: dict[str, dict[str, str]] = {}
    for path in paths:
        if match := _NATIVE.fullmatch(path):
            builds.setdefault(match[1], {})[match[2] or ""] = path
    for interpreter in interpreters:
        version = ".".join(map(str, interpreter.version[:2]))
        fit = {"", "abi3", interpreter.tag, f"{interpreter.tag}t"}
        others = [
            min(found.values()) for found in builds.values() if not fit & {*found}
        ]
        if others:
            more = f" and {len(others) - 1} more" if others[1:] else ""
            yield (
                f"Python {version} cannot load {others[0]}{more}: built for another "
                "Python; pack what was built for it, with --requirements or --wheel"
            )


def _find(request: str, environ: Mapping[str, str]) -> Interpreter:
    if not request:
        return _probe(sys.executable, environ)
    version = re.fullmatch(r"(3)\.(\d+)(?:\.(\d+))?", request)
    if not version:
        path = shutil.which(request, path=environ.get("PATH"))
        if path is None and os.path.isdir(request):
            path = shutil.which("python", path=os.path.join(request, "bin"))
        if path is None:
            raise PackError(
                f"no Python {request!r}: neither a version such as 3.12 nor a program"
            )
        return _probe(os.path.abspath(path), environ)
    wanted = tuple(int(part) for part in version.groups() if part is not None)
    looked: list[str] = []
    for place, programs in _places(wanted, environ):
        looked.append(place)
        for path in programs:
            try:
                interpreter = _probe(path, environ)
            except PackError:
                continue  # a pyenv shim of a version that is not switched on, say
            if interpreter.version[: len(wanted)] == wanted:
                return interpreter
    raise PackError(
        f"no Python {request} on this machine (looked at {', '.join(looked)}); "
        f"install it or give its path in place of {request!r}"
    )


def _places(
    wanted: tuple[int, ...], environ: Mapping[str, str]
) -> Iterator[tuple[str, list[str]]]:
    """Yield the places to look for Python *wanted* in, and the programs found there."""
    running = sys.version_info[: len(wanted)] == wanted
    here = f"the running Python {sys.version_info.major}.{sys.version_info.minor}"
    yield here, [sys.executable] if running else []

    name = f"python{wanted[0]}.{wanted[1]}"
    folders = environ.get("PATH", os.defpath).split(os.pathsep)
    paths = [os.path.join(folder, name) for folder in folders]
    yield (
        f"{name} on PATH",
        [p for p in paths if os.path.isabs(p) and os.access(p, os.X_OK)],
    )

    home = environ.get("HOME") or os.path.expanduser("~")
    root = environ.get("PYENV_ROOT") or os.path.join(home, ".pyenv")
    folder = os.path.join(root, "versions")
    names = os.listdir(folder) if os.path.isdir(folder) else []
    known = [name for name in names if re.fullmatch(r"\d+\.\d+\.\d+", name)]
    releases = {tuple(map(int, name.split("."))): name for name in known}
    fitting = sorted((r for r in releases if r[: len(wanted)] == wanted), reverse=True)
    yield folder, [f"{folder}/{releases[release]}/bin/python" for release in fitting]

    answer = ""
    if uv := shutil.which("uv", path=environ.get("PATH")):
        command = [uv, "python", "find", "--no-project", "--offline"]
        command += ["--no-python-downloads", ".".join(map(str, wanted))]
        answer = _run(command, environ).strip()
    yield "uv python find", [answer] if answer else []


def _probe(path: str, environ: Mapping[str, str]) -> Interpreter:
    """Return what the Python at *path* says about itself: this one, or a child, once.

    Raises PackError if it says nothing of use.
    """
    if path and path == sys.executable:
        implementation, version = sys.implementation, sys.version_info
        return Interpreter(
            path,
            str(implementation.cache_tag),
            MAGIC_NUMBER,
            (version.major, version.minor, version.micro),
            sys.stdlib_module_names,
        )
    try:
        written = os.stat(path).st_mtime_ns
    except OSError:
        written = 0
    return _ask(path, written, tuple(environ.items()))


@cache
def _ask(path: str, _: int, environ: tuple[tuple[str, str], ...]) -> Interpreter:
    lines = _run([path, "-I", "-S", "-c", _PROBE], dict(environ)).splitlines()
    try:
        hello, executable = lines[-3].split(" ", 1)
        tag, magic, *version = lines[-2].split(" ")
        major, minor, micro = map(int, version)
    except (IndexError, ValueError):
        hello = executable = tag = magic = ""
        major = minor = micro = 0
    if hello != "lazyimport" or not tag.startswith("cpython-"):
        raise PackError(f"{path} cannot be run as a CPython from 3.10 on")
    return Interpreter(
        executable or path,
        tag,
        bytes.fromhex(magic),
        (major, minor, micro),
        frozenset(lines[-1].split(" ")),
    )


def _run(command: list[str], environ: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(environ),
            timeout=_PROBE_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "surrogateescape")
