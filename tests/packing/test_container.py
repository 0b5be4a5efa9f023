"""Containers: packed as they are, except for wheels and whole projects."""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path

import pytest

from lazyimport.cache.node import NodeCache
from lazyimport.errors import PackError
from lazyimport.packing import container
from lazyimport.packing.container import pack_container
from lazyimport.stores.artifact import Artifact
from tests.support.containers import Files, make_container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.format.archive import Archive

PROJECT = '[project]\nname = "shop"\nversion = "1"\nrequires-python = ">=3.9"\n'


def packed(
    files: Files, tmp_path: Path, name: str = "app.zip", subdirectory: str = ""
) -> Archive:
    tmp_path.mkdir(exist_ok=True)
    path = make_container(files, tmp_path / name)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    options = f"#subdirectory={subdirectory}" if subdirectory else ""
    artifact = Artifact(f"gs://bucket/{name}{options}")
    cache = NodeCache(str(tmp_path / "cache"))
    return pack_container(artifact, str(path), str(scratch), cache).archive


def paths(*arguments: object) -> set[str]:
    archive = packed(*arguments)  # type: ignore[arg-type]
    return {entry.path for entry in archive.index.entries() if not entry.is_directory}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"shop/__init__.py": "", "run.py": ""}, {"shop/__init__.py", "run.py"}),
        # one package, one namespace package: their names are part of the modules'
        ({"shop/__init__.py": ""}, {"shop/__init__.py"}),
        ({"acme/shop/__init__.py": ""}, {"acme/shop/__init__.py"}),
        # GitHub, sdist
        ({"shop-main/shop.py": ""}, {"shop.py"}),
        ({"shop-1.2/a.py": "", "shop-1.2/b/c.py": ""}, {"a.py", "b/c.py"}),
        ({"repo/setup.py": "", "repo/shop.py": ""}, {"setup.py", "shop.py"}),
        # a package that is a project's root too
        (
            {"shop/setup.py": "", "shop/__init__.py": ""},
            {"shop/setup.py", "shop/__init__.py"},
        ),
        # src/ of a project, and a package or folder that is called so
        ({"setup.cfg": "", "src/shop.py": "", "docs/conf.py": ""}, {"shop.py"}),
        ({"shop-1/setup.py": "", "shop-1/src/shop.py": ""}, {"shop.py"}),
        (
            {"setup.py": "", "src/__init__.py": ""},
            {"setup.py", "src/__init__.py"},
        ),
        ({"src/shop.py": "", "x.py": ""}, {"src/shop.py", "x.py"}),
        # an __init__.py at the top is nobody's
        ({"__init__.py": "", "shop.py": ""}, {"shop.py"}),
        # what a Mac adds
        ({"shop-1/a.py": "", "__MACOSX/shop-1/._a.py": "x"}, {"a.py"}),
        # what somebody put in is meant to be there
        ({".gitignore": "*.bin", "w.bin": "1", "a.py": ""}, {"w.bin", "a.py"}),
    ],
)
def test_layout(tmp_path: Path, files: Files, expected: set[str]) -> None:
    assert paths(files, tmp_path) - {".gitignore"} == expected


def test_a_subdirectory_is_taken_as_it_is(tmp_path: Path) -> None:
    files = {"repo-1/back/src/shop.py": "", "repo-1/back/setup.py": ""}

    assert paths(files, tmp_path / "a", "app.zip", "repo-1/back") == {
        "src/shop.py",
        "setup.py",
    }
    with pytest.raises(PackError, match="no folder 'back'; at its top are: repo-1"):
        packed(files, tmp_path / "b", subdirectory="back")


def test_wheel(tmp_path: Path) -> None:
    """As it would be installed, without scripts, headers and data."""
    archive = packed(
        {
            "shop/__init__.py": "",
            "shop-1.data/purelib/extra.py": "",
            "shop-1.data/platlib/native/__init__.py": "",
            "shop-1.data/scripts/shop": "#!python\n",
            "shop-1.data/data/etc/shop.conf": "",
            "shop-1.dist-info/METADATA": "Name: shop\nRequires-Python: >=3.11,<3.13\n",
            "shop-1.dist-info/RECORD": "",
        },
        tmp_path,
        "shop-1-py3-none-any.whl",
    )

    found = {e.path for e in archive.index.entries() if not e.is_directory}
    assert found == {
        "shop/__init__.py",
        "extra.py",
        "native/__init__.py",
        "shop-1.dist-info/METADATA",
        "shop-1.dist-info/RECORD",
    }
    assert archive.index.minors == 1 << 11 | 1 << 12


def test_of_large_metadata_only_the_headers_are_read(tmp_path: Path) -> None:
    """A zip of 64 KiB can hold 64 MiB of it, and one of 4 MiB all that is allowed."""
    (tmp_path / "a-1.dist-info").mkdir()
    with open(tmp_path / "a-1.dist-info/METADATA", "wb") as file:
        file.write(b"Name: a\nRequires-Python: >=3.12\n\n")
        file.truncate(64 << 20)

    tracemalloc.start()
    try:
        _, config = container._roots_of_wheel(str(tmp_path), "a.whl")
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    assert ">=3.12" == config.requires_python


@pytest.mark.parametrize(
    "path",
    ["a-1.dist-info/RECORD", "a-1.dist-info", "a-1.dist-info/METADATA/x"],
)
def test_a_wheel_without_metadata(tmp_path: Path, path: str) -> None:
    with pytest.raises(PackError, match="no wheel"):
        packed({"a.py": "", path: ""}, tmp_path, "a.whl")


def test_configuration_of_the_project_counts(tmp_path: Path) -> None:
    config = '[tool.lazyimport]\nexclude = ["tests/"]\nmaterialize = ["shop"]\n'
    archive = packed(
        {
            "shop-1/pyproject.toml": PROJECT + config,
            "shop-1/src/shop/__init__.py": "",
            "shop-1/src/tests/test_shop.py": "",
        },
        tmp_path,
        "shop-1.tar.gz",
    )

    found = {e.path for e in archive.index.entries() if not e.is_directory}
    assert found == {"shop/__init__.py"}
    assert archive.notes["requires_python"] == ">=3.9"


def test_errors_name_the_container_and_not_the_folder(tmp_path: Path) -> None:
    """Nobody can look into the folder where it was unpacked."""
    stdlib = "json" if "json" in sys.stdlib_module_names else ""
    with pytest.raises(PackError) as caught:
        packed({f"{stdlib}/__init__.py": "", "a.py": ""}, tmp_path)

    assert "gs://bucket/app.zip/json/__init__.py" in str(caught.value)
    assert "scratch" not in str(caught.value)
    assert "scratch" not in caught.value.issues[0]


def test_bytecode_of_the_previous_container_is_used_again(tmp_path: Path) -> None:
    first = {"a.py": "x = 1\n", "b.py": "y = 1\n"}
    second = {"a.py": "x = 1\n", "b.py": "y = 2\n"}
    cache = NodeCache(str(tmp_path / "cache"))
    counts = []
    for number, files in enumerate((first, second)):
        path = make_container(files, tmp_path / f"{number}.zip")
        scratch = tmp_path / f"scratch{number}"
        scratch.mkdir()
        artifact = Artifact(f"file://{path}")
        done = pack_container(artifact, str(path), str(scratch), cache)
        counts.append((done.compiled, done.reused))

    assert counts == [(2, 0), (1, 1)]
