"""The examples can be deployed as they stand, and hold nothing of an application."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("ruamel.yaml")

from lazyimport.deploy.manifest import Manifest

EXAMPLES = Path(__file__).parents[2] / "examples"
NEW = "c3" * 32


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


def test_the_cache_is_below_the_volume_that_is_mounted_for_it() -> None:
    """Everybody may write to the root of an emptyDir, which is no cache then."""
    image = (EXAMPLES / "Dockerfile").read_text(encoding="utf-8")
    service = (EXAMPLES / "rayservice.yaml").read_text(encoding="utf-8")
    (cache,) = re.findall(r"LAZYIMPORT_CACHE_DIR=(\S+)", image)
    (mounted,) = re.findall(r"mountPath: ([^\s}]+)", service)

    assert cache.startswith(f"{mounted}/")
