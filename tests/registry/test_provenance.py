"""Where an archive came from: kept beside it, once, without a secret in it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from lazyimport.registry.layout import provenance_key
from lazyimport.registry.provenance import Provenance, read_provenance, write_provenance
from lazyimport.stores import open_store, writable

HASH = "ab" * 32


def facts_of(root: Path, environ: dict[str, str] | None = None) -> dict[str, object]:
    with Provenance([str(root)], environ or {}) as provenance:
        return provenance.facts("1.2", ["3.11"])


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *words],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_commit_branch_and_dirt(tmp_path: Path) -> None:
    """Dirt is what would be packed from *root*, files that git does not know too."""
    root = tmp_path / "src"
    root.mkdir()
    (root / "a.py").write_text("")
    (tmp_path / "elsewhere.txt").write_text("")
    git(tmp_path, "init", "-q", "-b", "feature/x")
    git(tmp_path, "add", "src")
    git(tmp_path, "commit", "-q", "-m", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")

    clean = facts_of(root)
    (root / "new.py").write_text("")
    dirty = facts_of(root)

    assert (clean["commit"], clean["branch"], clean["dirty"]) == (
        commit,
        "feature/x",
        False,
    )
    assert (dirty["commit"], dirty["dirty"]) == (commit, True)
    assert (clean["lazyimport"], clean["pythons"]) == ("1.2", ["3.11"])
    assert clean["roots"] == [str(root)]


def test_without_git_or_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "commit" not in facts_of(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "commit" not in facts_of(tmp_path)
    assert "@" in str(facts_of(tmp_path)["builder"])


def test_the_job_of_a_ci_without_its_secrets(tmp_path: Path) -> None:
    github = {
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "o/r",
        "GITHUB_RUN_ID": "7",
    }
    gitlab = {"CI_JOB_URL": "https://user:pass@gitlab.example/j/1?token=secret"}
    assert facts_of(tmp_path, github)["builder"] == (
        "https://github.com/o/r/actions/runs/7"
    )
    assert facts_of(tmp_path, gitlab)["builder"] == "https://gitlab.example/j/1"


def test_the_first_writer_wins(tmp_path: Path) -> None:
    store = writable(open_store(f"file://{tmp_path}/store"))

    assert read_provenance(store, HASH) == {}
    assert write_provenance(store, HASH, {"commit": "1"})
    assert not write_provenance(store, HASH, {"commit": "2"})
    assert read_provenance(store, HASH) == {"commit": "1"}


def test_nonsense_counts_as_nothing(tmp_path: Path) -> None:
    path = tmp_path / provenance_key(HASH)
    path.parent.mkdir()
    store = open_store(f"file://{tmp_path}")
    for text in ("[]", "{", "", "[" * 60_000):
        path.write_text(text)
        assert read_provenance(store, HASH) == {}
