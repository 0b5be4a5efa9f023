"""Signatures: Ed25519, over archives and the changes of channels.

The signature of an archive is over its hash, and lies in the store beside it.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping, Sequence
from errno import EFBIG
from typing import Any

from lazyimport.errors import KeyMissing, SettingsError, SignatureError
from lazyimport.registry import keys
from lazyimport.registry.layout import signature_key
from lazyimport.regular import open_regular
from lazyimport.settings import Settings
from lazyimport.stores import ReadStore

_VARIABLE = "LAZYIMPORT_TRUSTED_KEYS"
#: Bytes of the largest key or signature that is read.
_LARGEST = 1 << 16
#: Characters of the largest file of trusted keys.
_LARGEST_FILE = 1 << 20
#: Keys that a message names; anybody may have added more to a signed object.
_NAMED = 3
# One public key in 64 begins as a path does, in base64.
_BARE_KEY = re.compile(r"[A-Za-z0-9+/]{43}=\s*(,|$)", re.MULTILINE)


class Trusted:
    """The public keys that this process trusts."""

    def __init__(self, keys: dict[str, Any]) -> None:
        self._keys = keys

    @classmethod
    def of(cls, settings: Settings) -> Trusted | None:
        """Return the keys of *settings*, None if they name none, as `load` does."""
        return cls.load(settings.trusted_keys) if settings.trusted_keys else None

    @classmethod
    def load(cls, text: str) -> Trusted:
        """Return the keys in *text*, or in the file that it is the path of.

        Raises SettingsError as `parse` does, and for a file that others can change.
        """
        if text.startswith("/") and not _BARE_KEY.match(text):
            return cls.parse(_read(text), text)
        return cls.parse(text)

    @classmethod
    def parse(cls, text: str, where: str = _VARIABLE) -> Trusted:
        """Return the keys in *text*, one a line, or separated by commas.

        *where* names it in messages. Raises SettingsError if any of them is no key,
        or there is none.
        """
        found = {keys.encode_public(k): k for k in keys.parse_publics(text, where)}
        if not found:
            raise SettingsError(
                f"{where} has no key in it; write public keys there, one a line, or "
                f"unset {_VARIABLE} to trust everybody who can write to the store",
                name="trusted_keys",
                value=None,
            )
        return cls(found)

    @property
    def publics(self) -> list[str]:
        """The keys as OpenSSH writes them, without comments."""
        return list(self._keys)

    def signer_of(
        self, text: bytes, signatures: Sequence[dict[str, str]]
    ) -> str | None:
        """Return the trusted key with which *text* was signed, or None."""
        from cryptography.exceptions import InvalidSignature  # parse() had it

        for signature in signatures:
            try:
                key = self._keys[signature["key"]]
                key.verify(base64.b64decode(signature["signature"]), text)
            except (InvalidSignature, LookupError, TypeError, ValueError):
                continue
            return signature["key"]
        return None

    def check(
        self, text: bytes, signatures: Sequence[dict[str, str]], what: str
    ) -> str:
        """Return the trusted key with which *text* was signed.

        *what* names it in messages. Raises SignatureError.
        """
        signer = self.signer_of(text, signatures)
        if signer is not None:
            return signer
        found = {signature.get("key", ""): None for signature in signatures}
        if not self._keys.keys().isdisjoint(found):
            why = "its signature does not hold: it was changed after it was signed"
        elif found:
            others = f" and {len(found) - _NAMED} more" * (len(found) > _NAMED)
            named = ", ".join(map(keys.fingerprint, list(found)[:_NAMED]))
            why = f"it is signed with {named}{others} only"
        else:
            why = "it is not signed"
        trusted = ", ".join(map(keys.fingerprint, self._keys))
        raise SignatureError(
            f"{what} is not to be trusted: {why}; trusted here are {trusted}. Sign it "
            "with one of these (--sign KEY, or LAZYIMPORT_SIGNING_KEY), or trust its "
            f"key ({_VARIABLE})"
        )

    def check_archive(self, store: ReadStore, hash: str) -> dict[str, str]:
        """Return the signature in *store* that makes the archive *hash* trusted.

        Raises SignatureError if there is none, and StoreError.
        """
        found = []
        for public in self.publics:
            try:
                facts = json.loads(
                    store.read(archive_signature_key(hash, public), 0, _LARGEST)
                )
                found.append({"key": public, "signature": str(facts["signature"])})
            except KeyMissing:
                continue
            except (ValueError, LookupError, TypeError, RecursionError):
                found.append({"key": public, "signature": ""})
        what = f"archive {hash} in {store.url}"
        key = self.check(archive_text(hash), found, what)
        return next(one for one in found if one["key"] == key)


def signatures_in(found: object) -> list[dict[str, str]]:
    """Return the signatures in what somebody has stored as a list of them."""
    return [
        {"key": str(one.get("key")), "signature": str(one.get("signature"))}
        for one in (found if isinstance(found, list) else [])
        if isinstance(one, dict)
    ]


def signed_text(kind: str, facts: Mapping[str, object]) -> bytes:
    """Return what the signature of a *kind* of record with these *facts* is over."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return f"lazyimport {kind} 1\n{text}".encode()


def archive_text(hash: str) -> bytes:
    """Return what the signature of the archive *hash* is over."""
    return f"lazyimport archive 1\n{hash}".encode()


def archive_signature_key(hash: str, public: str) -> str:
    """Return the key in a store of the signature of an archive with a public key."""
    return signature_key(hash, keys.digest(public).hex()[:32])


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8-sig", opener=open_regular) as file:
            status = os.fstat(file.fileno())
            text = file.read(_LARGEST_FILE + 1)
        if len(text) > _LARGEST_FILE:
            raise OSError(EFBIG, "it is too large")
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"cannot read the trusted keys {keys.masked(path)} "
            f"({getattr(error, 'strerror', 'no text')}); {_VARIABLE} is public keys or "
            "the path of a file of them",
            name="trusted_keys",
            value=None,
        ) from None
    if status.st_mode & 0o022 or status.st_uid not in {0, os.geteuid()}:
        raise SettingsError(
            f"the trusted keys {path} can be changed by others (mode "
            f"{status.st_mode & 0o777:04o}, owner {status.st_uid}), who would decide "
            f"whom this process trusts; run: chmod go-w {path}, as its owner",
            name="trusted_keys",
            value=path,
        )
    return text
