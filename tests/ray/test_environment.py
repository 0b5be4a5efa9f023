"""What Ray must be given so that its workers run an archive."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest

from lazyimport.errors import SettingsError
from lazyimport.ray import runtime_env, ship

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

HASH = "0123456789abcdef" * 4


def test_names_hash_and_store() -> None:
    assert {
        "env_vars": {"LAZYIMPORT_HASH": HASH, "LAZYIMPORT_STORE": "gs://bucket/code"}
    } == runtime_env(HASH, store="gs://bucket/code")


def test_without_a_store_the_workers_use_their_own() -> None:
    assert {"env_vars": {"LAZYIMPORT_HASH": HASH}} == runtime_env(HASH)


def test_keeps_all_other_fields() -> None:
    theirs = {"A": "1", "LAZYIMPORT_CACHE_DIR": "/c"}
    env = runtime_env(HASH, pip=["x"], env_vars=theirs)

    assert ["x"] == env["pip"]
    assert {**theirs, "LAZYIMPORT_HASH": HASH} == env["env_vars"]
    assert "LAZYIMPORT_HASH" not in theirs


def test_refuses_two_hashes() -> None:
    """Whichever won, somebody would believe the other one runs."""
    with pytest.raises(SettingsError, match=rf"{'f' * 64}.*{HASH}"):
        runtime_env(HASH, env_vars={"LAZYIMPORT_HASH": "f" * 64})


def test_refuses_another_hash_in_the_field() -> None:
    with pytest.raises(SettingsError, match=rf"{'f' * 64}.*field.*{HASH}"):
        runtime_env(HASH, lazyimport={"hash": "f" * 64})


def test_the_field_is_for_clusters_with_the_plugin() -> None:
    env = runtime_env(HASH, store="gs://bucket/code", plugin=True)

    assert {"hash": HASH, "store": "gs://bucket/code"} == env["lazyimport"]
    assert "lazyimport" not in runtime_env(HASH)


@pytest.mark.parametrize("command", ["python -S", "python -IS -u", "env X=1 python -S"])
def test_refuses_a_python_without_start_up_files(command: str) -> None:
    with pytest.raises(SettingsError, match=r"py_executable.* -S"):
        runtime_env(HASH, py_executable=command)


@pytest.mark.parametrize(
    "command", ["python -I", "uv run --Strict", "/opt/Some/python"]
)
def test_accepts_any_other_python(command: str) -> None:
    assert command == runtime_env(HASH, py_executable=command)["py_executable"]


def test_refuses_two_stores() -> None:
    with pytest.raises(SettingsError, match=r"gs://one.*gs://two"):
        runtime_env(HASH, store="gs://two", env_vars={"LAZYIMPORT_STORE": "gs://one"})


def test_the_same_twice_is_no_contradiction() -> None:
    first = runtime_env(HASH, store="gs://bucket")

    assert first == runtime_env(HASH, store="gs://bucket", **first)


@pytest.mark.parametrize("text", ["", "main", HASH[:12]])
def test_refuses_what_is_no_hash(text: str) -> None:
    with pytest.raises(SettingsError, match="64 hex digits"):
        runtime_env(text)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("pkg.part", "is a part of 'pkg'"),
        ("space", "is a namespace package"),
        ("sys", "has no file to pack"),
    ],
)
def test_refuses_modules_that_would_be_shipped_under_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, why: str
) -> None:
    for file in ("pkg/__init__.py", "pkg/part.py", "space/part.py"):
        path = tmp_path / "tree" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    monkeypatch.syspath_prepend(str(tmp_path / "tree"))
    module = import_module(name)
    for each in [
        each for each in sys.modules if each.partition(".")[0] in {"pkg", "space"}
    ]:
        monkeypatch.delitem(sys.modules, each)

    with pytest.raises(SettingsError, match=f"'{name}' {why}"):
        ship(
            module, store=f"file://{tmp_path}/store", cache_dir=str(tmp_path / "cache")
        )


def test_refuses_an_artifact_as_a_file(tmp_path: Path) -> None:
    file = tmp_path / "app.zip"
    file.write_bytes(b"PK")

    with pytest.raises(SettingsError, match="is an artifact: push it"):
        ship(file, store=f"file://{tmp_path}/store", cache_dir=str(tmp_path / "cache"))
