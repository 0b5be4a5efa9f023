"""Clocks jump: nothing hangs, is deleted, or is fetched for ever because of that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lazyimport.cache.evict import prune
from lazyimport.cache.partial import open_partial
from tests.delivery.test_streaming import BEGINNING, DATA, HASH, Worker, importing, node
from tests.fakes.services import Quiet
from tests.support.cold_node import ColdNode

pytest.importorskip("obstore", reason="needs the extra 'objects'")

__all__ = ["node"]

#: A clock that is ten years ahead and ten years behind, in turn, in every process.
JUMPING = """
import time
seconds, nanoseconds, turn = time.time, time.time_ns, 0
def off():
    global turn
    turn += 1
    return (-1) ** turn * 10 * 365 * 86400
time.time = lambda: seconds() + off()
time.time_ns = lambda: nanoseconds() + off() * 10**9
"""
YEARS = 10 * 365 * 86400


@pytest.fixture
def jumping(tmp_path: Path) -> dict[str, str]:
    """The environment of processes whose clocks jump, and so do their fetchers'."""
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock/sitecustomize.py").write_text(JUMPING)
    environ = {"PYTHONPATH": str(tmp_path / "clock"), "PYTHONWARNINGS": "error"}
    program = "import time; print(abs(time.time() - time.time()) > 1e8)"
    said = subprocess.check_output(
        [sys.executable, "-c", program], env={**os.environ, **environ}
    )
    assert said == b"True\n"
    return environ


@pytest.mark.parametrize("fetch", ["stream", "whole"])
def test_an_archive_comes_once(
    node: ColdNode, jumping: dict[str, str], fetch: str
) -> None:
    node.server.rate = 20e6
    for _ in range(2):
        with Worker(node, LAZYIMPORT_FETCH=fetch, **jumping) as worker:
            assert worker.ask(importing("late.m3")) == "3"
            assert worker.ask(importing("zoo")) == "7"
            node.is_left_alone()
    assert node.server.moved == len(DATA)


def test_a_fetcher_that_is_killed_is_replaced(
    node: ColdNode, jumping: dict[str, str]
) -> None:
    node.server.most = BEGINNING
    with Worker(node, **jumping) as worker:
        assert worker.ask(importing("shop.m7")) == "7"
        os.kill(node.wait_for(0), signal.SIGKILL)
        worker.tell(importing("late.m3"))
        node.server.most = 1e12
        assert worker.answer() == "3"
        node.is_left_alone()


@pytest.mark.parametrize("off", [-YEARS, YEARS])
def test_what_has_come_is_dated_at_another_time(node: ColdNode, off: int) -> None:
    """As after a boot without a clock: it is not deleted, and a fetch goes on."""
    node.server.most = BEGINNING
    with Worker(node) as worker:
        assert worker.ask(importing("shop.m7")) == "7"
        os.kill(node.wait_for(0), signal.SIGKILL)
        for path in (node.cache.partial_path(HASH, "raw"), node.cache.lock_path(HASH)):
            shift(path, off)
        node.server.most = 1e12
        prune(node.cache)
        assert open_partial(node.cache, HASH) is not None
        assert worker.ask(importing("late.m3")) == "3"
        node.is_left_alone()
        shift(node.cache.archive_path(HASH), off)
        prune(node.cache)
        with Worker(node) as another:
            assert another.ask(importing("late.m4")) == "4"
        node.is_left_alone()
    assert node.server.moved < len(DATA) * 1.5


@pytest.mark.parametrize("store", ["away", "silent"])
def test_a_store_that_is_away_is_an_error_in_time(
    node: ColdNode,
    jumping: dict[str, str],
    capfd: pytest.CaptureFixture[str],
    store: str,
) -> None:
    if store == "away":
        jumping["LAZYIMPORT_STORE"] = "http://127.0.0.1:9/nothing"
    else:
        node.server.most = 0
    began = time.monotonic()
    with Worker(node, LAZYIMPORT_TIMEOUT="3", **jumping) as worker:
        assert "No module named 'shop'" in worker.ask(importing("shop.m7"))
    said = capfd.readouterr().err
    assert said.count("cannot be fetched") == 1
    assert HASH in said
    assert "LAZYIMPORT_TIMEOUT" in said
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("date", ["Thu, 01 Jan 1970 00:00:00 GMT", "soon"])
def test_a_server_that_lives_at_another_time(
    node: ColdNode, monkeypatch: pytest.MonkeyPatch, date: str
) -> None:
    monkeypatch.setattr(Quiet, "date_time_string", lambda *_: date)
    with Worker(node) as worker:
        assert worker.ask(importing("late.m3")) == "3"
        node.is_left_alone()
    assert node.server.moved == len(DATA)


def shift(path: str, seconds: int) -> None:
    """Date a file at another time, by whole seconds."""
    status = os.stat(path)
    off = seconds * 10**9
    os.utime(path, ns=(status.st_atime_ns + off, status.st_mtime_ns + off))
