"""The environment: which of its variables count, and which are mistyped."""

from __future__ import annotations

from lazyimport.values import artifact_suffix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping
    from typing import Any

#: "<hash> <artifact>": what an installed artifact became, for child processes.
RESOLVED = "LAZYIMPORT_RESOLVED"
#: What makes a process run an archive of its own.
ACTIVATING = {"LAZYIMPORT_HASH", "LAZYIMPORT_CHANNEL", "LAZYIMPORT_ARTIFACT"}
#: Variables of ours that are no settings.
FURTHER = {
    RESOLVED,
    "LAZYIMPORT_ARTIFACT_SHA256",
    "LAZYIMPORT_CHANNEL_EXPIRES",
    "LAZYIMPORT_FOLLOW",
    "LAZYIMPORT_SIGNING_KEY",
    "LAZYIMPORT_SIGNING_PASSPHRASE",
    "LAZYIMPORT_VERBOSE",
}
_PREFIX = "LAZYIMPORT_"
#: Characters in a row in which a name and its slip differ, at most.
_SLIP = 3

_told: set[str] = set()  # once in a process is enough


def mistyped(
    environ: Iterable[str], settings: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """Yield each name in *environ* that looks like a slip, and the name that is meant.

    *settings* are the variables of all settings. A name that is like none of ours may
    be a variable of another version, or of somebody else, and is left alone. So are
    those that Kubernetes sets for each service.
    """
    known = {*settings, *FURTHER}
    for name in environ:
        is_of_service = "_SERVICE_" in name or "_PORT" in name
        if name.startswith(_PREFIX) and name not in known and not is_of_service:
            meant = min(known, key=lambda one: (_difference(name, one), one))
            if is_slip(name, meant):
                yield name, meant


def is_slip(name: str, meant: str) -> bool:
    """Return whether one variable of ours is a slip of the other.

    They differ in one place, by a few characters, and have half of theirs in common. No
    two variables of ours do, so a variable of a newer lazyimport is no slip of these.
    """
    longer = max(len(name), len(meant)) - len(_PREFIX)
    return _difference(name, meant) <= min(_SLIP, longer // 2)


def _difference(name: str, meant: str) -> int:
    """Return how many characters lie between the first that differs and the last."""
    one, other = sorted((name[len(_PREFIX) :].upper(), meant[len(_PREFIX) :]), key=len)
    begin = 0
    while begin < len(one) and one[begin] == other[begin]:
        begin += 1
    end = 0
    while end < len(one) - begin and one[-1 - end] == other[-1 - end]:
        end += 1
    return len(other) - begin - end


def warn_of_mistyped(
    environ: Mapping[str, str], settings: Iterable[str], warn: Callable[[str], object]
) -> None:
    """Give *warn* a text for each name that is `mistyped`, once in a process.

    Empty variables are as good as not set.
    """
    for name, meant in mistyped(filter(environ.get, environ), settings):
        if name not in _told:
            _told.add(name)
            warn(f"{name} is set and does nothing; did you mean {meant}?")


def combine(
    values: dict[str, Any], given: Mapping[str, Any], environ: Mapping[str, str]
) -> None:
    """Put into *values*, read from *environ* one by one, what these mean together.

    *given* wins over the environment. See `Settings.from_environ` for the rules.
    """
    _add_older_spelling(values, environ)
    sha256 = environ.get("LAZYIMPORT_ARTIFACT_SHA256")
    if sha256 and values["artifact"]:
        values["artifact"] = _with_sha256(values["artifact"], sha256)
    values.update(given)
    if "channel" in given and "artifact" not in given:
        values["artifact"] = None
    if values["hash"] and values["artifact"]:
        for name in _not_meant(values, given, environ.get(RESOLVED, "")):
            values[name] = None


def _add_older_spelling(values: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Add the store, or artifact, in the bucket of ``BUCKET_NAME``, if none is set."""
    if environ.get("BUCKET_NAME") and not values["store"]:
        folder = environ.get("SOURCE_CODE_PATH", "").strip("/")
        name = "artifact" if artifact_suffix(folder) else "store"
        url = f"gs://{environ['BUCKET_NAME']}/{folder}".rstrip("/")
        values[name] = values[name] or url


def _with_sha256(url: str, digest: str) -> str:
    option = f"sha256={digest}"
    if option in url.partition("#")[2]:
        return url
    return f"{url}{'&' if '#' in url else '#'}{option}"


def _not_meant(
    values: Mapping[str, object], given: Container[str], resolved: str
) -> tuple[str, ...]:
    """Return which of hash and artifact does not count, where both are set."""
    made, _, source = resolved.partition(" ")
    if "hash" not in given and values["hash"] == made:  # inherited
        return () if values["artifact"] == source else ("hash",)
    if "artifact" in given and "hash" not in given:
        return ("hash",)
    return ("artifact",)
