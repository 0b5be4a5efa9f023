"""What was deployed from here, and what git has."""

from __future__ import annotations

import json

from lazyimport.deploy.history import History

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

A, B, C = "a1" * 32, "b2" * 32, "c3" * 32


def before(history: History, target: object, hash: str | None) -> str | None:
    known = history.deployment(str(target), "shop", hash)
    return known and known.before


def test_the_newest_deployment_of_a_hash_counts(tmp_path: Path) -> None:
    history = History(str(tmp_path / "cache"))
    for was, now in ((None, A), (A, B), (B, C), (C, B)):
        history.add("http://x:8265", "shop", was, now)

    assert C == before(history, "http://x:8265", B)
    assert B == before(History(str(tmp_path / "cache")), "http://x:8265", C)


def test_no_hash_before_is_known(tmp_path: Path) -> None:
    """Which is more than to know nothing."""
    history = History(str(tmp_path))
    history.add("http://x:8265", "shop", None, A)
    first = history.deployment("http://x:8265", "shop", A)

    assert first is not None
    assert (None, A) == (first.before, first.after)
    assert history.deployment("http://x:8265", "till", A) is None
    assert history.deployment("http://y:8265", "shop", A) is None


def test_the_same_again_is_no_deployment(tmp_path: Path) -> None:
    history = History(str(tmp_path))
    history.add("f.yaml", "shop", A, A)

    assert history.deployment("f.yaml", "shop", A) is None


def test_a_file_is_the_same_by_any_path(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    history = History(str(tmp_path / "cache"))
    history.add(f"{tmp_path}/real/f.yaml", "shop", A, B)

    assert A == before(history, f"{tmp_path}/link/../real/f.yaml", B)


def test_what_is_damaged_is_as_nothing(tmp_path: Path) -> None:
    history = History(str(tmp_path))
    history.add("http://x:8265", "shop", A, B)
    (file,) = (tmp_path / "deployments").iterdir()
    for text in ("{", "[]\n", json.dumps({"app": "shop"})):
        file.write_text(text)
        assert before(history, "http://x:8265", B) is None

    history.add("http://x:8265", "shop", B, C)
    assert B == before(history, "http://x:8265", C)


def test_it_does_not_grow_without_end(tmp_path: Path) -> None:
    history = History(str(tmp_path))
    for number in range(205):
        history.add("http://x:8265", "shop", str(number), str(number + 1))
    (file,) = (tmp_path / "deployments").iterdir()

    assert 200 == len(file.read_text().splitlines())
    assert "204" == before(history, "http://x:8265", "205")
