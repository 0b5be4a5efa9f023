"""What docs/debugging.md advises works: a debugger, coverage, pytest, pdb.

The dependency group ``real`` has debugpy and coverage.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lazyimport.cache.node import NodeCache
from tests.support.compare_importers import Files, pack_tree, write_tree
from tests.support.installed import are_installed

SOURCES: Files = {
    "app/__init__.py": "",
    "app/core.py": """\
def double(number):
    result = number * 2
    return result


def untouched():
    return None
""",
    "app/__main__.py": "from app.core import double\n\nprint(double(21))\n",
    "app/test_core.py": """\
from app.core import double


def test_double():
    assert double(2) == 4
""",
}


class Child(subprocess.Popen[str]):
    """A child process that is killed if the test fails."""

    def __exit__(self, *error: object) -> None:
        if any(error):
            self.kill()
        super().__exit__(None, None, None)


class Shipped:
    """A packed project, and child processes that run its archive."""

    def __init__(self, base: Path) -> None:
        self.sources = write_tree(SOURCES, base / "src")
        self.hash = pack_tree(self.sources, base / "cache")
        self.cache = base / "cache"
        self.root = Path(NodeCache(str(self.cache)).tree_path(self.hash))
        self.environ = {
            **{n: v for n, v in os.environ.items() if n[:11] != "LAZYIMPORT_"},
            "LAZYIMPORT_HASH": self.hash,
            "LAZYIMPORT_CACHE_DIR": str(self.cache),
        }

    def start(self, program: str, *arguments: str) -> subprocess.Popen[str]:
        start = "import lazyimport.activation as a; a.start()"
        return Child(
            [sys.executable, "-c", f"{start}\n{program}", *arguments],
            env=self.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, program: str, *arguments: str, typed: str = "") -> str:
        with self.start(program, *arguments) as child:
            out, err = child.communicate(typed, timeout=240)
        assert child.returncode == 0, out + err
        return out

    def as_module(self, name: str, *arguments: str, typed: str = "") -> str:
        """Do what ``python -m name arguments`` does."""
        program = (
            "import runpy, sys\n"
            f"runpy.run_module({name!r}, run_name='__main__', alter_sys=True)"
        )
        return self.run(program, *arguments, typed=typed)

    def materialize(self) -> None:
        self.as_module("lazyimport", "materialize", self.hash)


@pytest.fixture
def shipped(tmp_path: Path) -> Shipped:
    return Shipped(tmp_path)


class Debugger:
    """A client of the debug adapter protocol, as far as an editor needs it."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=200)
        self._file = self._socket.makefile("rb")
        self._sent = 0

    def __enter__(self) -> Debugger:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def send(self, command: str, **arguments: object) -> int:
        self._sent += 1
        message = {"seq": self._sent, "type": "request", "command": command}
        body = json.dumps({**message, "arguments": arguments}).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        return self._sent

    def ask(self, command: str, **arguments: object) -> Any:
        """Send a request and return the body of its answer."""
        number = self.send(command, **arguments)
        for message in self._messages():
            if message.get("request_seq") == number:
                assert message["success"], message
                return message.get("body")
        raise AssertionError("the debugger hung up")

    def wait_for(self, event: str) -> Any:
        for message in self._messages():
            if message.get("event") == event:
                return message.get("body")
        raise AssertionError("the debugger hung up")

    def _messages(self) -> Iterator[Any]:
        while line := self._file.readline():
            length = int(line.partition(b":")[2])
            self._file.readline()
            yield json.loads(self._file.read(length))


