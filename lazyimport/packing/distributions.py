"""Distributions: dependencies that are packed too, with their metadata.

They are staged into a folder, as they would lie in site-packages, which is then
packed as one more root.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from urllib.parse import urlsplit
from urllib.request import url2pathname

from lazyimport.errors import PackError
from lazyimport.packing.interpreters import Interpreter
from lazyimport.packing.layout import source_folder
from lazyimport.packing.options import PackOptions
from lazyimport.reporting import Reporter

#: The platform of workers, as far as nobody says another: nobody deploys to macOS.
WORKERS = "manylinux_2_28_x86_64"
_SHOWN = 15  # lines of what an installer printed


def stage(
    options: PackOptions,
    interpreters: Sequence[Interpreter],
    folder: str,
    reporter: Reporter,
) -> None:
    """Bring the distributions that *options* ask for into *folder*.

    Of those that are installed here, the modules, data and metadata that their RECORD
    lists are copied, without scripts and compiled files, and without dependencies.
    uv or pip installs requirements and wheels, for each interpreter: what several
    Pythons install under one name must be the same; extension modules have their
    Python in their name.

    Raises PackError with every name that is not installed here, or is editable, or
    with the last lines that the installer printed.
    """
    issues = [issue for name in options.installed for issue in _copy(name, folder)]
    if issues:
        raise PackError("; ".join(issues), issues=tuple(issues))
    words = [
        word for file in options.requirements for word in ("-r", os.path.abspath(file))
    ]
    platform = options.platform
    if platform is None and sys.platform != "linux" and (words or options.wheels):
        platform = WORKERS
        reporter.warn(
            f"dependencies are resolved for {platform}, which most clusters run, and not "
            "for this machine; say which with --platform"
        )
    wheels = ["--no-deps", *map(os.path.abspath, options.wheels)]
    for doing, names, arguments in (
        ("resolving", options.requirements, words),
        ("installing", options.wheels, wheels),
    ):
        if names:
            reporter.step(f"{doing} {', '.join(names)}")
            for interpreter in interpreters:
                _run(_command(interpreter, folder, platform) + arguments)


def _copy(name: str, folder: str) -> list[str]:
    """Copy the distribution *name* into *folder*; return why not, or nothing."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        text = (
            f"{name!r} is not installed in this environment; install it here, or have"
        )
        return [f"{text} it resolved with --requirements"]
    direct = json.loads(found.read_text("direct_url.json") or "{}")
    if direct.get("dir_info", {}).get("editable"):
        where = source_folder(url2pathname(urlsplit(direct["url"]).path))
        return [f"{name!r} is an editable install; give its folder as a root: {where}"]
    if found.files is None:
        return [f"{name!r} does not list its files (no RECORD); reinstall it with pip"]
    for file in found.files:
        outside = ".." in file.parts or file.is_absolute()
        if outside or file.suffix in {".pyc", ".pyo"}:
            continue
        source, target = str(found.locate_file(file)), os.path.join(folder, str(file))
        if os.path.isfile(source):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy2(source, target)
    return []


def _command(interpreter: Interpreter, folder: str, platform: str | None) -> list[str]:
    """Return the installer's command line: pip of that Python, or uv."""
    version = f"{interpreter.version[0]}.{interpreter.version[1]}"
    pip = [interpreter.executable, "-m", "pip"]
    uv = shutil.which("uv")
    if _works([*pip, "--version"]):
        command = [*pip, "install", "--quiet", "--disable-pip-version-check"]
        command += ["--no-compile", "--upgrade"]
        tags = [("--platform", tag) for tag in _for_pip(platform)] if platform else []
        words = [word for pair in tags for word in pair]
    elif uv:
        command = [uv, "pip", "install", "--quiet", "--no-compile-bytecode"]
        command += ["--python", interpreter.executable]
        words = ["--python-version", version]
        words += ["--python-platform", _for_uv(platform)] if platform else []
    else:
        raise PackError(
            f"resolving distributions for Python {version} needs pip in "
            f"{interpreter.executable}, or uv on PATH, and neither is there"
        )
    only = [*words, "--only-binary", ":all:"] if platform else []
    return [*command, "--target", folder, *only]


#: older names of manylinux tags -> the version of glibc in the newer ones (PEP 600)
_GLIBC = {"manylinux2014": 17, "manylinux2010": 12, "manylinux1": 5}


def _for_pip(platform: str) -> list[str]:
    """Return the tags of wheels that run on *platform*, which pip takes literally."""
    family, _, machine = platform.partition("_")
    if family in _GLIBC:
        platform = f"manylinux_2_{_GLIBC[family]}_{machine}"
    parts = re.fullmatch(r"(manylinux|musllinux)_(\d+)_(\d+)_(\w+)", platform)
    if parts is None:
        return [platform]
    family, major, minor, machine = parts.groups()
    tags = [f"{family}_{major}_{n}_{machine}" for n in range(int(minor), -1, -1)]
    if family == "manylinux":
        tags += [f"{old}_{machine}" for old, n in _GLIBC.items() if n <= int(minor)]
    return tags


def _for_uv(platform: str) -> str:
    """Return pip's ``manylinux_2_28_x86_64`` as uv's ``x86_64-manylinux_2_28``."""
    for machine in ("x86_64", "aarch64"):
        if platform.endswith(f"_{machine}"):
            if platform.startswith("musllinux"):
                return f"{machine}-unknown-linux-musl"
            return f"{machine}-{platform[: -len(machine) - 1]}"
    return platform


def _works(command: list[str]) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()[-_SHOWN:]
        raise PackError(
            f"{os.path.basename(command[0])} could not install the distributions:\n"
            + "\n".join(f"  {line}" for line in words)
        )
