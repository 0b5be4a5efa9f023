"""A store that does not answer is said after three seconds."""

from __future__ import annotations

import socket
import time

import pytest

from lazyimport.cli.waiting import Waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine


def test_a_store_that_does_not_answer_is_said(cli: CommandLine) -> None:
    """And which, and what it was asked for; the error comes when the time is up."""
    pytest.importorskip("obstore")
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/x"
        store = ("--store", url)
        text = cli.fail("channel", "get", "prod", *store, LAZYIMPORT_TIMEOUT="5")

    first, *error = text.splitlines()
    assert f"waiting for {url}/channels/prod.json: no answer for 3 s" in first
    assert error
    assert "waiting for" not in "".join(error)


def test_it_is_said_once_for_a_store_and_not_if_there_was_an_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lazyimport.cli.waiting.PATIENCE", 0.2)
    with Waiting("gs://one/a"):
        pass
    with Waiting("gs://two/a"), Waiting("gs://two/b"), Waiting("s3://u:p@three/b"):
        time.sleep(1)

    said = sorted(capsys.readouterr().err.splitlines())
    assert len(said) == 2
    assert said[0].startswith("waiting for gs://two/")
    assert said[1].startswith("waiting for s3://three/b: no answer for 0.2 s")
