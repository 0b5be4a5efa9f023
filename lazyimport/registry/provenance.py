"""Provenance: where an archive came from, recorded beside it and not in its hash.

``provenance/<hash>.json`` in the store is written by the first push of the archive;
another push of the same contents changes nothing. It is for people: nothing proves
it, and nothing is decided by it.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import time

from lazyimport.errors import KeyMissing, StoreMissing
from lazyimport.registry.layout import provenance_key
from lazyimport.values import redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lazyimport.stores import ReadStore, Store

__all__ = [
    "Provenance",
    "builder",
    "commit_of",
    "own_version",
    "read_provenance",
    "write_provenance",
]

_LARGEST = 1 << 16
_GIT_SECONDS = 30
#: Variables with the address of the running job: GitLab, Jenkins, Buildkite, CircleCI.
_JOB_URLS = ("CI_JOB_URL", "BUILD_URL", "BUILDKITE_BUILD_URL", "CIRCLE_BUILD_URL")


class Provenance:
    """Where what is packed comes from; git is asked in the background.

    *roots* are what is packed, *environ* the environment of the process.
    """

    def __init__(self, roots: Sequence[str], environ: Mapping[str, str]) -> None:
        self._roots = [os.path.abspath(root) for root in roots]
        self._environ = environ
        self._git = _ask_git(self._roots[0]) if self._roots else None

    def facts(self, version: str, pythons: Sequence[str]) -> dict[str, object]:
        """Return all that is known; *version* is lazyimport's own.

        ``commit``, ``branch`` and ``dirty`` are missing where git, or a repository,
        is. No address has a password or query in it.
        """
        return {
            **self._git_facts(),
            "builder": builder(self._environ),
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "lazyimport": version,
            "pythons": list(pythons),
            "roots": self._roots,
        }

    def __enter__(self) -> Provenance:
        return self

    def __exit__(self, *_: object) -> None:
        if self._git is not None:
            self._git.kill()
            self._git.communicate()

    def _git_facts(self) -> dict[str, object]:
        """Return commit, branch and whether anything is not committed."""
        if self._git is None:
            return {}
        try:
            said = self._git.communicate(timeout=_GIT_SECONDS)[0]
        except subprocess.TimeoutExpired:
            return {}
        failed, self._git = self._git.returncode, None
        if failed:
            return {}
        facts: dict[str, object] = {}
        lines = said.decode("utf-8", "replace").split("\0")
        for line in lines:
            if line.startswith("# branch.oid ") and "(" not in line:
                facts["commit"] = line.split(" ")[2]
            elif line.startswith("# branch.head ") and "(" not in line:
                facts["branch"] = line.split(" ", 2)[2]
        facts["dirty"] = any(line and not line.startswith("# ") for line in lines)
        return facts


def write_provenance(store: Store, hash: str, facts: dict[str, object]) -> bool:
    """Write *facts* to *store*; return False if it has some for *hash* already.

    Raises StoreError.
    """
    text = json.dumps(facts, ensure_ascii=False, indent=1, sort_keys=True)
    data = text.encode("utf-8", "backslashreplace")
    return store.put(provenance_key(hash), io.BytesIO(data))


def read_provenance(store: ReadStore, hash: str) -> dict[str, object]:
    """Return the facts that *store* has for *hash*, maybe none. Raises StoreError."""
    try:
        facts = json.loads(store.read(provenance_key(hash), 0, _LARGEST))
    except (KeyMissing, StoreMissing, ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def commit_of(store: ReadStore, hash: str) -> str:
    """Return the git commit that the archive *hash* was packed from, "" if unknown.

    ``and changes`` follows if not all of it was committed. Raises StoreError.
    """
    facts = read_provenance(store, hash)
    commit = str(facts.get("commit") or "")
    return f"{commit} and changes" if commit and facts.get("dirty") else commit


def own_version() -> str:
    """Return the version of lazyimport that is installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("ray-lazyimport")
    except PackageNotFoundError:
        return "(not installed: run from a checkout)"


#: Settings with which git runs no program that a repository's configuration names.
_INERT = (
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "safe.bareRepository=explicit",
)


def _ask_git(root: str) -> subprocess.Popen[bytes] | None:
    """Start asking git about the folder of *root*; None if there is no git.

    The tree may be anybody's, so no program runs that it names: see `_INERT`, and
    filters, which git would run to compare files.
    """
    folder = root if os.path.isdir(root) else os.path.dirname(root)
    git = ["git", "-C", folder, "--no-optional-locks"]
    command = list(git)
    for setting in (*_INERT, *_no_filters(git)):
        command += ["-c", setting]
    command += ["status", "-z", "--porcelain=v2", "--branch"]
    command += ["--ignore-submodules=dirty", "--", "."]
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return None


def _no_filters(git: list[str]) -> list[str]:
    """Return settings that make nothing of the filters that are configured."""
    try:
        done = subprocess.run(
            [*git, "config", "-z", "--name-only", "--get-regexp", "^filter\\."],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    names = done.stdout.decode("utf-8", "surrogateescape").split("\0")
    return [f"{name}=" for name in names if "=" not in name and name]


def builder(environ: Mapping[str, str]) -> str:
    """Return the address of the CI job that runs this, or user@host."""
    if environ.get("GITHUB_RUN_ID"):
        parts = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
        server, repository, run = (environ.get(name, "") for name in parts)
        return redact(f"{server}/{repository}/actions/runs/{run}")
    for name in _JOB_URLS:
        if environ.get(name):
            return redact(environ[name])
    return f"{_user(environ)}@{os.uname().nodename}"


def _user(environ: Mapping[str, str]) -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user that is only a number
        return environ.get("USER") or str(os.getuid())
