"""Provenance: where an archive came from, recorded beside it and not in its hash.

``provenance/<hash>.json`` in the store is written by the first push of the archive;
another push of the same contents changes nothing. It is for people: nothing proves
it, and it decides nothing.
"""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Mapping, Sequence

from lazyimport.errors import KeyMissing, StoreMissing
from lazyimport.registry.checkout import Checkout
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
        self._checkout = Checkout(self._roots[0]) if roots else None

    def __enter__(self) -> Provenance:
        return self

    def __exit__(self, *_: object) -> None:
        if self._checkout is not None:
            self._checkout.__exit__()

    def facts(self, version: str, pythons: Sequence[str]) -> dict[str, object]:
        """Return all that is known; *version* is lazyimport's own.

        What `Checkout.facts` does not know is missing. No address has a password or
        query in it.
        """
        return {
            **(self._checkout.facts() if self._checkout else {}),
            "builder": builder(self._environ),
            "time": utc(time.time()),
            "lazyimport": version,
            "pythons": list(pythons),
            "roots": self._roots,
        }


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
