"""git is asked without running what a repository names."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from lazyimport import git

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="needs git")

STATUS = ("status", "-z", "--porcelain=v2", "--branch")


def run(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    command = ["git", "-C", str(folder), *who, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def repository(root: Path, program: str, kind: str) -> None:
    """Make a repository that names *program*; the tree may be anybody's."""
    root.mkdir()
    (root / "a.txt").write_text("first")
    if kind == "bare":
        (root / "HEAD").write_text("ref: refs/heads/main\n")
        for folder in ("objects", "refs"):
            (root / folder).mkdir()
        (root / "config").write_text(
            f'[core]\nbare = false\nworktree = .\nfsmonitor = "{program}"\n'
        )
        return
    run(root, "init", "-q")
    name = "a=b" if kind == "odd filter" else "evil"
    (root / ".gitattributes").write_text(f"*.txt filter={name}\n")
    run(root, "add", ".")
    run(root, "commit", "-q", "-m", "first")
    (root / "a.txt").write_text("other")
    if kind == "fsmonitor":
        run(root, "config", "core.fsmonitor", program)
    elif kind.endswith("filter"):
        run(root, "config", f"filter.{name}.clean", program)
    else:  # a tree that git would fetch
        tree = run(root, "rev-parse", "HEAD^{tree}").strip()
        (root / ".git/objects" / tree[:2] / tree[2:]).unlink()
        run(root, "config", "core.repositoryFormatVersion", "1")
        run(root, "config", "extensions.partialClone", "origin")
        run(root, "config", "remote.origin.url", str(root))
        run(root, "config", "remote.origin.uploadpack", program)


def said(root: Path, *arguments: str) -> str | None:
    try:
        return git.answer(git.ask(str(root), *arguments)).decode()
    except OSError:
        return None


@pytest.mark.parametrize("kind", ["fsmonitor", "filter", "odd filter", "bare", "fetch"])
def test_a_repository_names_no_program_that_runs(tmp_path: Path, kind: str) -> None:
    repository(tmp_path / "src", f"touch {tmp_path}/ran; cat", kind)

    status = said(tmp_path / "src", *STATUS)
    said(tmp_path / "src", "ls-files", "-z", "--cached")

    assert not (tmp_path / "ran").exists()
    assert (status is None) == (kind in {"odd filter", "bare", "fetch"})


@pytest.mark.parametrize("kind", ["fsmonitor", "filter", "odd filter", "fetch"])
def test_it_would_otherwise(tmp_path: Path, kind: str) -> None:
    repository(tmp_path / "src", f"touch {tmp_path}/ran; cat", kind)
    subprocess.run(
        ["git", "-C", str(tmp_path / "src"), *STATUS], capture_output=True, check=False
    )
    assert (tmp_path / "ran").exists()


def test_a_hook_of_git_that_pushes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git tells its hooks which repository they run for; the tree may be another."""
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.txt").touch()
        run(tmp_path / name, "init", "-q")
        run(tmp_path / name, "add", ".")
    monkeypatch.setenv("GIT_DIR", f"{tmp_path}/a/.git")
    monkeypatch.setenv("GIT_INDEX_FILE", f"{tmp_path}/a/.git/index")
    assert said(tmp_path / "b", "ls-files") == "b.txt\n"


def test_why_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(OSError, match="not a git repository"):
        git.answer(git.ask(str(tmp_path), "status"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError):
        git.ask(str(tmp_path), "status")
