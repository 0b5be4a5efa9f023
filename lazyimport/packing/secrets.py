"""Secrets, recognized by what a file holds, or only by its name."""

from __future__ import annotations

import re

_BREAK = rb"(?:\r?\n|\\r|\\n)"  # as it is, or as JSON writes it
_PRIVATE_KEY = re.compile(
    rb"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    rb"(?:(?![ \t]*-----)[^\n\\]{0,200}" + _BREAK + rb"){1,8}?[ \t]*[A-Za-z0-9+/=]{40}"
)
_LARGEST = 1 << 20  # bytes of a file that is a key
_PUTTY_KEY = b"PuTTY-User-Key-File-"
_LIKELY = re.compile(
    r"""(?:^|.*/)(?:
    \.env(?!\.(?:example|sample|template|dist|defaults?)$)(?:\.[^/]+)?
    | \.netrc | \.pgpass | \.pypirc | \.npmrc | \.htpasswd | \.git-credentials
    | \.dockercfg | \.docker/config\.json | \.kube/config | \.aws/credentials
    | credentials\.json | client_secret[^/]*\.json
    | secrets?\.(?:ya?ml|toml|json|ini)
    | [^/]+\.(?:env|p12|pfx|jks|keystore|kdbx|ppk|key)
    )""",
    re.VERBOSE | re.DOTALL,
)


def secret_in(data: bytes) -> str:
    """Return what secret the contents of a file are, such as a private key, or ``""``.

    Do not ask about sources: those of tests have keys in them that open nothing.
    """
    if len(data) > _LARGEST:
        return ""
    if b"PRIVATE KEY" in data and _PRIVATE_KEY.search(data):
        return (
            "the key of a service account"
            if b"service_account" in data
            else ("a private key")
        )
    if data.startswith(_PUTTY_KEY):
        return "a private key"
    if b'"authorized_user"' in data and b'"refresh_token"' in data:
        return "somebody's credentials for Google Cloud"
    return ""


def is_likely_secret(path: str) -> bool:
    """Whether a file at *path* holds secrets more often than not, by its name."""
    return _LIKELY.fullmatch(path) is not None
