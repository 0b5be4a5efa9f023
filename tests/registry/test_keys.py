"""Keys: as OpenSSH, PEM and base64 write them, and whose they must be."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import traceback
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography", reason="needs the extra 'sign'")

from cryptography.hazmat.primitives import serialization as forms
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from lazyimport.errors import SettingsError, SignatureError
from lazyimport.registry.signer import Signer, make_key
from lazyimport.registry.signing import Trusted
from tests.support.disks import mounted


def pem(key: Any, secret: bytes | None = None) -> str:
    encryption: Any = (
        forms.BestAvailableEncryption(secret) if secret else forms.NoEncryption()
    )
    data: bytes = key.private_bytes(
        forms.Encoding.PEM, forms.PrivateFormat.PKCS8, encryption
    )
    return data.decode()


def test_new_key_is_for_this_user_only(tmp_path: Path) -> None:
    path = tmp_path / "key"

    signer = make_key(str(path))

    assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "key.pub").read_text() == f"{signer.public} lazyimport\n"
    assert Signer.load(str(path)).public == signer.public
    with pytest.raises(FileExistsError):
        make_key(str(path))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    make_key(str(path))
    path.chmod(mode)

    with pytest.raises(SettingsError, match=f"chmod 600 {path}"):
        Signer.load(str(path))


def test_key_in_the_environment_of_a_build(ours: Signer, tmp_path: Path) -> None:
    """The text of the file, as such places keep secrets."""
    assert Signer.load((tmp_path / "ours").read_text()).public == ours.public


def test_encrypted_key(tmp_path: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    text = pem(key, b"secret")

    assert Signer.load(text, "secret").public == Signer.of(key).public
    assert Signer.load(pem(key), "needless").public == Signer.of(key).public
    with pytest.raises(
        SettingsError, match=r"encrypted.*LAZYIMPORT_SIGNING_PASSPHRASE"
    ):
        Signer.load(text)
    with pytest.raises(SettingsError, match="another passphrase"):
        Signer.load(text, "wrong")


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="there is no ssh-keygen")
@pytest.mark.parametrize("secret", ["", "open sesame"])
def test_key_of_openssh(tmp_path: Path, secret: str) -> None:
    if secret:
        pytest.importorskip("bcrypt", reason="needs the extra 'sign'")
    path = tmp_path / "id"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-a", "1", "-N", secret, "-f", path],
        check=True,
    )

    signer = Signer.load(str(path), secret or None)
    trusted = Trusted.parse((tmp_path / "id.pub").read_text())

    assert trusted.check(b"text", [signer.sign(b"text")], "it") == signer.public
    shown = subprocess.run(
        ["ssh-keygen", "-l", "-f", path], capture_output=True, text=True, check=True
    )
    with pytest.raises(
        SignatureError, match=shown.stdout.split()[1].replace("+", r"\+")
    ):
        trusted.check(b"text", [], "it")
    if secret:
        with pytest.raises(SettingsError, match="encrypted"):
            Signer.load(str(path))


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "-----BEGIN PRIVATE KEY-----\nMEow\n-----END PRIVATE KEY-----"],
)
def test_file_that_is_no_private_key(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_text(text)

    with pytest.raises(SettingsError, match=f"{path}: not a private key that can be"):
        Signer.load(str(path))


def test_key_of_another_kind() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(
        forms.Encoding.OpenSSH, forms.PublicFormat.OpenSSH
    )

    with pytest.raises(SettingsError, match="not an Ed25519 key"):
        Signer.load(pem(key))
    with pytest.raises(SettingsError, match="not an Ed25519 key"):
        Trusted.parse(public.decode())


def test_trusted_keys_as_people_write_them(
    ours: Signer, theirs: Signer, tmp_path: Path
) -> None:
    raw = base64.b64decode(ours.public.split()[1])[-32:]
    block = (
        ed25519.Ed25519PublicKey.from_public_bytes(raw)
        .public_bytes(forms.Encoding.PEM, forms.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
    file = tmp_path / "keys"
    file.write_text(f"# who may deploy\n\n{ours.public} ada@laptop\n{theirs.public}\n")

    for text in (ours.public, base64.b64encode(raw).decode(), block, f"\n{block}\n"):
        assert Trusted.load(text).publics == [ours.public], text
    both = [ours.public, theirs.public]
    on_windows = tmp_path / "on_windows"
    on_windows.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    on_windows.chmod(0o600)
    assert Trusted.load(str(on_windows)).publics == both
    assert Trusted.load(str(file)).publics == both
    assert Trusted.parse(f"{block}{theirs.public} bo").publics == both
    assert Trusted.parse(f"{ours.public}, {theirs.public} bo").publics == both


def test_trusted_key_that_begins_like_a_path() -> None:
    """One in 64 does; it is a key all the same."""
    bare = "/5PFGiU2/hLB/thgiqcZfCL0KFQvdngbjBSsH+/LV7U="
    other = "AAAAGiU2/hLB/thgiqcZfCL0KFQvdngbjBSsH+/LV7U="

    assert len(Trusted.load(bare).publics) == 1
    assert len(Trusted.load(f"{bare},{other}").publics) == 2
    assert len(Trusted.load(f"{bare} , {other}\n").publics) == 2


@pytest.mark.parametrize("text", ["  ", "# nothing\n", "nonsense", "ssh-ed25519 AAAA"])
def test_trusted_keys_that_are_none_are_an_error(text: str) -> None:
    """And not the trust in everybody that no keys at all mean."""
    with pytest.raises(SettingsError, match="LAZYIMPORT_TRUSTED_KEYS"):
        Trusted.load(text)


def test_private_key_among_the_trusted_ones(tmp_path: Path, ours: Signer) -> None:
    secret = (tmp_path / "ours").read_text()

    with pytest.raises(SettingsError, match="a private one: remove it") as caught:
        Trusted.parse(f"{ours.public}\n{secret}")
    assert "key 2" in str(caught.value)
    assert secret.splitlines()[1][:20] not in shown(caught.value)


def shown(error: BaseException) -> str:
    """Return all that a log, a traceback or a debugger may show of *error*."""
    return "".join(traceback.format_exception(error)) + repr(vars(error))


def mangled(pem_text: str) -> list[str]:
    """Return what secret stores, YAML and people make of a private key."""
    lines = pem_text.split()
    body = "".join(word for word in lines if len(word) > 30 or word.endswith("="))
    raw = base64.b64decode(body)
    return [
        body,
        body[:40],
        body + "\\n",
        f'"{body}"',
        f"/{body}",
        body.replace("A", "/", 1),
        raw.hex(),
        pem_text.replace("\n", "\\n"),
        pem_text.partition("\n")[2],
        pem_text[: len(pem_text) // 2],
        pem_text.replace(body[10], "!", 3),
    ]


@pytest.mark.parametrize("place", [Signer.load, Trusted.load])
def test_key_that_was_mangled_is_shown_nowhere(place: Any) -> None:
    """What is left of it is no path, and nothing to put in a log."""
    text = pem(ed25519.Ed25519PrivateKey.generate())
    body = text.splitlines()[1]
    parts = [body[at : at + 12] for at in range(16, len(body) - 12)]

    for source in mangled(text):
        if source.startswith("-----") and place is Signer.load:
            continue  # it may be readable after all
        with pytest.raises(SettingsError) as caught:
            place(source)
        said = shown(caught.value).replace("\n", "")
        assert not [part for part in parts if part in said], source
        assert raw_hex(body)[40:60] not in said


def raw_hex(body: str) -> str:
    return base64.b64decode(body).hex()


def test_signer_shows_no_key(ours: Signer, tmp_path: Path) -> None:
    body = (tmp_path / "ours").read_text().splitlines()[1]

    assert body[:20] not in f"{ours!r}{vars(ours)}"


def test_key_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"{tmp_path}/none.*No such file"):
        Signer.load(f"{tmp_path}/none")


# -- commands that sign ------------------------------------------------------

SIGN = """#!/bin/sh
# Signs with a key that only this script reaches, as for a KMS or an HSM.
set -eu
case $2 in
  public) openssl pkey -in "$1" -pubout ;;
  sign)
    text=$(mktemp); trap 'rm -f "$text"' EXIT
    cat > "$text"
    openssl pkeyutl -sign -rawin -in "$text" -inkey "$1" | openssl base64 -A ;;
