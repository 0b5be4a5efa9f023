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
from collections.abc import Sequence
from importlib.metadata import Distribution

from lazyimport.errors import PackError
from lazyimport.packing.interpreters import Interpreter
from lazyimport.packing.options import PackOptions
from lazyimport.reporting import Reporter

_SHOWN = 15  # lines of what an installer printed


def stage(
    options: PackOptions,
    interpreters: Sequence[Interpreter],
    folder: str,
    reporter: Reporter,
) -> None:
    """Bring the distributions that *options* ask for into *folder*.

    Raises PackError.
    """
    stage_installed(options.installed, folder)
    platform = options.platform
    if options.requirements:
        reporter.step(f"resolving {', '.join(options.requirements)}")
        files = [("-r", os.path.abspath(file)) for file in options.requirements]
        arguments = [word for pair in files for word in pair]
        stage_resolved(arguments, interpreters, folder, platform=platform)
    if options.wheels:
        reporter.step(f"installing {', '.join(options.wheels)}")
        arguments = ["--no-deps", *map(os.path.abspath, options.wheels)]
        stage_resolved(arguments, interpreters, folder, platform=platform)


def stage_installed(names: Sequence[str], folder: str) -> None:
    """Copy the distributions *names*, as they are installed here, into *folder*.

    Takes the modules, data and metadata that their RECORD lists, without scripts
    and compiled files. Dependencies are not copied: name them too.

    Raises PackError with every name that is not installed, or is editable.
    """
    from importlib.metadata import PackageNotFoundError, distribution

    issues = []
    for name in names:
        try:
            issues += _copy(name, distribution(name), folder)
        except PackageNotFoundError:
            issues.append(
                f"{name!r} is not installed in this environment; install it here, or "
                "have it resolved with --requirements"
            )
    if issues:
        raise PackError("; ".join(issues), issues=tuple(issues))


def stage_resolved(
    arguments: Sequence[str],
    interpreters: Sequence[Interpreter],
    folder: str,
    *,
    platform: str | None = None,
) -> None:
    """Have uv or pip install *arguments* into *folder*, for each interpreter.

    *arguments* are what both understand: ``-r FILE``, paths of wheels,
    ``--no-deps``. *platform* is a tag such as ``manylinux_2_28_x86_64``, by default
    that of this machine; with one, only wheels are installed. What several Pythons
    install under one name must be the same; extension modules have their Python in
    their name.

    Raises PackError with the last lines that the installer printed.
    """
    for interpreter in interpreters:
        _run(_command(interpreter, folder, platform) + list(arguments))


def _copy(name: str, found: Distribution, folder: str) -> list[str]:
    direct = json.loads(found.read_text("direct_url.json") or "{}")
    if direct.get("dir_info", {}).get("editable"):
        where = direct.get("url")
        return [f"{name!r} is an editable install; give its folder as a root: {where}"]
    if found.files is None:
        return [f"{name!r} does not list its files (no RECORD); reinstall it with pip"]
    for file in found.files:
        path = file.as_posix()
        if path.startswith(("../", "/")) or path.endswith((".pyc", ".pyo")):
            continue
        source, target = str(found.locate_file(file)), os.path.join(folder, path)
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
        command += ["--no-compile", "--upgrade", "--target", folder]
        if platform:
            for tag in _for_pip(platform):
                command += ["--platform", tag]
            command += ["--only-binary", ":all:"]
    elif uv:
        command = [uv, "pip", "install", "--quiet", "--no-compile-bytecode"]
        command += ["--python", interpreter.executable, "--target", folder]
        if platform:
            command += ["--python-platform", _for_uv(platform)]
            command += ["--python-version", version, "--only-binary", ":all:"]
    else:
        raise PackError(
            f"resolving distributions for Python {version} needs pip in "
            f"{interpreter.executable}, or uv on PATH, and neither is there"
        )
    return command


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
