"""Shells complete commands, options and hashes."""

from __future__ import annotations

import pytest

from lazyimport.cli import main

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["completion", shell])
    text = capsys.readouterr().out

    assert f"_LAZYIMPORT_COMPLETE={shell}_complete" in text


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("pus", ["plain,push"]),
        ("channel ro", ["plain,rollback"]),
        ("gc --keep-l", ["plain,--keep-last"]),
        ("completion z", ["plain,zsh"]),
        ("show 4", ["file,4", f"plain,{'4b' * 6}"]),
        (f"ls {'4b' * 7}", [f"file,{'4b' * 7}", f"plain,{'4b' * 7}"]),
        ("cache ls --cache-dir /tm", ["dir,/tm"]),
    ],
)
def test_words(
    words: str,
    offered: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    (tmp_path / "archives").mkdir(mode=0o700)
    (tmp_path / "archives" / ("4b" * 32)).touch()
    monkeypatch.setenv("LAZYIMPORT_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("_LAZYIMPORT_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", f"lazyimport {words}")
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" "))))

    assert 0 == main([])
    assert offered == capsys.readouterr().out.splitlines()
