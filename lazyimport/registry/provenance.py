"""Provenance: where an archive came from, recorded beside it and not in its hash.

``provenance/<hash>.json`` in the store is written by the first push of the archive;
another push of the same contents changes nothing. It is for people: nothing proves
it, and it decides nothing.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence

from lazyimport import git
from lazyimport.errors import KeyMissing, StoreMissing
from lazyimport.registry.layout import provenance_key
from lazyimport.stores import ReadStore, Store
from lazyimport.units import utc
from lazyimport.values import redact

#: Bytes of the largest record that is read.
_LARGEST = 1 << 16
#: Variables with the address of the running job: GitLab, Jenkins, Buildkite, CircleCI.
_JOB_URLS = ("CI_JOB_URL", "BUILD_URL", "BUILDKITE_BUILD_URL", "CIRCLE_BUILD_URL")


_AND_CHANGES = " and changes"


class Provenance:
    """Where what is packed comes from: *roots* is what is packed.

    *environ* is the environment of the process. git is asked in the background
    until the block is left.
    """

    def __init__(self, roots: Sequence[str], environ: Mapping[str, str]) -> None:
        self._roots = [os.path.abspath(root) for root in roots]
        self._environ = environ
        self._git = _ask_git(self._roots[0]) if roots else None

    def __enter__(self) -> Provenance:
        return self

    def __exit__(self, *_: object) -> None:
        if self._git is not None:
            git.give_up(self._git)

    def facts(self, version: str, pythons: Sequence[str]) -> dict[str, object]:
        """Return all that is known; *version* is lazyimport's own.

        ``commit``, ``branch`` and ``dirty``, whether anything is not committed, are
        there as far as git knows them. No address has a password or query in it.
        """
        process, self._git = self._git, None
        return {
            **_facts_of_git(process),
            "builder": builder(self._environ),
            "time": utc(time.time()),
            "lazyimport": version,
            "pythons": list(pythons),
            "roots": self._roots,
        }


def _ask_git(root: str) -> subprocess.Popen[bytes] | None:
    """Ask git about the folder of *root*, a directory or file; None without git."""
    folder = root if os.path.isdir(root) else os.path.dirname(root)
    words = ("status", "-z", "--porcelain=v2", "--branch", "--ignore-submodules=dirty")
    try:
        return git.ask(folder, *words, "--", ".")
    except OSError:
        return None


def _facts_of_git(process: subprocess.Popen[bytes] | None) -> dict[str, object]:
    """Return what git has answered; nothing if there is no repository."""
    try:
        said = git.answer(process) if process is not None else b""
    except OSError:
        said = b""
    if not said:
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


def commit_in(facts: Mapping[str, object]) -> str:
    """Return the git commit that *facts* name, "" if none.

    ``and changes`` follows if not all of it was committed.
    """
    commit = str(facts.get("commit") or "")
    return f"{commit}{_AND_CHANGES}" if commit and facts.get("dirty") else commit


def commit_facts(text: str) -> dict[str, object]:
    """Return what `commit_in` has put into *text*: ``commit``, and if ``dirty``."""
    commit = text.removesuffix(_AND_CHANGES)
    return {"commit": commit, "dirty": commit != text}


def own_version() -> str:
    """Return the version of lazyimport that is installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("ray-lazyimport")
    except PackageNotFoundError:
        return "(not installed: run from a checkout)"


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
