"""Ed25519 keys as OpenSSH, PEM and base64 write them.

This is what `ssh-keygen -t ed25519` makes, or PEM; a public key may also be its
32 bytes in base64. A key is that of the package cryptography, a *public* key in
text is as OpenSSH writes it, without its comment.
"""

from __future__ import annotations

import base64
import hashlib
import os
from typing import Any

from lazyimport.errors import SettingsError

PASSPHRASE = "LAZYIMPORT_SIGNING_PASSPHRASE"  # noqa: S105 - the name of a variable
#: Fewer characters are no Ed25519 key, nor half of one.
_HARMLESS = 24
_MAKE = "'lazyimport keygen FILE' or 'ssh-keygen -t ed25519'"


def generate() -> Any:
    """Return a new private key."""
    ed25519, _ = _cryptography()
    return ed25519.Ed25519PrivateKey.generate()


def encode_private(key: Any) -> bytes:
    """Return a private key, not encrypted, as OpenSSH writes it."""
    _, serialization = _cryptography()
    data: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    return data


def encode_public(key: Any) -> str:
    """Return a public key as OpenSSH writes it."""
    _, serialization = _cryptography()
    data: bytes = key.public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return data.decode()


def digest(public: str) -> bytes:
    """Return the SHA-256 of a public key; raises ValueError or IndexError."""
    return hashlib.sha256(base64.b64decode(public.split()[1])).digest()


def fingerprint(public: str) -> str:
    """Return what ``ssh-keygen -l`` calls a public key: ``SHA256:...``."""
    try:
        return "SHA256:" + base64.b64encode(digest(public)).decode().rstrip("=")
    except (IndexError, ValueError):
        return repr(public[:80])


def parse_publics(text: str, where: str) -> list[Any]:
    """Return the public keys in *text*, one a line, or separated by commas.

    Empty lines and lines that begin with ``#`` do not count. *where* names the text
    in messages. Raises SettingsError for anything else.
    """
    pieces: list[str] = []
    block: list[str] = []  # the lines of a PEM block
    for line in map(str.strip, text.replace(",", "\n").splitlines()):
        if block or line.startswith("-----BEGIN"):
            block.append(line)
            if line.startswith("-----END"):
                pieces.append("\n".join(block))
                block = []
        elif line and not line.startswith("#"):
            pieces.append(line)
    if block:
        pieces.append("\n".join(block))
    return [
        _parse_public(piece, f"{where}: key {number}")
        for number, piece in enumerate(pieces, 1)
    ]


def _parse_public(text: str, what: str) -> Any:
    ed25519, serialization = _cryptography()
    try:
        if text.startswith("-----BEGIN PUBLIC KEY-----"):
            key = serialization.load_pem_public_key(text.encode())
        elif " " in text:
            key = serialization.load_ssh_public_key(text.encode())
        else:
            raw = base64.b64decode(text, validate=True)
            key = ed25519.Ed25519PublicKey.from_public_bytes(raw)
    except Exception:  # noqa: BLE001 - the library has many, and no base of its own
        # Nothing of the text: it may be (a part of) a private key.
        secret = " but a private one: remove it from there" * ("PRIVATE" in text)
        raise wrong_key(
            f"{what} is not a public key{secret}; write it as ssh-keygen does "
            "('ssh-ed25519 AAAA... comment'), as PEM, or as base64"
        ) from None
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise wrong_key(f"{what} is not an Ed25519 key; make one: {_MAKE}")
    return key


def parse_private(data: bytes, passphrase: str | None, where: str) -> Any:
    """Return the private key in *data*, which *passphrase* decrypts if need be.

    *where* names it in messages. Raises SettingsError.
    """
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
    except Exception as error:  # noqa: BLE001 - the library has no base of its own
        why = "not a private key that can be read"
        if isinstance(error, TypeError) or "password-protected" in str(error):
            why = "the key is encrypted"
        elif secret:
            why = "not a private key, or another passphrase"
        raise wrong_key(
            f"{where}: {why}; keys are Ed25519 as {_MAKE} makes them, or PEM, and "
            f"{PASSPHRASE} is the passphrase of an encrypted one"
        ) from None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise wrong_key(f"{where}: not an Ed25519 key; make one: {_MAKE}")
    return key


def masked(source: str) -> str:
    """Return *source*, which is no file, as a message may show it.

    It may be a private key, or a part of one, that somebody gave for a path.
    """
    folder = os.path.dirname(source)
    is_path = folder not in {"", "/"} and os.path.isdir(folder)
    if is_path or len(source) < _HARMLESS:
        return source
    return f"({len(source)} characters)"


def wrong_key(text: str) -> SettingsError:
    """Return the error for a key that cannot be used; no part of a secret is in it."""
    return SettingsError(text, name="signing_key", value=None)


def _cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ModuleNotFoundError as error:
        raise wrong_key(
            "signatures need the package cryptography, which is not installed here "
            f"({error}); run: pip install 'cryptography[ssh]'"
        ) from error
    return ed25519, serialization
