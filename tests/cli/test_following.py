"""A rollout is shown: what changes as lines, on a terminal as a table that changes."""

from __future__ import annotations

import re

import pytest

from lazyimport.cli.following import follow_and_tell
from lazyimport.cli.progress import Progress
from lazyimport.deploy import Replica, Served
from tests.cli.conftest import on_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

A, B = "a1" * 32, "b2" * 32


def app(status: str, *replicas: Replica) -> Served:
    return Served("shop", B, status, "", {"Shop": 2}, replicas)


def replica(name: str, hash: str | None, state: str) -> Replica:
    return Replica("Shop", name, hash, state, 1.0 if hash else None)


def states() -> Iterator[list[Served]]:
    yield []
    yield [app("DEPLOYING", replica("x", A, "RUNNING"), replica("y", None, "STARTING"))]
    yield [app("DEPLOYING", replica("x", A, "STOPPING"), replica("y", B, "RUNNING"))]
    yield [app("RUNNING", replica("z", B, "RUNNING"), replica("y", B, "RUNNING"))]


def test_a_line_for_all_that_is_new(capsys: pytest.CaptureFixture[str]) -> None:
    follow_and_tell(states(), Progress())

    *lines, last = capsys.readouterr().err.splitlines()
    assert [
        "shop DEPLOYING",
        f"shop/Shop/x {A[:12]} RUNNING",
        "shop/Shop/y - STARTING",
        f"shop/Shop/x {A[:12]} STOPPING",
        f"shop/Shop/y {B[:12]} RUNNING",
        "shop RUNNING",
        f"shop/Shop/z {B[:12]} RUNNING",
    ] == lines
    assert re.fullmatch(r"shop: all 2 replicas run it, after \d+\.\d s", last)


def test_a_table_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is rewritten in place, and its last state stays."""
    terminal = on_terminal(monkeypatch)
    monkeypatch.setenv("COLUMNS", "100")
    follow_and_tell(states(), Progress())
    shown = terminal.getvalue()

    *_, table = re.split(r"\x1b\[\d?A?\x1b\[2K", shown)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert 3 <= plain.count("DEPLOYMENT  REPLICA  HASH          STATE")
    assert re.search(rf"  Shop +z +{B[:12]} +RUNNING +\d+ d", plain)
    assert "STARTING" not in table
    assert "shop: all 2 replicas run it" in plain


WHY = "Deployment 'Shop' has 1 replicas that have taken more than 30s to be scheduled"


def kept() -> Iterator[list[Served]]:
    """A rollout for which the cluster has no room, after one that has failed."""
    yield [app("DEPLOY_FAILED")._replace(message="KeyError: 'old'")]
    yield [app("DEPLOYING")]
    yield from [[app("DEPLOYING")._replace(message=f"{WHY}\x1b\nmore")]] * 2
    yield [app("RUNNING")]


def test_what_keeps_a_rollout_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    follow_and_tell(kept(), Progress())

    lines = capsys.readouterr().err.splitlines()
    assert [
        "shop DEPLOY_FAILED",
        "shop DEPLOYING",
        f"shop: {WHY}\\x1b",
        "shop RUNNING",
    ] == lines[:-1]


def test_what_keeps_a_rollout_stands_below_the_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = on_terminal(monkeypatch)
    monkeypatch.setenv("COLUMNS", "100")
    follow_and_tell(kept(), Progress())
    shown = terminal.getvalue()

    assert rf"shop: {WHY}\x1b" in shown
    assert "KeyError" not in shown
    assert "scheduled" not in shown.rpartition("RUNNING")[2]


def test_only_the_end_is_said_if_nobody_wants_to_hear_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    follow_and_tell(states(), Progress(quiet=True))
    verdict = r"shop: all 2 replicas run it, after 0\.\d s\n"
    assert re.fullmatch(verdict, capsys.readouterr().err)

    terminal = on_terminal(monkeypatch)
    follow_and_tell(states(), Progress(quiet=True))
    assert re.fullmatch(verdict, terminal.getvalue())
