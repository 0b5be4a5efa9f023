"""The layout of a store: under which key it has what.

::

    archives/<hash>                  an archive, whole or as a delta to another
    blobs/<digest>[.zst]             a large file of archives, as it is or compressed
    needs/<hash>-<digest>            which blobs the archive needs, a digest a line
    provenance/<hash>.json           where it came from
    signatures/<hash>/<key>.json     its signature with one key
    proofs/<hash>-<version>[-<base>] empty: this version of the object is sound;
                                     of a blob by its digest
    gc/pushed/<hash>/<random>        empty: it was pushed again when this was made
    channels/<name>.json             a channel
    gc/running.json                  what a garbage collection is about to delete
    gc/clock-<random>                empty: says what time it is in the store
    deployments/<application>/<id>/<outcome>.json   a deployment, and what came of it
    changes/<time>-<number>-<channel>.json          a change of a channel
"""

from __future__ import annotations

from lazyimport.errors import SettingsError
from lazyimport.format import sha256
from lazyimport.values import check_channel, is_sha256

ARCHIVES = "archives/"
BLOBS = "blobs/"
CHANNELS = "channels/"
NEEDS = "needs/"
PROOFS = "proofs/"
PUSHED = "gc/pushed/"
RUNNING = "gc/running.json"
CLOCK = "gc/clock-"
DEPLOYMENTS = "deployments/"
CHANGES = "changes/"
PROVENANCE = "provenance/"
SIGNATURES = "signatures/"
#: What the keys of records begin with that lie beside an archive; its hash follows.
RECORDS = (PROVENANCE, SIGNATURES, PROOFS, NEEDS, PUSHED)
#: All folders in which lazyimport puts anything.
FOLDERS = (ARCHIVES, BLOBS, CHANGES, CHANNELS, DEPLOYMENTS, *RECORDS[:-1], "gc/")
_JSON, _ZSTD = ".json", ".zst"
_HASH = "([0-9a-f]{64})"
_RECORD = (
    rf"{PROVENANCE}{_HASH}{_JSON}|{SIGNATURES}{_HASH}/[0-9a-f]{{32}}{_JSON}|"
    rf"{PROOFS}{_HASH}-[0-9a-f-]+|{NEEDS}{_HASH}-[0-9a-f]{{64}}|"
    rf"{PUSHED}{_HASH}/[0-9a-f]{{16}}"
)
_DEPLOYMENT = rf"{DEPLOYMENTS}[^/]+/\d{{4}}-\d\d-\d\dT\d{{6}}\.\d{{6}}Z-[0-9a-f]{{8}}/[a-z-]+{_JSON}"
_CHANGE = rf"{CHANGES}\d{{4}}-\d\d-\d\dT\d{{6}}Z-(\d+)-([^/]+){_JSON}"
#: Characters of the longest name of an application that is a part of a key.
_LONGEST = 200


def archive_key(hash: str) -> str:
    """Return the key of the archive *hash*."""
    return f"{ARCHIVES}{hash}"


def blob_key(digest: str, *, compressed: bool) -> str:
    """Return the key of the blob of a SHA-256, in hex digits."""
    return f"{BLOBS}{digest}{_ZSTD * compressed}"


def blob_of(key: str) -> str | None:
    """Return the digest of the blob that *key* is of, None if it is of none."""
    name = key.removeprefix(BLOBS).removesuffix(_ZSTD)
    is_one = is_sha256(name) and name == name.lower()
    is_one = is_one and key in {f"{BLOBS}{name}", f"{BLOBS}{name}{_ZSTD}"}
    return name if is_one else None


def provenance_key(hash: str) -> str:
    """Return the key of the record that says where the archive *hash* came from."""
    return f"{PROVENANCE}{hash}{_JSON}"


def signature_key(hash: str, signer: str) -> str:
    """Return the key of the signature of the archive *hash* with one key.

    *signer* is 32 digits of the SHA-256 of the public key.
    """
    return f"{SIGNATURES}{hash}/{signer}{_JSON}"


def recorded_hash(key: str) -> str | None:
    """Return the hash of the archive beside which *key* lies, None if it is no record.

    People keep files of their own in a store, also beside those of lazyimport.
    """
    import re  # a fetcher starts without it

    found = re.fullmatch(_RECORD, key)
    return found and found[found.lastindex or 0]


def channel_key(name: str) -> str:
    """Return the key of the channel *name*. Raises SettingsError if it is no name."""
    return f"{CHANNELS}{check_channel(name)}{_JSON}"


def channel_of(key: str) -> str | None:
    """Return the name of the channel that *key* is of, None if it is of none."""
    name = key.removeprefix(CHANNELS).removesuffix(_JSON)
    try:
        return name if key == channel_key(name) else None
    except SettingsError:
        return None  # a copy that somebody keeps there


def change_key(name: str, number: int, at: str) -> str:
    """Return the key of the record that a channel was changed *at* a time."""
    return f"{CHANGES}{at.replace(':', '')}-{number}-{check_channel(name)}{_JSON}"


def change_of(key: str) -> tuple[str, int] | None:
    """Return the channel and the number of the change that *key* is of, or None."""
    import re

    found = re.fullmatch(_CHANGE, key)
    return found and (found[2], int(found[1]))


def deployments_of(application: str) -> str:
    """Return with what the keys of the deployments of *application* begin."""
    from urllib.parse import quote  # only for those who deploy

    name = quote(application or "_", safe="").replace(".", "%2E")
    if len(name) > _LONGEST:
        name = sha256(name.encode()).hex()
    return f"{DEPLOYMENTS}{name}/"


def is_deployment(key: str) -> bool:
    """Whether *key* has the form that `deployment_key` gives."""
    import re

    return re.fullmatch(_DEPLOYMENT, key) is not None


def deployment_key(application: str, name: str, outcome: str) -> str:
    """Return the key of the object that says what came of the deployment *name*."""
    return f"{deployments_of(application)}{name}/{outcome.replace(' ', '-')}{_JSON}"
