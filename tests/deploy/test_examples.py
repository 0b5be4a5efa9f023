"""The examples can be deployed as they stand, and hold nothing of an application."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("ruamel.yaml")

from lazyimport.deploy.manifest import Manifest

EXAMPLES = Path(__file__).parents[2] / "examples"
NEW = "c3" * 32
PARSE = """
const { parse } = require("@cdktf/hcl2json");
const text = require("fs").readFileSync(0, "utf8");
parse("main.tf", text).then((found) => console.log(JSON.stringify(found)));
"""
CACHE_DIR = re.compile(r"LAZYIMPORT_CACHE_DIR[=:] *(/\S+)")


@pytest.mark.parametrize("name", ["shop/serve.yaml", "rayservice.yaml"])
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


def test_terraform_is_what_its_parser_takes() -> None:
    """The bucket is there once, writable for CI, readable for the pods."""
    modules = os.environ.get("LAZYIMPORT_TEST_NODE_MODULES", "")
    if not (shutil.which("node") and os.path.isdir(f"{modules}/@cdktf/hcl2json")):
        pytest.skip("needs node and its package @cdktf/hcl2json (see .ci/gate.py)")
    done = subprocess.run(
        ["node", "-e", PARSE],
        input=(EXAMPLES / "main.tf").read_text(encoding="utf-8"),
        env={**os.environ, "NODE_PATH": modules},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    members = found["resource"]["google_storage_bucket_iam_member"]

    assert ["code"] == list(found["resource"]["google_storage_bucket"])
    assert {
        "deploy": "roles/storage.objectUser",
        "workers": "roles/storage.objectViewer",
    } == {name: member[0]["role"] for name, member in members.items()}
