"""The examples can be deployed as they stand, and hold nothing of an application."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("ruamel.yaml")

from lazyimport.deploy.manifest import Manifest

EXAMPLES = Path(__file__).parents[2] / "examples"
NEW = "c3" * 32
CACHE_DIR = re.compile(r"LAZYIMPORT_CACHE_DIR[=:] *(/\S+)")


@pytest.mark.parametrize("name", ["serve.yaml", "rayservice.yaml"])
def test_a_manifest_takes_a_hash(name: str) -> None:
    before = Manifest.read(str(EXAMPLES / name))
    after = before.with_hash(NEW)
    (application,) = after.applications

    old = before.applications[0].hash
    assert old is not None
    assert before.text.replace(old, NEW) == after.text
    assert "shop.serve:app" == application.import_path
    assert [] == after.warnings


def test_the_image_has_the_two_variables_and_no_code() -> None:
    text = (EXAMPLES / "Dockerfile").read_text(encoding="utf-8")

    assert {"LAZYIMPORT_STORE", "LAZYIMPORT_CACHE_DIR"} == set(
        re.findall(r"LAZYIMPORT_\w+", text)
    )
    assert not re.search(r"(?m)^(COPY|ADD)\b", text)


def test_nobody_else_can_make_the_directories_above_the_cache() -> None:
    """They are those of the image's user, or root's: not /tmp, nor a volume for all."""
    image = (EXAMPLES / "Dockerfile").read_text(encoding="utf-8")
    service = (EXAMPLES / "rayservice.yaml").read_text(encoding="utf-8")
    pages = [Path("README.md"), *sorted(Path("docs").glob("*.md"))]
    texts = [image, *((EXAMPLES.parent / page).read_text("utf-8") for page in pages)]
    named = {path for text in texts for path in CACHE_DIR.findall(text)}

    assert named == {"/home/ray/.cache/lazyimport"}
    assert "mountPath" not in service
