"""What a manifest is called, on every machine."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from lazyimport.deploy.git import name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

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
