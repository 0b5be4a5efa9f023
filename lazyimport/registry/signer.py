"""Who signs: a private key, or a command that can use one (a KMS, an HSM, cosign).

``COMMAND public`` prints the Ed25519 public key, as OpenSSH, PEM or base64 write it.
``COMMAND sign`` reads a text from stdin and prints its signature, 64 bytes in base64.
"""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Callable, Sequence
from typing import Any

from lazyimport.errors import SettingsError, SignatureError
from lazyimport.registry import keys
from lazyimport.registry.signing import Trusted, archive_signature_key, archive_text
from lazyimport.stores import Store

#: What a signer begins with that is a command.
_COMMAND = "command:"
#: Seconds that a command may take: somebody may have to touch a token.
_PATIENCE = 120.0
#: Bytes of the largest file that is read as a key.
_LARGEST = 1 << 16


class Signer:
    """Signs texts. ``public`` is its public key as OpenSSH writes it."""

    def __init__(self, public: Any, sign: Callable[[bytes], bytes]) -> None:
        self._key = public
        self._sign = sign
        self.public = keys.encode_public(public)

    @classmethod
    def of(cls, key: Any) -> Signer:
        """Return the signer that has a private key of the package cryptography."""
        return cls(key.public_key(), key.sign)

    @classmethod
    def load(cls, source: str, passphrase: str | None = None) -> Signer:
        """Return what *source* names: a file, the text of a key, or a command.

        A command follows the word ``command:``. A file that others may read is
        refused, as ssh does. *passphrase* is for an encrypted key. Raises
        SettingsError, whose message has no part of a key.
        """
        if source.startswith(_COMMAND):
            return cls._of_command(source.removeprefix(_COMMAND))
        if "-----BEGIN" in source:
            data, where = source.encode(), "the signing key"
        else:
            data, where = _read(source)
        return cls.of(keys.parse_private(data, passphrase, where))

    @classmethod
    def _of_command(cls, line: str) -> Signer:
        import shlex

        try:
            words = shlex.split(line)
        except ValueError as error:
            raise keys.wrong_key(f"the signing command is not one: {error}") from None
        if not words:
            raise keys.wrong_key(f"no signing command follows {_COMMAND!r}")
        what = f"what the signing command {words[0]!r} prints"
        text = _run(words, "public").decode("utf-8", "replace")
        publics = keys.parse_publics(text, what)
        if len(publics) != 1:
            raise keys.wrong_key(f"{what} is not one public key")

        def sign(text: bytes) -> bytes:
            try:
                signature = base64.b64decode(
                    b"".join(_run(words, "sign", text).split())
                )
                publics[0].verify(signature, text)
            except SettingsError:
                raise
            except Exception:  # noqa: BLE001 - of base64 and cryptography
                raise keys.wrong_key(
                    f"{what} is no signature with its key: 'sign' reads a text from "
                    "stdin and prints 64 bytes in base64"
                ) from None
            return signature

        return cls(publics[0], sign)

    def sign(self, text: bytes) -> dict[str, str]:
        """Return the signature over *text*, as it is stored."""
        signature = base64.b64encode(self._sign(text)).decode()
        return {"key": self.public, "signature": signature}


def make_key(path: str) -> Signer:
    """Make a new key in *path*, for this user only, and ``path.pub`` beside it.

    Raises FileExistsError if there is a file already, and OSError, which names the
    file, if it cannot be written; nothing is left then.
    """
    key = keys.generate()
    signer = Signer.of(key)
    public = f"{signer.public} lazyimport\n".encode()
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    made: list[str] = []
    for name, content, mode in [
        (path, keys.encode_private(key), 0o600),
        (f"{path}.pub", public, 0o644),
    ]:
        try:
            descriptor = os.open(name, flags, mode)
            made.append(name)
            with open(descriptor, "wb") as file:
                file.write(content)
        except OSError as error:
            for unfinished in made:
                os.unlink(unfinished)
            why = error.strerror
            if isinstance(error, FileExistsError):
                why = "it exists, and no key is written over; name another file"
            raise OSError(error.errno, why, name) from error
    return signer


def sign_archive(store: Store, hash: str, signer: Signer) -> bool:
    """Put the signature of the archive *hash* into *store*; False if it is there.

    Raises StoreError, or SignatureError if something else is in its place.
    """
    facts = {"format": 1, "hash": hash, **signer.sign(archive_text(hash))}
    data = json.dumps(facts, indent=1).encode()
    key = archive_signature_key(hash, signer.public)
    if store.put(key, io.BytesIO(data)):
        return True
    try:
        Trusted.parse(signer.public).check_archive(store, hash)
    except SignatureError as error:
        raise error.with_text(
            f"{store.url}/{key} is not the signature that belongs there; delete it, "
            "and sign again"
        ) from error.__cause__
    return False


def _read(source: str) -> tuple[bytes, str]:
    path = os.path.expanduser(source)
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            data = file.read(_LARGEST)
    except (OSError, ValueError) as error:
        raise keys.wrong_key(
            f"the signing key {keys.masked(path)} is neither a file that can be read "
            f"({getattr(error, 'strerror', 'no path')}) nor a private key; name the "
            "file, or pass the key with its BEGIN and END lines"
        ) from None
    if status.st_mode & 0o077 or status.st_uid not in {0, os.geteuid()}:
        raise keys.wrong_key(
            f"the signing key {path} is open to others (mode "
            f"{status.st_mode & 0o777:04o}, owner {status.st_uid}); run, as its user: "
            f"chmod 600 {path}, and think about who may have read it"
        )
    return data, path


def _run(words: Sequence[str], verb: str, text: bytes = b"") -> bytes:
    """Return what the command prints; its arguments are in no message."""
    import subprocess  # nodes load this module, and run no command

    try:
        done = subprocess.run(
            [*words, verb],
            input=text,
            stdout=subprocess.PIPE,
            timeout=_PATIENCE,
            check=False,
        )
    except OSError as error:
        why = error.strerror
    except subprocess.TimeoutExpired:
        why = f"it took longer than {_PATIENCE:g} s"
    else:
        if done.returncode == 0:
            return done.stdout
        why = f"exit code {done.returncode}"
    raise keys.wrong_key(f"the signing command {words[0]!r} failed to {verb}: {why}")
