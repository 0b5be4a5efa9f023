"""`pack`: one call from what a person has to an archive, without a word printed."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from lazyimport.cache.node import NodeCache
from lazyimport.errors import ArchiveMissing, PackError, SettingsError
from lazyimport.packing import PackOptions, pack
from lazyimport.settings import Settings
from tests.support.compare_importers import write_tree
from tests.support.containers import make_container, named_by_hash
from tests.support.recorder import Recorder

FILES = {"shop/__init__.py": "", "shop/prices.py": "price = 3\n", "notes.txt": "text"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(cache_dir=tmp_path / "cache")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(FILES, tmp_path / "tree")


def paths(hash: str, settings: Settings) -> set[str]:
    archive = NodeCache(settings.cache_dir).open(hash)
    assert archive is not None
    return {e.path for e in archive.index.entries() if not e.is_directory}


def test_returns_what_it_did_and_prints_nothing(
    tree: Path, settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    reporter = Recorder()

    packed = pack([tree], settings, reporter=reporter)

    assert (packed.files, packed.modules, packed.compiled) == (3, 2, 2)
    assert packed.seconds > 0
    assert paths(packed.hash, settings) == set(FILES)
    assert ("reading", 3, 3) in reporter.steps
    assert capfd.readouterr() == ("", "")


def test_the_current_directory_is_the_root_by_default(
    tree: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree)
    assert pack([], settings).hash == pack([str(tree)], settings).hash


def test_options_change_what_the_project_says(tree: Path, settings: Settings) -> None:
    (tree / "pyproject.toml").write_text('[tool.lazyimport]\nexclude = ["*.toml"]\n')

    packed = pack([tree], settings, PackOptions(exclude=("*.txt",)))

    assert paths(packed.hash, settings) == set(FILES) - {"notes.txt"}


def test_installed_distributions_are_packed_too(tree: Path, settings: Settings) -> None:
    packed = pack([tree], settings, PackOptions(installed=("iniconfig",)))

    assert "iniconfig/__init__.py" in paths(packed.hash, settings)


def test_warnings_are_reported_and_returned(tree: Path, settings: Settings) -> None:
    (tree / "wrong.py").write_text("def (:\n")
    reporter = Recorder()

    packed = pack([tree], settings, reporter=reporter)

    (warning,) = packed.warnings
    assert reporter.warnings == [warning]
    assert "wrong.py:1: no cpython-" in warning


def test_save_writes_the_archive_to_a_file(
    tree: Path, settings: Settings, tmp_path: Path
) -> None:
    packed = pack([tree], settings)
    path = tmp_path / "code.lza"

    assert packed.save(str(path)) == path.stat().st_size
    with pytest.raises(OSError, match=str(tmp_path / "no")) as caught:
        packed.save(str(tmp_path / "no/code.lza"))
    assert caught.value.filename == str(tmp_path / "no/code.lza")


class TestArtifact:
    def test_by_path_and_by_url(self, settings: Settings, tmp_path: Path) -> None:
        path = named_by_hash(make_container(FILES, tmp_path / "app.zip"))

        first = pack([path], settings)
        second = pack([f"file://{path}"], settings)

        assert first.hash == second.hash
        assert first.artifact is not None
        assert first.artifact.url == f"file://{path}"
        assert first.artifact_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()

    def test_no_password_is_in_the_error(self, settings: Settings) -> None:
        with pytest.raises(SettingsError, match=r"//host/app\.zip is") as caught:
            pack(["https://ada:secret@host/app.zip", "."], settings)
        assert "secret" not in f"{caught.value} {caught.value.value}"

    @pytest.mark.parametrize(
        ("roots", "options"),
        [
            (["."], PackOptions()),
            ([], PackOptions(installed=("iniconfig",))),
            ([], PackOptions(requirements=("requirements.txt",))),
            ([], PackOptions(wheels=("app.whl",))),
        ],
    )
    def test_is_packed_alone(
        self,
        roots: list[str],
        options: PackOptions,
        settings: Settings,
        tmp_path: Path,
    ) -> None:
        path = make_container(FILES, tmp_path / "app.zip")

        with pytest.raises(SettingsError, match="packed alone") as caught:
            pack([str(path), *roots], settings, options)
        assert caught.value.name == "roots"

    def test_that_is_not_there(self, settings: Settings, tmp_path: Path) -> None:
        with pytest.raises(ArchiveMissing, match="there is no artifact"):
            pack([tmp_path / "app.zip"], settings)


def test_a_python_that_is_not_there(tree: Path, settings: Settings) -> None:
    with pytest.raises(PackError, match=r"no Python 3\.99 on this machine"):
        pack([tree], settings, PackOptions(python=("3.99",)))
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert pack([tree], settings, PackOptions(python=(here,))).compiled == 2
