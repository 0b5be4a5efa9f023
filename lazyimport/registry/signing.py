"""Signatures: Ed25519, over archives and the changes of channels.

The signature of an archive is over its hash, which names all of its contents, and
lies in the store beside it (`lazyimport.registry.layout`).
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
from collections.abc import Sequence
from typing import Any

from lazyimport.errors import KeyMissing, SettingsError, SignatureError
from lazyimport.registry import keys
from lazyimport.registry.layout import signature_key
from lazyimport.settings import Settings
from lazyimport.stores import ReadStore, Store

_VARIABLE = "LAZYIMPORT_TRUSTED_KEYS"
#: Bytes of the largest key or signature that is read.
_LARGEST = 1 << 16
# One public key in 64 begins as a path does, in base64.
_PART_OF_A_KEY = re.compile(r"[A-Za-z0-9+/=\s]{40,}")
_BARE_KEY = re.compile(r"[A-Za-z0-9+/]{43}=\s*(,|$)", re.MULTILINE)


class Signer:
    """A private key. ``public`` is the public key as OpenSSH writes it."""

    def __init__(self, key: Any) -> None:
        self._key = key
        self.public = keys.encode_public(key.public_key())

    @classmethod
    def load(cls, source: str, passphrase: str | None = None) -> Signer:
        """Return the key in the file *source*, or the key that *source* is.

        A file that others may read is refused, as ssh does. *passphrase* is for
        an encrypted key. Raises SettingsError, or OSError if it cannot be read.
        """
        if "-----BEGIN" in source:
            return cls(
                keys.parse_private(source.encode(), passphrase, "the signing key")
            )
        path = os.path.expanduser(source)
        if _PART_OF_A_KEY.fullmatch(source) and not os.path.exists(path):
            # It may be the key itself, with its first line lost: not to be shown.
            raise keys.wrong_key(
                f"the signing key is neither a file nor a private key ({len(source)} "
                "characters); name the file, or pass the key with its BEGIN and END "
                "lines"
            )
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & 0o077:
                raise keys.wrong_key(
                    f"the signing key {path} can be read by others (mode "
                    f"{mode & 0o777:04o}); run: chmod 600 {path}, and think about who "
                    "may have read it"
                )
            data = file.read(_LARGEST)
        return cls(keys.parse_private(data, passphrase, path))

    def sign(self, text: bytes) -> dict[str, str]:
        """Return the signature over *text*, as it is stored."""
        signature = base64.b64encode(self._key.sign(text)).decode()
        return {"key": self.public, "signature": signature}


def make_key(path: str) -> Signer:
    """Make a new key in *path*, for this user only, and ``path.pub`` beside it.

    Raises FileExistsError if there is a file already.
    """
    key = keys.generate()
    signer = Signer(key)
    public = f"{signer.public} lazyimport\n".encode()
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    for name, content, mode in [
        (path, keys.encode_private(key), 0o600),
        (f"{path}.pub", public, 0o644),
    ]:
        with open(os.open(name, flags, mode), "wb") as file:
            file.write(content)
    return signer


class Trusted:
    """The public keys that this process trusts."""

    def __init__(self, keys: dict[str, Any]) -> None:
        self._keys = keys

    @classmethod
    def of(cls, settings: Settings) -> Trusted | None:
        """Return the keys of *settings*, None if they name none, as `parse` does."""
        return cls.parse(settings.trusted_keys) if settings.trusted_keys else None

    @classmethod
    def parse(cls, text: str) -> Trusted:
        """Return the keys in *text*, or in the file that it is the path of.

        One key a line, or separated by commas. Raises SettingsError if any of
        them is no key, or there is none.
        """
        where = _VARIABLE
        if text.startswith("/") and not _BARE_KEY.match(text):
            where = text
            text = _read(text)
        found = {keys.encode_public(k): k for k in keys.parse_publics(text, where)}
        if not found:
            raise SettingsError(
                f"{where} has no key in it; write public keys there, one a line, or "
                f"unset {_VARIABLE} to trust everybody who can write to the store",
                name="trusted_keys",
                value=text,
            )
        return cls(found)

    @property
    def publics(self) -> list[str]:
        """The keys as OpenSSH writes them, without comments."""
        return list(self._keys)

    def check(
        self, text: bytes, signatures: Sequence[dict[str, str]], what: str
    ) -> str:
        """Return the trusted key with which *text* was signed.

        *what* names it in messages. Raises SignatureError.
        """
        from cryptography.exceptions import InvalidSignature  # parse() had it

        forged = False
        for signature in signatures:
            key = self._keys.get(signature.get("key", ""))
            if key is None:
                continue
            try:
                key.verify(base64.b64decode(signature["signature"]), text)
            except (InvalidSignature, LookupError, TypeError, ValueError):
                forged = True
            else:
                return signature["key"]
        if forged:
            why = "its signature does not hold: it was changed after it was signed"
        elif signatures:
            found = ", ".join(keys.fingerprint(str(s.get("key"))) for s in signatures)
            why = f"it is signed with {found} only"
        else:
            why = "it is not signed"
        trusted = ", ".join(map(keys.fingerprint, self._keys))
        raise SignatureError(
            f"{what} is not to be trusted: {why}; trusted here are {trusted} "
            f"({_VARIABLE}). Sign it with one of these: --sign KEYFILE, or "
            "LAZYIMPORT_SIGNING_KEY"
        )


def sign_archive(store: Store, hash: str, signer: Signer) -> bool:
    """Put the signature of the archive *hash* into *store*; False if it is there."""
    facts = {"format": 1, "hash": hash, **signer.sign(_archive_text(hash))}
    data = json.dumps(facts, indent=1).encode()
    return store.put(_key_of(hash, signer.public), io.BytesIO(data))


def archive_signer(store: ReadStore, hash: str, trusted: Trusted) -> str:
    """Return the trusted key with which the archive *hash* was signed.

    Raises SignatureError if there is none, and StoreError.
    """
    found = []
    for public in trusted.publics:
        try:
            facts = json.loads(store.read(_key_of(hash, public), 0, _LARGEST))
            found.append({"key": public, "signature": str(facts["signature"])})
        except KeyMissing:
            continue
        except (ValueError, LookupError, TypeError, RecursionError):
            found.append({"key": public, "signature": ""})
    return trusted.check(_archive_text(hash), found, f"archive {hash} in {store.url}")


def _archive_text(hash: str) -> bytes:
    return f"lazyimport archive 1\n{hash}".encode()


def _key_of(hash: str, public: str) -> str:
    return signature_key(hash, keys.digest(public).hex()[:32])


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            status = os.fstat(file.fileno())
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"cannot read the trusted keys: {error}; {_VARIABLE} is public keys or the "
            "path of a file of them",
            name="trusted_keys",
            value=path,
        ) from error
    if status.st_mode & 0o022 or status.st_uid not in {0, os.geteuid()}:
        raise SettingsError(
            f"the trusted keys {path} can be changed by others (mode "
            f"{status.st_mode & 0o777:04o}, owner {status.st_uid}), who would decide "
            f"whom this process trusts; run: chmod go-w {path}, as its owner",
            name="trusted_keys",
            value=path,
        )
    return text
