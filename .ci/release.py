"""Build the distribution in dist/, and prove that it can be released.

It is built from two copies that differ in place, times and rights of files, and both
give the same bytes. PyPI accepts its description, the wheel installs in an empty
environment of every Python here and imports, and dist/ gets a list of what it brings
along (SBOM, CycloneDX).
"""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
import sys
import tempfile

import pythons
from commands import Failed, run, say

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DIST = os.path.join(TOP, "dist")
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14", "3.15")
TRY = """\
import lazyimport
from lazyimport.cli import main
assert lazyimport.__file__.startswith(__import__("sys").prefix), lazyimport
raise SystemExit(main(["--version"]))
"""


def main() -> None:
    """Do all of it; end with what failed."""
    try:
        with tempfile.TemporaryDirectory() as scratch:
            release(scratch)
    except Failed as error:
        sys.exit(f"ci: {error}")


def release(scratch: str) -> None:
    """Build twice in *scratch*, compare, check, and install."""
    built = [build(os.path.join(scratch, name), name == "b") for name in ("a", "b")]
    if built[0] != built[1]:
        raise Failed(f"two builds differ: {built[0]} and {built[1]}")
    shutil.rmtree(DIST, ignore_errors=True)
    shutil.copytree(os.path.join(scratch, "a", "dist"), DIST)
    for name, digest in built[0].items():
        say(f"{digest}  {name}")
    files = [os.path.join(DIST, name) for name in built[0]]
    run(sys.executable, "-m", "twine", "check", "--strict", *files)
    (wheel,) = glob.glob(os.path.join(DIST, "*.whl"))
    found = [python for version in VERSIONS if (python := pythons.find(version, ""))]
    for number, python in enumerate(found):
        folder = os.path.join(scratch, str(number))
        installed = install(python, folder, wheel)
        say(f"{run(installed, '-I', '-c', TRY).strip()} with {python}")
    if not found:
        raise Failed("no Python from 3.10 to 3.15 is here to install the wheel")
    run(
        *(sys.executable, "-m", "cyclonedx_py", "environment"),
        *("--pyproject", os.path.join(TOP, "pyproject.toml"), "--mc-type", "library"),
        *("--output-reproducible", "--validate", "-o", os.path.join(DIST, "sbom.json")),
        os.path.join(scratch, "0"),
    )


def build(folder: str, changed: bool) -> dict[str, str]:
    """Build what git tracks in a copy at *folder*; return the digest of each file."""
    for name in run("git", "ls-files", "-z", folder=TOP).rstrip("\0").split("\0"):
        copy = os.path.join(folder, name)
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        shutil.copyfile(os.path.join(TOP, name), copy)
        if changed:
            os.utime(copy, (1e9, 1e9))
            os.chmod(copy, 0o600)
    run(sys.executable, "-m", "build", folder)
    dist = os.path.join(folder, "dist")
    digests = {}
    for name in sorted(os.listdir(dist)):
        with open(os.path.join(dist, name), "rb") as file:
            digests[name] = hashlib.sha256(file.read()).hexdigest()
    return digests


def install(python: str, folder: str, wheel: str) -> str:
    """Install *wheel* alone in a new environment; return its Python."""
    run("uv", "venv", "--quiet", "--no-config", "--python", python, folder)
    installed = os.path.join(folder, "bin", "python")
    run("uv", "pip", "install", "--quiet", "--python", installed, wheel)
    return installed


if __name__ == "__main__":
    main()
