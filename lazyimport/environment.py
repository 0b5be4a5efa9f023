"""The environment: which variables count where several name what is to run."""

from __future__ import annotations

from lazyimport.values import artifact_suffix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Mapping
    from typing import Any

#: "<hash> <artifact>": what an installed artifact became, for child processes.
RESOLVED = "LAZYIMPORT_RESOLVED"


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
