"""A command line as a person has it: processes, a node cache, a store, a project."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time

import click
import pytest

from lazyimport.cli.commands import command as root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import Any

#: SIGINT as in a terminal, also where the test runner ignores it
MAIN = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from lazyimport.cli import main; sys.exit(main(sys.argv[1:]))"
)


def epochs_in(value: Any) -> Iterator[float]:
    """Yield numbers of today's seconds or milliseconds: people read times as text."""
    if isinstance(value, (dict, list)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from epochs_in(each)
    elif type(value) in {int, float} and any(
        abs(value / unit - time.time()) < 86_400 for unit in (1, 1000)
    ):
        yield value


class CommandLine:
    """Runs ``lazyimport`` in processes that share *folder*'s cache and store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = folder / "cache"
        self.store = folder / "store"
        self.url = f"file://{self.store}"
        clean = {k: v for k, v in os.environ.items() if not k.startswith("LAZYIMPORT_")}
        self.environ = {
            **clean,
            "LAZYIMPORT_CACHE_DIR": str(self.cache),
            "NO_COLOR": "1",
            "COLUMNS": "100",
        }

    def start(
        self, *arguments: object, stdin: int | None = None, **environ: str
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", MAIN, *map(str, arguments)],
            env={**self.environ, **environ},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self,
        *arguments: object,
        code: int = 0,
        cwd: Path | None = None,
        before: Sequence[str] = (),
        **environ: str,
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end, by the command *before*; the exit code must be *code*."""
        done = subprocess.run(
            [*before, sys.executable, "-m", "lazyimport", *map(str, arguments)],
            env={**self.environ, **environ},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert code == done.returncode, done.stderr
        if "--json" in arguments and done.stdout:
            assert [] == list(epochs_in(json.loads(done.stdout)))
        return done

    def fail(self, *arguments: object, code: int = 1, **options: Any) -> str:
        """Run what must fail; return its stderr, in which there is no traceback."""
        done = self.run(*arguments, code=code, **options)
        assert "" == done.stdout
        assert "Traceback" not in done.stderr
        return done.stderr

    def fail_with_traceback(self, *arguments: object, **options: Any) -> str:
        """Run what must fail with the traceback of the user's own code."""
        done = self.run(*arguments, code=1, **options)
        assert "" == done.stdout
        return done.stderr

    def push(self, root: Path, **environ: Any) -> str:
        done = self.run("push", root, "--store", self.url, **environ)
        return done.stdout.strip()

    def stored(self, name: str) -> Path:
        """Return where the store keeps an archive."""
        return self.store / "archives" / name

    def tamper(self, name: str, data: bytes) -> None:
        """Replace an archive in the store by other bytes; the node forgets it."""
        self.stored(name).unlink(missing_ok=True)
        self.stored(name).write_bytes(data)
        (self.cache / "archives" / name).unlink(missing_ok=True)


class Terminal(io.StringIO):
    """What a terminal would be sent."""

    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch, name: str = "stderr") -> Terminal:
    """Let a standard stream be a terminal that shows colors."""
    stream = Terminal()
    monkeypatch.setattr(sys, name, stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return stream


def all_commands(
    found: click.Command = root, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, click.Command]]:
    """Yield the words that call a command, and the command, for each there is."""
    if path:
        yield " ".join(path), found
    if isinstance(found, click.Group):
        context = click.Context(found)
        for name in found.list_commands(context):
            inner = found.get_command(context, name)
            assert inner is not None
            yield from all_commands(inner, (*path, name))


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


PROJECT = {
    "shop/__init__.py": '"""A shop."""\n',
    "shop/main.py": (
        "import sys\n"
        "from shop.prices import price\n"
        "if __name__ == '__main__':\n"
        "    print(price(3), sys.argv[1:], file=sys.stdout)\n"
    ),
    "shop/prices.py": "def price(count):\n    return 10 * count\n",
    "shop/broken.py": "from shop.deep import fail\nfail()\n",
    "shop/deep.py": "def fail():\n    raise ValueError('on purpose')  # the line\n",
    "shop/exits.py": "import sys\nsys.exit(7)\n",
    "shop/waits.py": "import time\nprint('ready', flush=True)\ntime.sleep(60)\n",
    "shop/templates/page.html": "<p>hello</p>\n",
    # so that a change of one module is a small part of it
    "shop/table.py": "".join(f"name_{n} = {n * 7919 % 997}\n" for n in range(400)),
}


@pytest.fixture(name="cli")
def _cli(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.fixture(name="project")
def _project(tmp_path: Path) -> Path:
    return write(tmp_path / "project", PROJECT)
