"""A hash at a key of any YAML file: values of Helm, kustomizations."""

from __future__ import annotations

import pytest

pytest.importorskip("ruamel.yaml")

from lazyimport.deploy import DeployError, ManifestError, Plan, Target
from lazyimport.deploy.keyed import KeyedManifest
from lazyimport.errors import SettingsError

A, B = "a1" * 32, "b2" * 32

VALUES = """\
# of the chart
image: {{repository: shop, tag: "1.2"}}   # stays
code:
    hash: '{0}'   # the archive
    other.name: 1
env:
  - {{name: MODE, value: fast}}
  - name: LAZYIMPORT_HASH
    value: {0}
empty:
"""
KUSTOMIZATION = """\
kind: Kustomization
configMapGenerator:
- name: shop
  literals:
  - MODE=fast
  - LAZYIMPORT_HASH={0}  # here
  - LAZYIMPORT_HASH_OLD={1}
"""


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        (VALUES, ".code.hash", "    hash: '{}'   # the archive"),
        (VALUES, "env[name=LAZYIMPORT_HASH].value", "    value: {}"),
        (VALUES, "env[1].value", "    value: {}"),
        (VALUES, "image.tag", '{{repository: shop, tag: "{}"}}'),
        (VALUES, r"code.other\.name", "    other.name: {}"),
        (VALUES, "empty", "empty: "),
        (
            KUSTOMIZATION,
            "configMapGenerator[name=shop].literals[LAZYIMPORT_HASH]",
            "  - LAZYIMPORT_HASH={}  # here",
        ),
    ],
)
def test_nothing_but_the_hash_changes(text: str, key: str, line: str) -> None:
    before = text.format(A, A)
    manifest = KeyedManifest(before, "values.yaml", key, "shop")
    after = manifest.with_hash(B)

    changed = [
        (old, new)
        for old, new in zip(before.splitlines(), after.text.splitlines(), strict=True)
        if old != new
    ]
    assert 1 == len(changed)
    assert line.format(B) in changed[0][1] if "{}" in line else B in changed[0][1]
    assert B == after.applications[0].hash
    assert after is after.with_hash(B)


def test_what_stood_there_is_known() -> None:
    text = VALUES.format(A)

    (app,) = KeyedManifest(text, "v.yaml", "code.hash", "shop").applications
    assert ("shop", A, 4) == (app.name, app.hash, app.line)
    (app,) = KeyedManifest(text, "v.yaml", "image.tag", "shop").applications
    assert app.hash is None


@pytest.mark.parametrize(
    "key", ["code.hsah", "env[2].value", "env[name=X].value", "env[MODE]", "code[0]"]
)
def test_a_key_that_is_not_there_is_not_added(key: str) -> None:
    with pytest.raises(ManifestError, match=r"v\.yaml: nothing is at .*adds no key"):
        KeyedManifest(VALUES.format(A), "v.yaml", key, "shop")


@pytest.mark.parametrize("key", ["", "a..b", "a[", "a]", "[0].a", "a[]", "a.b."])
def test_what_is_no_key(key: str) -> None:
    with pytest.raises(SettingsError, match="not a key"):
        KeyedManifest(VALUES.format(A), "v.yaml", key, "shop")


def test_one_document_counts() -> None:
    two = f"code: {{hash: {A}}}\n---\ncode: {{hash: {A}}}\n"
    with pytest.raises(ManifestError, match=r"2 of its documents have .code\.hash"):
        KeyedManifest(two, "v.yaml", "code.hash", "shop")

    other = f"kind: Other\n---\ncode: {{hash: {A}}}\n"
    after = KeyedManifest(other, "v.yaml", "code.hash", "shop").with_hash(B)
    assert other.replace(A, B) == after.text


def test_an_anchor_that_others_share_is_refused() -> None:
    text = f"code: {{hash: &h {A}}}\nother: *h\n"
    with pytest.raises(ManifestError, match="anchor"):
        KeyedManifest(text, "v.yaml", "code.hash", "shop").with_hash(B)


def test_others_apply_it_and_the_way_back_names_the_key() -> None:
    manifest = KeyedManifest(VALUES.format(A), "v.yaml", "env[1].value", "shop")
    plan = Plan(manifest, B)

    with pytest.raises(DeployError, match="leave out --apply"):
        Target().check(plan.applications, apply=True)
    Target().check(plan.applications, wait=True)
    assert "lazyimport rollback v.yaml --set-key 'env[1].value'" == plan.back
    assert {"shop": B} == plan.wanted
