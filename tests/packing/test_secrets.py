"""What is taken for a secret, and what a push does about it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from lazyimport.errors import PackError
from lazyimport.packing import Packed, PackOptions, pack
from lazyimport.packing.secrets import is_likely_secret, secret_in
from lazyimport.settings import Settings
from tests.support.compare_importers import write_tree

KINDS: dict[str, Callable[[], Any]] = {
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
}
FORMATS = ["PKCS8", "OpenSSH", "TraditionalOpenSSL"]


def pem(kind: str = "ed25519", form: str = "PKCS8", password: bytes = b"") -> str:
    key = KINDS[kind]()
    encryption = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    made = key.private_bytes(
        serialization.Encoding.PEM,
        getattr(serialization.PrivateFormat, form),
        encryption,
    )
    return str(made, "ascii")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("password", [b"", b"hidden"])
def test_private_keys(kind: str, form: str, password: bytes) -> None:
    if (kind, form) == ("ed25519", "TraditionalOpenSSL"):
        pytest.skip("there is no such form")
    if form == "OpenSSH" and password:
        pytest.importorskip("bcrypt", reason="needs the extra 'sign'")
    text = pem(kind, form, password)
    assert secret_in(text.encode()) == "a private key"
    assert secret_in(text.replace("\n", "\r\n").encode()) == "a private key"
    assert secret_in(f"Bag Attributes\n  name: x\n{text}".encode())
    assert secret_in(json.dumps({"key": text}).encode())
    assert secret_in(("key: |\n" + text.replace("-----B", "  -----B")).encode())


def test_accounts() -> None:
    account = {"type": "service_account", "private_key": pem("rsa")}
    assert secret_in(json.dumps(account, indent=2).encode()) == (
        "the key of a service account"
    )
    user = {"type": "authorized_user", "refresh_token": "1//x"}
    assert "credentials" in secret_in(json.dumps(user).encode())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA" + "A" * 44,
        "-----BEGIN CERTIFICATE-----\n" + "A" * 64,
        "Put it between -----BEGIN PRIVATE KEY----- and the end.\n" + "A" * 10,
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----" * 20_000,
        "-----BEGIN PRIVATE KEY-----\n" * 20_000,
    ],
)
def test_what_is_none(text: str) -> None:
    assert secret_in(text.encode()) == ""


def test_names() -> None:
    likely = [".env", "a/.env", ".env.prod", "prod.env", "x/secrets.yaml", "k.p12"]
    likely += [".aws/credentials", "client_secret_1.json", ".netrc", "tls.key"]
    others = [".env.example", "env.py", "secrets.py", "a.envrc", "key", "x/credentials"]
    assert [path for path in [*likely, *others] if is_likely_secret(path)] == likely


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(cache_dir=tmp_path / "cache")


def packed(root: Path, settings: Settings, *include: str) -> Packed:
    return pack([root], settings, PackOptions(include=include))


def test_a_key_is_refused_unless_it_is_named(
    tmp_path: Path, settings: Settings
) -> None:
    tree = {"app/__init__.py": "", "app/certs/my key.pem": pem(), "app/b.json": "{}"}
    root = write_tree(tree, tmp_path / "tree")
    with pytest.raises(
        PackError, match=r"holds a private key.*--exclude 'app/certs/my"
    ):
        packed(root, settings)
    with pytest.raises(PackError):
        packed(root, settings, "app/certs/")  # that names a folder
    assert packed(root, settings, "app/certs/my key.pem").files == 3
    with pytest.raises(PackError):
        packed(root, settings)  # though nothing has changed since
    assert pack([root / "app/certs/my key.pem"], settings).files == 1
    assert pack([root], settings, PackOptions(exclude=("*.pem",))).files == 2


def test_neither_in_sources_nor_in_what_is_installed(
    tmp_path: Path, settings: Settings
) -> None:
    tree = {"x-1.dist-info/METADATA": "", "x/test.pem": pem(), "x/.env": ""}
    root = write_tree(tree, tmp_path / "site")
    own = write_tree({"t.py": f'KEY = """{pem()}"""'}, tmp_path / "own")
    done = pack([root, own], settings)
    assert (done.files, done.warnings) == (4, ())


def test_likely_secrets_are_named(tmp_path: Path, settings: Settings) -> None:
    root = write_tree({"a.py": "", ".env": "A=1", "b/.env.dev": ""}, tmp_path / "tree")
    (warning,) = packed(root, settings).warnings
    assert warning.startswith("likely secrets are packed")
    assert ".env, b/.env.dev;" in warning
    assert packed(root, settings, ".env", ".env.*").warnings == ()


def test_a_key_as_ssh_keygen_makes_it(tmp_path: Path) -> None:
    path = tmp_path / "id"
    command = ["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", str(path)]
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError:
        pytest.skip("needs ssh-keygen")
    assert secret_in(path.read_bytes())
    assert not secret_in((tmp_path / "id.pub").read_bytes())
