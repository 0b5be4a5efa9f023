"""What a manifest is called, on every machine."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from lazyimport.deploy.git import name_of, versions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

#: a commit that claims to be signed; its tree has `service.yaml`
SIGNED = """\
tree 492546ef177fab177e13bd4896cadb132f60d0e4
author A <a@example.org> 1700000000 +0000
committer A <a@example.org> 1700000000 +0000
gpgsig -----BEGIN PGP SIGNATURE-----
 x
 -----END PGP SIGNATURE-----

first
"""

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="there is no git")


@pytest.fixture(name="checkout")
def _checkout(tmp_path: Path) -> Path:
    (tmp_path / "checkout/deploy").mkdir(parents=True)
    git(tmp_path / "checkout", "init", "-q")
    return tmp_path / "checkout"


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True)


@pytest.mark.parametrize(
    ("url", "repository"),
    [
        ("https://example.org/team/shop.git", "shop:"),
        ("https://ada:secret@example.org/team/shop/", "shop:"),
        ("git@example.org:team/shop.git", "shop:"),
        ("git@example.org:shop.git", "shop:"),
        ("/srv/git/shop.git", "shop:"),
        ("https://ada:secret@example.org", "example.org:"),
        (None, ""),
    ],
)
def test_its_repository_and_its_path_there(
    checkout: Path, url: str | None, repository: str
) -> None:
    """Two projects that share a store may have a file at the same place."""
    if url:
        git(checkout, "remote", "add", "origin", url)

    name = f"{repository}deploy/service.yaml"
    assert name_of(f"{checkout}/deploy/service.yaml") == name
    assert name_of(f"{checkout}/service.yaml") == f"{repository}service.yaml"


def test_without_a_checkout_its_path(tmp_path: Path) -> None:
    file = f"{tmp_path}/service.yaml"

    assert name_of(file) == os.path.realpath(file)


def test_no_program_of_the_repository_runs(checkout: Path, tmp_path: Path) -> None:
    """Such as one that is said to check signatures."""
    (checkout / "service.yaml").write_text("a: 1\n")
    git(checkout, "add", ".")
    git(checkout, "write-tree")
    (checkout / "commit").write_text(SIGNED)
    add = ["git", "hash-object", "-w", "-t", "commit", "commit"]
    commit = subprocess.check_output(add, cwd=checkout, text=True).strip()
    git(checkout, "update-ref", "HEAD", commit)
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    program.chmod(0o755)
    git(checkout, "config", "log.showSignature", "true")
    git(checkout, "config", "gpg.program", str(program))

    found = list(versions(f"{checkout}/service.yaml"))

    assert found == [(commit, "a: 1\n")]
    assert not (tmp_path / "ran").exists()
    git(checkout, "log")
    assert (tmp_path / "ran").exists()  # so it would have run
