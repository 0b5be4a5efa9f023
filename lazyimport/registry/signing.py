"""Signatures: Ed25519, over archives and the changes of channels.

Keys are those of OpenSSH (``ssh-keygen -t ed25519``) or PEM, a public key may
also be its 32 bytes in base64. The signature of an archive is over its hash,
which names all of its contents, and lies in the store beside it::

    signatures/<hash>/<first 32 digits of the SHA-256 of the public key>.json
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re

from lazyimport.errors import KeyMissing, SettingsError, SignatureError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from lazyimport.stores import ReadStore, Store

__all__ = [
    "PASSPHRASE",
    "Signer",
    "Trusted",
    "archive_signer",
    "make_key",
    "sign_archive",
    "signatures_key",
]

PASSPHRASE = "LAZYIMPORT_SIGNING_PASSPHRASE"  # noqa: S105 - the name of a variable
_MAKE = "'lazyimport keygen FILE' or 'ssh-keygen -t ed25519'"
_LARGEST = 1 << 16
# One public key in 64 begins as a path does, in base64.
_BARE_KEY = re.compile(r"[A-Za-z0-9+/]{43}=\s*(,|$)", re.MULTILINE)


class Signer:
    """A private key. ``public`` is the public key as OpenSSH writes it."""

    def __init__(self, key: Any) -> None:
        self._key = key
        self.public = _openssh(key.public_key())

    @classmethod
    def load(cls, source: str, passphrase: str | None = None) -> Signer:
        """Return the key in the file *source*, or the key that *source* is.

        A file that others may read is refused, as ssh does. *passphrase* is for
        an encrypted key. Raises SettingsError, or OSError if it cannot be read.
        """
        if "-----BEGIN" in source:
            return cls(_private_key(source.encode(), passphrase, "the signing key"))
        path = os.path.expanduser(source)
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & 0o077:
                raise _wrong(
                    f"the signing key {path} can be read by others (mode "
                    f"{mode & 0o777:04o}); run: chmod 600 {path}, and think about who "
                    "may have read it"
                )
            data = file.read(_LARGEST)
        return cls(_private_key(data, passphrase, path))

    def sign(self, text: bytes) -> dict[str, str]:
        """Return the signature over *text*, as it is stored."""
        signature = base64.b64encode(self._key.sign(text)).decode()
        return {"key": self.public, "signature": signature}


class Trusted:
    """The public keys that this process trusts."""

    def __init__(self, keys: dict[str, Any]) -> None:
        self._keys = keys

    @property
    def publics(self) -> list[str]:
        """The keys as OpenSSH writes them, without comments."""
        return list(self._keys)

    @classmethod
    def parse(cls, text: str) -> Trusted:
        """Return the keys in *text*, or in the file that it is the path of.

        One key a line, or separated by commas. Empty lines and what follows
        ``#`` at the beginning of a line do not count.

        Raises SettingsError if any of them is no key, or there is none.
        """
        where = "LAZYIMPORT_TRUSTED_KEYS"
        if text.startswith("/") and not _BARE_KEY.match(text):
            where = text
            try:
                with open(text, encoding="utf-8") as file:
                    text = file.read()
            except (OSError, UnicodeDecodeError) as error:
                raise SettingsError(
                    f"cannot read the trusted keys: {error}; LAZYIMPORT_TRUSTED_KEYS "
                    "is public keys or the path of a file of them",
                    name="trusted_keys",
                    value=where,
                ) from error
        keys = {}
        for piece in _pieces(text):
            key = _public_key(piece, where)
            keys[_openssh(key)] = key
        if not keys:
            raise SettingsError(
                f"{where} holds no key; write public keys into it, one a line, or "
                "unset LAZYIMPORT_TRUSTED_KEYS to trust everybody who can write to "
                "the store",
                name="trusted_keys",
                value=text,
            )
        return cls(keys)

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
            found = ", ".join(_fingerprint(str(s.get("key"))) for s in signatures)
            why = f"it is signed with {found} only"
        else:
            why = "it is not signed"
        trusted = ", ".join(map(_fingerprint, self._keys))
        raise SignatureError(
            f"{what} is not to be trusted: {why}; trusted here are {trusted} "
            "(LAZYIMPORT_TRUSTED_KEYS). Sign it with one of these: --sign KEYFILE, or "
            "LAZYIMPORT_SIGNING_KEY"
        )


def make_key(path: str) -> Signer:
    """Make a new key in *path*, for this user only, and ``path.pub`` beside it.

    Raises FileExistsError if there is a file already.
    """
    ed25519, serialization = _cryptography()
    key = ed25519.Ed25519PrivateKey.generate()
    data: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    signer = Signer(key)
    for name, content, mode in [
        (path, data, 0o600),
        (f"{path}.pub", f"{signer.public} lazyimport\n".encode(), 0o644),
    ]:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        with open(os.open(name, flags, mode), "wb") as file:
            file.write(content)
    return signer


def signatures_key(hash: str) -> str:
    """Return what the keys of all signatures of the archive *hash* begin with."""
    return f"signatures/{hash}/"


def sign_archive(store: Store, hash: str, signer: Signer) -> bool:
    """Put the signature of the archive *hash* into *store*; False if it is there."""
    import io

    facts = {"format": 1, "hash": hash, **signer.sign(_archive_text(hash))}
    data = json.dumps(facts, indent=1).encode()
    return store.put(_signature_key(hash, signer.public), io.BytesIO(data))


def archive_signer(store: ReadStore, hash: str, trusted: Trusted) -> str:
    """Return the trusted key with which the archive *hash* was signed.

    Raises SignatureError if there is none, and StoreError.
    """
    found = []
    for public in trusted.publics:
        try:
            data = store.read(_signature_key(hash, public), 0, _LARGEST)
            facts = json.loads(data)
            found.append({"key": public, "signature": str(facts["signature"])})
        except KeyMissing:
            continue
        except (ValueError, LookupError, TypeError, RecursionError):
            found.append({"key": public, "signature": ""})
    return trusted.check(_archive_text(hash), found, f"archive {hash} in {store.url}")


def _archive_text(hash: str) -> bytes:
    return f"lazyimport archive 1\n{hash}".encode()


def _signature_key(hash: str, public: str) -> str:
    digest = hashlib.sha256(base64.b64decode(public.split()[1])).hexdigest()
    return f"{signatures_key(hash)}{digest[:32]}.json"


def _fingerprint(public: str) -> str:
    """Return what ``ssh-keygen -l`` calls a key: ``SHA256:...``."""
    try:
        digest = hashlib.sha256(base64.b64decode(public.split()[1])).digest()
    except (IndexError, binascii.Error):
        return repr(public[:80])
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _openssh(key: Any) -> str:
    _, serialization = _cryptography()
    data: bytes = key.public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return data.decode()


def _pieces(text: str) -> list[str]:
    """Return the keys in *text*, each alone; a PEM block keeps its lines."""
    pieces: list[str] = []
    block: list[str] = []
    for line in text.replace(",", "\n").splitlines():
        line = line.strip()  # noqa: PLW2901
        if block or line.startswith("-----BEGIN"):
            block.append(line)
            if line.startswith("-----END"):
                pieces.append("\n".join(block))
                block = []
        elif line and not line.startswith("#"):
            pieces.append(line)
    return [*pieces, "\n".join(block)] if block else pieces


def _public_key(text: str, where: str) -> Any:
    ed25519, serialization = _cryptography()
    try:
        if text.startswith("-----BEGIN PUBLIC KEY-----"):
            key = serialization.load_pem_public_key(text.encode())
        elif " " in text:
            key = serialization.load_ssh_public_key(text.encode())
        else:
            raw = base64.b64decode(text, validate=True)
            key = ed25519.Ed25519PublicKey.from_public_bytes(raw)
    except Exception as error:  # the library has many, and no base of its own
        secret = " (it is a private key: take it out of there)" * ("PRIVATE" in text)
        raise _wrong(
            f"{where}: not a public key: {text[:40]!r}{secret}; write it as ssh-keygen "
            "does ('ssh-ed25519 AAAA... comment'), as PEM, or as base64"
        ) from error
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise _wrong(f"{where}: not an Ed25519 key: {text[:40]!r}; make one: {_MAKE}")
    return key


def _private_key(data: bytes, passphrase: str | None, where: str) -> Any:
    ed25519, serialization = _cryptography()
    load = serialization.load_pem_private_key
    if b"BEGIN OPENSSH PRIVATE KEY" in data:
        load = serialization.load_ssh_private_key
    secret = passphrase.encode() if passphrase else None
    try:
        try:
            key = load(data, secret)
        except TypeError:
            if not secret:
                raise
            key = load(data, None)  # a passphrase, and a key that has none
    except Exception as error:  # the library has many, and no base of its own
        why = f"not a private key that can be read ({error})"
        if isinstance(error, TypeError) or "password-protected" in str(error):
            why = "the key is encrypted"
        elif secret:
            why = f"not a private key, or another passphrase ({error})"
        raise _wrong(
            f"{where}: {why}; keys are Ed25519 as {_MAKE} makes them, or PEM, and "
            f"{PASSPHRASE} is the passphrase of an encrypted one"
        ) from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise _wrong(f"{where}: not an Ed25519 key; make one: {_MAKE}")
    return key


def _wrong(text: str) -> SettingsError:
    return SettingsError(text, name="signing_key", value=None)


def _cryptography() -> tuple[Any, Any]:
    """Return the modules ``ed25519`` and ``serialization`` of cryptography."""
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ModuleNotFoundError as error:
        raise _wrong(
            "signatures need the package cryptography, which is not installed here "
            f"({error}); run: pip install 'ray-lazyimport[sign]'"
        ) from error
    return ed25519, serialization