esac
"""


def command(tmp_path: Path, script: str, argument: str = "") -> str:
    path = tmp_path / "sign with it"
    path.write_text(script)
    path.chmod(0o700)
    return f"command:'{path}' {argument}"


@pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl")
def test_command_that_signs(tmp_path: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    (tmp_path / "secret.pem").write_text(pem(key))

    signer = Signer.load(command(tmp_path, SIGN, f"{tmp_path}/secret.pem"))

    assert signer.public == Signer.of(key).public
    assert signer.sign(b"text") == Signer.of(key).sign(b"text")
    trusted = Trusted.parse(signer.public)
    assert trusted.check(b"it", [signer.sign(b"it")], "it") == signer.public


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("exit 3", "failed to public: exit code 3"),
        ("true", "is not one public key"),
        ("echo nonsense", "key 1 is not a public key"),
        ("test $3 = public && echo $KEY || exit 4", "failed to sign: exit code 4"),
        ("test $3 = public && echo $KEY || echo AAAA", "is no signature"),
        ("test $3 = public && echo $KEY || echo ---", "is no signature"),
    ],
)
def test_command_that_does_not(
    tmp_path: Path,
    ours: Signer,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    error: str,
) -> None:
    monkeypatch.setenv("KEY", ours.public)
    line = command(tmp_path, f"#!/bin/sh\n{script}\n", "--pin 1234")

    with pytest.raises(SettingsError, match=error) as caught:
        Signer.load(line).sign(b"text")
    assert "sign with it" in str(caught.value)
    assert "1234" not in shown(caught.value)


@pytest.mark.parametrize("line", ["", "'", "/does/not/exist", "  "])
def test_command_that_is_none(line: str) -> None:
    with pytest.raises(SettingsError, match="signing command"):
        Signer.load(f"command:{line}")


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o602])
def test_trusted_keys_that_others_can_change_are_refused(
    tmp_path: Path, ours: Signer, mode: int
) -> None:
    file = tmp_path / "trusted"
    file.write_text(ours.public)
    file.chmod(0o644)
    Trusted.load(str(file))
    file.chmod(mode)

    with pytest.raises(SettingsError, match="can be changed by others"):
        Trusted.load(str(file))


def test_what_is_no_file_of_trusted_keys_makes_nobody_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    os.symlink("/dev/zero", tmp_path / "endless")
    with open(tmp_path / "large", "wb") as large:
        large.truncate(1 << 40)
    for name in ("pipe", "endless", "large"):
        with pytest.raises(SettingsError, match=f"cannot read .*{name}"):
            Trusted.load(str(tmp_path / name))


def test_file_of_trusted_keys_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read the trusted keys"):
        Trusted.load(str(tmp_path / "none"))


def test_umask_does_not_open_a_new_key(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_key(str(tmp_path / "key"))
    finally:
        os.umask(before)

    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_a_disk_that_is_full_keeps_no_half_of_a_key(tmp_path: Path) -> None:
    """An empty file in its place would refuse the next attempt."""
    with mounted(tmp_path / "small", "size=8k") as disk:
        for room, failed in [(0, "key"), (4096, "key.pub")]:
            (disk / "filled").write_bytes(b"x" * (8192 - room))
            with pytest.raises(OSError, match="No space left on device") as caught:
                make_key(str(disk / "key"))
            assert caught.value.filename == str(disk / failed)
            (disk / "filled").unlink()
            assert not list(disk.iterdir())
        make_key(str(disk / "key"))
