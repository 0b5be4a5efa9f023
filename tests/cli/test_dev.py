"""``lazyimport dev`` on files; tests/ray has what swaps in replicas."""

from __future__ import annotations

import os
import pty
import signal
import sys
import textwrap
import threading
import time
from functools import partial

import pytest

from lazyimport.cli import developing
from lazyimport.deploy.live import ENTRY
from tests.fakes.dashboard import Dashboard

pytest.importorskip("ruamel.yaml")
pytest.importorskip("watchfiles")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.conftest import CommandLine

SERVE = "applications:\n  - name: shop\n    import_path: shop.serve:app\n"


class Dev:
    """A running ``dev``, and what it says."""

    def __init__(self, cli: CommandLine, *words: object) -> None:
        self.process = cli.start("dev", *words)
        self.text = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.text += line

    def wait(self, done: Callable[[], object]) -> None:
        deadline = time.monotonic() + 60
        while not done():
            assert time.monotonic() < deadline, self.text
            time.sleep(0.05)

    def says(self, text: str, times: int = 1) -> bool:
        return self.text.count(text) >= times

    def stop(self, end: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(end)
        code = self.process.wait(60)
        self._reader.join()
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.process.stdout.close()
        self.process.stderr.close()
        return code


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    file = tmp_path / "serve.yaml"
    file.write_text(SERVE)
    return file


@pytest.fixture(name="dashboard")
def _dashboard() -> Iterator[Dashboard]:
    dashboard = Dashboard()
    with dashboard:
        yield dashboard


def test_what_was_not_pushed_is_not_applied(
    cli: CommandLine, project: Path, file: Path, dashboard: Dashboard
) -> None:
    """Whatever is saved meanwhile, also half typed; and nothing is restored then."""
    words = ("--store", "file:///dev/null/store", "--address", dashboard.address)
    dev = Dev(cli, project, file, "--restore", *words)
    try:
        for saved in range(1, 4):
            dev.wait(partial(dev.says, "/dev/null/store", saved))
            new = file.with_suffix(".new")
            new.write_text(SERVE.replace("    import_path", f"    x{'y' * saved}"))
            new.rename(file)
        dev.wait(lambda: "is no config of Serve: KeyError('import_path')" in dev.text)
    finally:
        assert 0 == dev.stop()
    assert [] == dashboard.applied
    assert "Traceback" not in dev.text


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_the_first_rollout_is_taken_back_too(
    cli: CommandLine,
    project: Path,
    file: Path,
    dashboard: Dashboard,
    end: signal.Signals,
) -> None:
    words = ("--store", cli.url, "--address", dashboard.address)
    dev = Dev(cli, project, file, "--restore", *words)
    try:
        dev.wait(lambda: dashboard.applied)
    finally:
        assert 0 == dev.stop(end)
    assert ["shop"] == [app["name"] for app in dashboard.applied[0]["applications"]]
    assert [] == dashboard.applied[-1]["applications"]
    assert "shop goes back" in dev.text


def test_a_rayservice_is_changed_through_the_dashboard_alone(
    cli: CommandLine, project: Path, tmp_path: Path, dashboard: Dashboard
) -> None:
    """Which is said: KubeRay may take it back."""
    file = tmp_path / "service.yaml"
    inner = textwrap.indent(SERVE, "    ")
    file.write_text(
        "apiVersion: ray.io/v1\nkind: RayService\nmetadata: {name: shop}\n"
        f"spec:\n  serveConfigV2: |\n{inner}"
    )
    before = file.read_text()
    words = ("--store", cli.url, "--address", dashboard.address)
    dev = Dev(cli, project, file, "--restore", *words)
    try:
        dev.wait(lambda: dashboard.applied)
    finally:
        assert 0 == dev.stop()
    (app,) = dashboard.applied[0]["applications"]
    assert ("shop", ENTRY) == (app["name"], app["import_path"])
    assert "KubeRay is not told of changes" in dev.text
    assert before == file.read_text()


def test_what_is_typed_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it is read, and the last line is what counts."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as terminal, os.fdopen(ours, "wb", 0) as keyboard:
        monkeypatch.setattr(sys, "stdin", terminal)
        assert "" == developing._typed()
        keyboard.write(b"r\nno\nr\n")
        assert "r" == developing._typed()
        assert "" == developing._typed()
    monkeypatch.setattr(sys, "stdin", None)
    assert "" == developing._typed()


@pytest.mark.parametrize(
    "words", [["--restore"], ["--app", "x"], ["--store", "./s"], ["--timeout", "3"]]
)
def test_options_of_rollouts_are_refused_for_a_module(
    cli: CommandLine, project: Path, words: list[str]
) -> None:
    said = cli.fail("dev", project, *words, "-m", "shop.main", code=2)
    assert f"{words[0]} does nothing with -m MODULE" in said


def test_a_folder_that_does_not_exist(cli: CommandLine, file: Path) -> None:
    for words in (["-m", "shop.main"], [file, "--store", cli.url]):
        said = cli.fail("dev", "nosrc", *words)
        assert "cannot watch nosrc: no such file or folder\n" in said