@pytest.mark.slow
@pytest.mark.skipif(
    not are_installed(["debugpy"]), reason="the dependency group 'real' has debugpy"
)
@pytest.mark.parametrize("mapped", [False, True], ids=["same path", "path mapping"])
def test_breakpoint_of_debugpy(shipped: Shipped, mapped: bool) -> None:
    """An editor stops in a module of the archive and looks at a variable."""
    mappings = []
    sources = shipped.root
    if mapped:
        sources = shipped.sources
        mappings = [{"localRoot": str(sources), "remoteRoot": str(shipped.root)}]
    shipped.materialize()
    program = (
        "import debugpy\n"
        "print(debugpy.listen(('127.0.0.1', 0))[1], flush=True)\n"
        "debugpy.wait_for_client()\n"
        "import app.__main__\n"
    )
    place = str(sources / "app" / "core.py")

    child = shipped.start(program)
    assert child.stdout is not None
    with child, Debugger(int(child.stdout.readline())) as debugger:
        debugger.ask("initialize", adapterID="test", pathFormat="path")
        debugger.send("attach", pathMappings=mappings)
        debugger.wait_for("initialized")
        verified = debugger.ask(
            "setBreakpoints", source={"path": place}, breakpoints=[{"line": 3}]
        )
        debugger.ask("configurationDone")
        stopped = debugger.wait_for("stopped")
        (frame, *_) = debugger.ask("stackTrace", threadId=stopped["threadId"])[
            "stackFrames"
        ]
        value = debugger.ask("evaluate", expression="result", frameId=frame["id"])
        debugger.ask("continue", threadId=stopped["threadId"])
        rest = child.stdout.readline()

    assert verified["breakpoints"][0]["verified"]
    assert stopped["reason"] == "breakpoint"
    assert (frame["source"]["path"], frame["line"]) == (place, 3)
    assert (value["result"], rest) == ("42", "42\n")


@pytest.mark.slow
@pytest.mark.skipif(
    not are_installed(["coverage"]), reason="the dependency group 'real' has coverage"
)
def test_report_of_coverage(shipped: Shipped, tmp_path: Path) -> None:
    """It is measured on the archive and shown on the sources: `[paths]` maps them."""
    rc = tmp_path / "coveragerc"
    rc.write_text(
        f"[run]\nsource_pkgs = app\nparallel = true\ndata_file = {tmp_path}/data\n"
        f"[paths]\nsource =\n    {shipped.sources}/app\n    */trees/*/app\n"
    )

    shipped.materialize()  # "coverage run -m" looks for a file

    shipped.as_module("coverage", "run", f"--rcfile={rc}", "-m", "app")
    shipped.as_module("coverage", "combine", f"--rcfile={rc}")
    report = shipped.as_module("coverage", "report", f"--rcfile={rc}", "--show-missing")

    rows = {line.split()[0]: line.split()[1:] for line in report.splitlines() if line}
    assert rows[str(shipped.sources / "app" / "core.py")] == ["5", "1", "80%", "7"]


def test_pytest_from_a_materialized_tree(shipped: Shipped) -> None:
    """pytest looks for files, and imports their modules from the archive."""
    shipped.materialize()

    output = shipped.as_module(
        "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, str(shipped.root)
    )

    assert "1 passed" in output


def test_pdb(shipped: Shipped) -> None:
    """It stops in a function and lists its lines, which appear for that."""
    program = "import pdb, app.core\npdb.run('app.core.double(4)')"

    output = shipped.run(program, typed="b app.core.double\nc\nl 1,3\nn\np number\nc\n")

    # at the def, or at its first statement from Python 3.14 on
    assert f"Breakpoint 1 at {shipped.root}/app/core.py:" in output
    assert "    result = number * 2\n" in output
    assert "(Pdb) 4\n" in output


def test_tools_that_look_for_files(shipped: Shipped) -> None:
    """They find what they look for, also in a pure package."""
    program = "import pdb, app.core\npdb.run('app.core.double(4)')"
    typed = "b app/core.py:3\nc\np result\nc\n"

    told = shipped.run(program, typed=typed)

    assert f"Breakpoint 1 at {shipped.root}/app/core.py:3\n" in told
    assert "(Pdb) 8\n" in told
