"""The pre-flight check as a library call; tests/{cli,ray} have what it finds."""

from __future__ import annotations

import os

import pytest

from lazyimport.deploy import Checked, DeployError, check
from lazyimport.packing import pack
from lazyimport.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "shop.py": "import helper\napp = 1\n",
    "helper.py": "",
    "looks.py": "import os\nassert os.environ['GREETING'] == 'hello'\n",
    "packaging.py": "",
}


@pytest.fixture(name="settings")
def _settings(tmp_path: Path) -> Settings:
    return Settings(cache_dir=str(tmp_path / "cache"))


@pytest.fixture(name="hash")
def _hash(tmp_path: Path, settings: Settings) -> str:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name, text in FILES.items():
        (tree / name).write_text(text)
    return pack([tree], settings).hash


def test_what_is_fine_is_a_value(hash: str, settings: Settings) -> None:
    checked = check(hash, ["shop:app"], settings, environ=os.environ)

    assert isinstance(checked, Checked)
    assert 2 == checked.modules
    assert checked.seconds > 0
    assert ["packaging"] == [name for name, _ in checked.shadowed]


def test_the_child_has_the_variables_that_it_is_given(
    hash: str, settings: Settings
) -> None:
    """Settings give those of lazyimport, and none activates another archive."""
    environ = {"GREETING": "hello", "LAZYIMPORT_HASH": "f" * 64}
    more = {"LAZYIMPORT_CACHE_DIR": "/nowhere", "LAZYIMPORT_CHANNEL": "prod"}

    check(hash, ["looks"], settings, environ={**environ, **more})
    with pytest.raises(DeployError, match="KeyError: 'GREETING'"):
        check(hash, ["looks"], settings, environ={})


def test_an_archive_that_is_nowhere_is_refused(settings: Settings) -> None:
    with pytest.raises(DeployError, match="f" * 64) as caught:
        check("f" * 64, ["shop"], settings, environ=os.environ)
    assert "f" * 64 == caught.value.hash  # type: ignore[attr-defined]
